"""Do the rows say many things, or a few things many times?

*Near copies*: rows that say what an earlier one says (cosine of their words' tf-idf at least .75), as a share of all,
beyond the share among as many real texts. *Diversity*: the Vendi score of order 2, n²/Σ K², of the same kernel
(Friedman & Dieng 2210.02410; orders: Pasarkar & Dieng 2310.12952), as a share of the real texts'; it is a mean over
pairs of texts, so that it does not hang on how many there are, and its error comes from the jackknife. As many words
of either side, or mere length would count.
"""

from __future__ import annotations

import math

import numpy as np

from orionlm.synth.gate.content import Vocabulary
from orionlm.synth.gate.content import words as plain_words
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, Z, judged, more_often, unknown

Array = np.ndarray
FAULT = "mode collapse"
ALIKE = 0.75
MARGIN = 0.15  # of rows; real against held-out real reaches ±.06 (300 a side)
LOST_MARGIN = 0.67  # of the diversity: a third is left; the interval of real against held-out real reaches .63 (200)
# How bad lost diversity is: five texts lose .99 of it, those of a narrower domain .7 to .9, which is no collapse.
STEEP = 3


def families(kernel: Array) -> Array:
    """Which texts say what one before them says that is no near copy itself."""
    later = np.zeros(len(kernel), bool)
    alike = kernel >= ALIKE
    for number in np.flatnonzero(np.tril(alike, -1).any(1)):
        later[number] = bool((alike[number, :number] & ~later[:number]).any())
    return later


def log_mean_square(kernel: Array) -> tuple[float, float]:
    """ln of the mean of K² over pairs of different texts, with its error by the jackknife over texts."""
    n = len(kernel)
    square = kernel**2
    np.fill_diagonal(square, 0.0)
    of_each = square.sum(1)
    total = float(of_each.sum())
    if n < 3 or total <= 0:
        return math.nan, math.nan
    without = np.log(np.maximum(total - 2 * of_each, 1e-300) / ((n - 1) * (n - 2)))
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()))
    return math.log(total / (n * (n - 1))), error


def _equally_long(sides: Sides) -> list[Array]:
    """The kernels of both sides by the texts' first words alone: the longer two texts are, the more they share."""
    real, chosen = sides.some
    texts = [plain_words(sides.bare_real[n]) for n in real], [plain_words(sides.bare_rows[n]) for n in chosen]
    most = int(max(10, min(np.median([len(words) for words in side]) for side in texts)))
    words = Vocabulary(*([words[:most] for words in side] for side in texts))
    return [np.asarray((part @ part.T).todense()) for part in (words.real, words.rows)]


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    """Leaves which rows are the first of their family."""
    words = sides.vocabulary(sides.bare_rows)
    chosen = sides.some[1]
    size = min(words.real.shape[0], words.rows.shape[0])
    flags = np.zeros(len(sides.rows), bool)
    if size < 3:
        return [unknown("near copies of one another", FAULT, MARGIN, (len(sides.real), len(chosen)))], flags
    kernels = [np.asarray((part @ part.T).todense()) for part in (words.real, words.rows)]
    flags[chosen] = families(kernels[1])
    sides.first_of_family = ~flags
    # Among more texts there are more copies: as many of either.
    later = [families(kernel[:size, :size]) for kernel in kernels]
    owners = sides.owners(chosen[:size], sides.some[0][:size])
    found = [more_often("near copies of one another", FAULT, later[1], later[0], MARGIN, owners=owners)]
    (real, real_error), (row, row_error) = map(log_mean_square, _equally_long(sides))
    change, error = row - real, math.hypot(real_error, row_error)
    value, low, high = (
        1 - math.exp(-x) if math.isfinite(x) else math.nan for x in (change, change - Z * error, change + Z * error)
    )
    n = (words.real.shape[0], words.rows.shape[0])
    found.append(
        judged("diversity lost", FAULT, value, low, high, LOST_MARGIN, size=value**STEEP if value > 0 else 0.0, n=n)
    )
    return found, flags

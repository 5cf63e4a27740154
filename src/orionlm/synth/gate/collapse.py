"""Do the rows say many things, or a few things many times?

*Copies*: rows whose words are an earlier one's, in its order. *Near copies*: rows that say what an earlier one says
(cosine of their words' tf-idf at least .75), as a share of as many rows as there are real texts: among more there are
more. Both beyond the share of real texts. *Diversity*: the Vendi score of order 2, n²/Σ K², of the same kernel
(Friedman & Dieng 2210.02410; orders: Pasarkar & Dieng 2310.12952), as a share of the real texts'; it is a mean over
pairs of texts, so that it does not hang on how many there are, and its error comes from the jackknife. As many words
of either side, or mere length would count.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import numpy as np
from scipy.sparse import csr_matrix

from orionlm.synth.gate.content import Vocabulary
from orionlm.synth.gate.content import words as plain_words
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, Z, design_effect, judged, more_often, unknown

Array = np.ndarray
FAULT = "mode collapse"
ALIKE = 0.75
BLOCK = 2000  # texts that are held against all before them at once
MARGIN = 0.15  # of rows; real against held-out real reaches ±.06 (300 a side)
LOST_MARGIN = 0.67  # of the diversity: a third is left; the interval of real against held-out real reaches .63 (200)
# How bad lost diversity is: five texts lose .99 of it, those of a narrower domain .7 to .9, which is no collapse.
STEEP = 3


def said_before(texts: csr_matrix) -> Array:
    """Which texts say what one before them says that does not itself: (texts,). Rows of length 1, a block at a time."""
    later = np.zeros(texts.shape[0], bool)
    for start in range(0, len(later), BLOCK):
        alike = np.asarray((texts[start : start + BLOCK] @ texts[: start + BLOCK].T).todense()) >= ALIKE
        for row, number in enumerate(range(start, min(start + BLOCK, len(later)))):
            before = alike[row, :number]
            later[number] = before.any() and bool((before & ~later[:number]).any())
    return later


def repeated(texts: Sequence[Sequence[str]]) -> Array:
    """Which texts have the same words as one before them: (texts,)."""
    seen: set[bytes] = set()
    found = np.zeros(len(texts), bool)
    for number, words in enumerate(texts):
        digest = hashlib.blake2b(" ".join(words).encode(), digest_size=16).digest()
        found[number] = bool(words) and digest in seen
        seen.add(digest)
    return found


def log_mean_square(kernel: Array, owners: Array | None = None) -> tuple[float, float]:
    """ln of the mean of K² over pairs of different texts, with its error by the jackknife over texts; `owners`: the
    documents that they came from."""
    n = len(kernel)
    square = kernel**2
    np.fill_diagonal(square, 0.0)
    of_each = square.sum(1)
    total = float(of_each.sum())
    if n < 3 or total <= 0:
        return math.nan, math.nan
    without = np.log(np.maximum(total - 2 * of_each, 1e-300) / ((n - 1) * (n - 2)))
    error = math.sqrt((n - 1) / n * float(((without - without.mean()) ** 2).sum()) * design_effect(without, owners))
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
    said = [[plain_words(text) for text in side] for side in (sides.bare_real, sides.bare_rows)]
    words = Vocabulary(*said)
    size = min(words.real.shape[0], words.rows.shape[0])
    if size < 3:
        n = (len(sides.real), len(sides.rows))
        return [unknown("near copies of one another", FAULT, MARGIN, n)], np.zeros(len(sides.rows), bool)
    copies = [repeated(side) for side in said]
    flags = said_before(words.rows) | copies[1]
    sides.first_of_family = ~flags
    picked = [
        np.sort(sides.random(number).permutation(part.shape[0])[:size])
        for number, part in ((3, words.real), (4, words.rows))
    ]
    later = [said_before(part[places]) for part, places in zip((words.real, words.rows), picked, strict=True)]
    owners = sides.owners(picked[1], picked[0])
    found = [more_often("copies of one another", FAULT, copies[1], copies[0], MARGIN, owners=sides.owners())]
    found += [more_often("near copies of one another", FAULT, later[1], later[0], MARGIN, owners=owners)]
    chosen = sides.some
    kernels = zip(_equally_long(sides), sides.owners(chosen[1], chosen[0])[::-1], strict=True)
    (real, real_error), (row, row_error) = (log_mean_square(*each) for each in kernels)
    change, error = row - real, math.hypot(real_error, row_error)
    value, low, high = (
        1 - math.exp(-x) if math.isfinite(x) else math.nan for x in (change, change - Z * error, change + Z * error)
    )
    n = (len(chosen[0]), len(chosen[1]))
    found.append(
        judged("diversity lost", FAULT, value, low, high, LOST_MARGIN, size=value**STEEP if value > 0 else 0.0, n=n)
    )
    return found, flags

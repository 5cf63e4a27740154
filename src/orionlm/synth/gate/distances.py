"""What would the rows teach, how far are they from real text by the field's distances, and how varied are they?
Described, not gated on.

What they teach is asked of the cheapest student there is, a model of counts (`measures.count_model`), of rows that
should look like real text; a declared format moves letters, which are all that it counts.

All of them depend on the number of texts, so each stands beside the same of real text against real text: the documents
are cut in three, the embedding is fitted on one part, and the second is compared with the rows and with the third, as
many texts a side. A format that was asked for moves every one of them; what must hold is gated by name elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, not_measured
from orionlm.synth.measures.count_model import worth
from orionlm.synth.measures.diversity import compression_ratio, distinct_n, self_bleu
from orionlm.synth.measures.embedding import Embedding
from orionlm.synth.measures.estimate import Estimate
from orionlm.synth.measures.frechet import frechet
from orionlm.synth.measures.mauve import mauve
from orionlm.synth.measures.mmd import mmd2
from orionlm.synth.measures.sentence_model import SentenceModel
from orionlm.synth.measures.two_sample import two_sample
from orionlm.synth.measures.vendi import vendi

Array = np.ndarray
FAULT = "distance"
SHARE = "share of what as much real text teaches"
MOST = 1500  # texts a side


def measure(sides: Sides) -> list[Measure]:
    """The share of what as much real text teaches; MAUVE, Fréchet, MMD² and the two-sample test's AUC against real
    text; Vendi, self-BLEU, distinct pairs of words and compression of the rows."""
    found = [_taught(sides)] if sides.some_as_real else [not_measured(SHARE, FAULT, "another format is declared")]
    rng = sides.random(50)
    names, codes = np.unique(sides.groups.astype(str), return_inverse=True)
    part = rng.permutation(len(names))[codes] % 3
    thirds = [rng.permutation(np.flatnonzero(part == side)) for side in range(3)]
    fit, real, other = ([sides.real[n] for n in third] for third in thirds)
    owners = [sides.groups[n] for n in thirds[1]]
    size = min(len(real), len(other), len(sides.rows), MOST)
    if size < 2 or len(fit) < 2:
        return found
    picked = np.sort(rng.permutation(len(sides.rows))[:size])
    rows, seeds = [sides.rows[n] for n in picked], [sides.given[n].seeds for n in picked]
    real, owners, other = real[:size], owners[:size], other[:size]
    embedding = SentenceModel(sides.embed) if sides.embed else Embedding.fit(fit, seed=sides.seed)
    x, y, z = (embedding.transform(texts) for texts in (real, rows, other))
    against: dict[str, Callable[[Array], Estimate]] = {
        "MAUVE": lambda part: mauve(x, part, seed=sides.seed, draws=50),
        "Fréchet distance": lambda part: frechet(x, part, seed=sides.seed, draws=50),
        "MMD²": lambda part: mmd2(x, part, seed=sides.seed),
        "Vendi score": vendi,
    }
    by_text: dict[str, Callable[[Sequence[str]], Estimate]] = {
        "self-BLEU": self_bleu,
        "distinct pairs of words": distinct_n,
        "compression ratio": compression_ratio,
    }
    told = two_sample(real, rows, owners, seeds, seed=sides.seed).auc
    found += [_described("two-sample test, AUC", told, 0.5, size)]
    found += [_described(name, of(y), of(z).value, size) for name, of in against.items()]
    return found + [_described(name, of(rows), of(other).value, size) for name, of in by_text.items()]


def _taught(sides: Sides) -> Measure:
    like = np.flatnonzero(sides.as_real)
    rows, owners = [sides.rows[n] for n in like], [sides.given[n].seeds for n in like]
    found = worth(sides.real, sides.groups.tolist(), rows, owners, sides.seed)
    all_of_it = f"; all rows are worth {found.doublings.value:+.2f} doublings of it" if found.doublings.known else ""
    told = _described(SHARE, found.share, 1.0, len(rows))
    return replace(told, n_real=len(sides.real), note=f"by a model of counts{all_of_it}")


def _described(name: str, found: Estimate, against: float, size: int) -> Measure:
    return Measure(name, FAULT, found.value, found.low, found.high, None, "describes", 0.0, against, size, size)

"""Do the rows speak of what the real texts speak of, and as much of each?

*Far from the real text*: how like the nearest real text each row is (cosine of their words' tf-idf), against how like
the nearest other one each real text is (the precision of Kynkäänniemi et al. 1904.06991, by rank and not by a radius);
what mere length does to it is taken off, as fitted on the real texts. *Mixture of topics*: k-means on the real texts
(words → 32 dimensions by SVD), and Cramér's V between topic and side, its interval from the noncentral χ² (Steiger
2004), so that chance differences of small sets do not count. Format does not enter: only words do (`content.words`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import svds
from scipy.stats import ncx2

from orionlm.synth.gate.content import Vocabulary
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, Z, judged, ranks_higher, unknown
from orionlm.synth.measures.clusters import assign, kmeans

Array = np.ndarray
FAULT = "topic drift"
FAR_MARGIN = 0.3  # of Cliff's delta; real against held-out real reaches .15 (300 a side)
MIXTURE_MARGIN = 0.3  # of Cramér's V; real against held-out real reaches .2 at the upper end (300 a side)
COLLAPSE = "mode collapse"  # where rows are about known things, but about few of them
FEWER_MARGIN = 0.5  # of the topics; the interval of real against held-out real reaches .25 (300 a side)
KNOWN_TOPICS = 0.6  # of a foreign topic: as bad as a real one out of proportion, which narrow rows have too
TOPICS, DIMENSIONS = 8, 32
BLOCK = 2000  # texts that are held against all others at once
TELLING = 0.5  # of the real texts: with fewer that have a word of weight, nearness is about the few


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    words = sides.vocabulary(sides.inner_rows)
    flags = np.zeros(len(sides.rows), bool)
    m, n = words.real.shape[0], words.rows.shape[0]
    telling = float(np.mean(np.asarray(words.real.sum(1)) > 0)) if m else 0.0
    if min(m, n) < 2 or telling < TELLING:
        note = f"{telling:.0%} of the real texts have a word that tells them apart" if m else ""
        return [unknown("far from real text", FAULT, FAR_MARGIN, (m, n), note)], flags
    real_place, row_place = sides.some
    owners = [sides.given[place].seeds for place in row_place]
    near, real_near = nearest(words, sides.groups[real_place], owners)
    found = [
        ranks_higher(
            "far from real text", FAULT, -near, -real_near, FAR_MARGIN, owners=sides.owners(row_place, real_place)
        )
    ]
    flags[sides.some[1]] = near < np.quantile(real_near, 0.02)
    labels = topics(words, sides.seed)
    spread = spread_of_groups(labels, sides.owners(row_place, real_place))
    found.append(mixture(*labels, spread))
    if found[0].verdict == "passes":  # text about something else has no topics of the real text's to speak of
        found.append(fewer(*labels, spread))
    return found, flags


def nearest(
    words: Vocabulary, groups: Array | None = None, owners: Sequence[Sequence[str]] = ()
) -> tuple[Array, Array]:
    """The likeness of each row's nearest real text, and of each real text's nearest other, length aside.

    Not of its own document: pieces of one are alike, and a row is like its seed. `groups`: the real texts' documents;
    `owners`: the documents that each row came from.
    """
    names = np.arange(words.real.shape[0]) if groups is None else groups
    places: dict[str, list[int]] = {}
    for place, name in enumerate(names):
        places.setdefault(name, []).append(place)
    near = [
        _most_like(words.rows, words.real, [[n for seed in seeds for n in places.get(seed, ())] for seeds in owners]),
        _most_like(words.real, words.real, [places[name] for name in names]),
    ]
    size = [np.log1p(np.diff(part.indptr)) for part in (words.rows, words.real)]
    # A text of few words is less like any other: a line through the real ones, held at their ends.
    low, high = np.quantile(size[1], [0.05, 0.95])
    at = [np.clip(part, low, high) for part in size]
    spread = at[1].var()
    slope = float(np.mean((at[1] - at[1].mean()) * (near[1] - near[1].mean())) / spread) if spread > 0 else 0.0
    slope = max(0.0, slope)
    return near[0] - slope * (at[0] - at[1].mean()), near[1] - slope * (at[1] - at[1].mean())


def _most_like(texts: csr_matrix, others: csr_matrix, own: Sequence[Sequence[int]]) -> Array:
    """The largest likeness of each text to any of the others but its `own`, (texts,); a block of texts at a time."""
    found = np.zeros(texts.shape[0])
    for start in range(0, texts.shape[0], BLOCK):
        like = np.asarray((texts[start : start + BLOCK] @ others.T).todense())
        for row, left_out in zip(like, own[start : start + BLOCK], strict=False):
            row[list(left_out)] = 0.0
        found[start : start + BLOCK] = like.max(1)
    return found


def topics(words: Vocabulary, seed: int) -> tuple[Array, Array]:
    """The topic of each row and of each real text; the topics are the real texts'."""
    dimensions = min(DIMENSIONS, min(words.real.shape) - 1)
    if dimensions < 1 or words.real.nnz == 0:  # no word tells one text from another: they are of one topic
        return np.zeros(words.rows.shape[0], np.int64), np.zeros(words.real.shape[0], np.int64)
    start = np.random.default_rng(seed).standard_normal(min(words.real.shape))
    _, _, axes = svds(words.real, k=max(1, dimensions), v0=start)
    placed = [np.asarray(part @ axes.T) for part in (words.rows, words.real)]
    placed = [part / np.maximum(np.linalg.norm(part, axis=1, keepdims=True), 1e-12) for part in placed]
    centres = kmeans(placed[1], TOPICS, seed)
    return assign(placed[0], centres), assign(placed[1], centres)


def spread_of_groups(labels: tuple[Array, Array], groups: tuple[Array, Array]) -> float:
    """How many times further shares of topics spread for texts that come in groups than for as many single ones: the
    larger design effect of the two sides, 1 + (mean size − 1)·ICC (Kish 1965, §5.4), ICC the agreement of topics
    within groups beyond that of all texts."""
    effects = [1.0]
    for topic, group in zip(labels, groups, strict=True):
        _, codes, sizes = np.unique(group.astype(str), return_inverse=True, return_counts=True)
        pairs = float((sizes * (sizes - 1.0)).sum())
        if not pairs:
            continue
        cells = np.unique(np.stack([codes, topic]), axis=1, return_counts=True)[1].astype(float)
        within = float((cells * (cells - 1)).sum()) / pairs
        shares = np.bincount(topic) / len(topic)
        chance = float((shares**2).sum())
        together = max(0.0, (within - chance) / max(1e-9, 1 - chance))
        effects.append(1 + pairs / len(topic) * together)
    return max(effects)


def mixture(rows: Array, real: Array, spread: float = 1.0) -> Measure:
    """`spread`: the design effect that χ² is divided by (Rao & Scott 1981)."""
    k = int(max(rows.max(), real.max())) + 1
    table = np.array([np.bincount(side, minlength=k) for side in (real, rows)], float)
    table = table[:, table.sum(0) > 0]
    total, freedom = table.sum(), table.shape[1] - 1
    m, n = len(real), len(rows)
    if freedom < 1:
        return judged("mixture of topics", FAULT, 0.0, 0.0, 0.0, MIXTURE_MARGIN, n=(m, n))
    expected = table.sum(1, keepdims=True) * table.sum(0) / total
    chi = float(((table - expected) ** 2 / expected).sum()) / spread
    # V² = χ²/N for two sides; sides of unequal size are brought to the scale of equal ones, on which 1 is "no overlap".
    scale = 4 * m * n / (m + n) / spread
    low, high = (math.sqrt(_noncentrality(chi, freedom, part) / scale) for part in (0.95, 0.05))
    value = math.sqrt(max(0.0, chi - freedom) / scale)
    low, high = min(low, value), max(high, value)
    return judged("mixture of topics", FAULT, value, low, high, MIXTURE_MARGIN, size=KNOWN_TOPICS * value, n=(m, n))


def fewer(rows: Array, real: Array, spread: float = 1.0) -> Measure:
    """By which share the effective number of topics, 1/Σ p² (Hill 1973, order 2), is smaller than the real texts'.

    The interval of its logarithm by the delta method, var Σ p² = 4/n·(Σ p³ − (Σ p²)²), `spread` times that.
    """
    logs, variance = [], 0.0
    for side in (rows, real):
        p = np.bincount(side) / len(side)
        square, cube = float((p**2).sum()), float((p**3).sum())
        logs.append(-math.log(square))
        variance += 4 / len(side) * max(0.0, cube - square**2) / square**2
    ends = [logs[0] - logs[1] + reach * math.sqrt(spread * variance) for reach in (0, Z, -Z)]
    value, low, high = (1 - math.exp(end) for end in ends)
    return judged("topics left out", COLLAPSE, value, low, high, FEWER_MARGIN, n=(len(real), len(rows)))


def _noncentrality(chi: float, freedom: int, part: float) -> float:
    """The λ at which a χ² of λ lies below `chi` with probability `part`."""

    def off(amount: float) -> float:
        return (
            float(ncx2.cdf(chi, freedom, amount)) - part if amount > 0 else float(ncx2.cdf(chi, freedom, 1e-9)) - part
        )

    return 0.0 if off(0.0) <= 0 else float(brentq(off, 0.0, 2 * chi + 100))

"""Which rows lie together? k-means, with all distances as one matrix product."""

from __future__ import annotations

import numpy as np

from orionlm.synth.measures.estimate import usable

Array = np.ndarray
ROUNDS = 30


def kmeans(x: Array, k: int, seed: int = 0, rounds: int = ROUNDS) -> Array:
    """At most k centres (k, d) of the rows x (n, d): k-means++ (Arthur & Vassilvitskii 2007), then Lloyd's rounds.

    Fewer where there are fewer different rows. SciPy's own seeding compares every row with all centres so far each
    time, which is k/2 times the work.
    """
    rng = np.random.default_rng(seed)
    x = usable(x)
    if not len(x):
        return np.zeros((0, x.shape[1]))
    centres = x[_spread(x, k, rng)]
    labels = np.full(len(x), -1)
    for _ in range(rounds):
        before, labels = labels, assign(x, centres)
        if (before == labels).all():
            break
        size = np.bincount(labels, minlength=len(centres))
        order = np.argsort(labels, kind="stable")
        filled = np.flatnonzero(size)
        sums = np.add.reduceat(x[order], np.concatenate([[0], np.cumsum(size[filled])[:-1]]), axis=0)
        centres = centres.copy()
        centres[filled] = sums / size[filled, None]  # a centre that lost its rows stays where it was
    return centres


def assign(x: Array, centres: Array) -> Array:
    """The nearest centre of each row (n,); 0 where there is none."""
    if not len(centres):
        return np.zeros(len(x), np.int64)
    return (x @ centres.T * -2 + (centres**2).sum(1)).argmin(1)


def shares(labels: Array, k: int) -> Array:
    """The share of rows in each cluster (k,); zeros where there are no rows."""
    return np.bincount(labels, minlength=k) / max(len(labels), 1)


def _spread(x: Array, k: int, rng: np.random.Generator) -> list[int]:
    chosen = [int(rng.integers(len(x)))]
    squares = (x**2).sum(1)
    nearest = np.full(len(x), np.inf)
    while len(chosen) < min(k, len(x)):
        last = x[chosen[-1]]
        nearest = np.minimum(nearest, np.maximum(squares - 2 * (x @ last) + last @ last, 0))
        nearest[nearest <= 1e-12 * squares.max()] = 0  # the same row again, but for rounding
        reach = np.cumsum(nearest)
        if reach[-1] <= 0:
            break
        chosen.append(int(min(np.searchsorted(reach, rng.random() * reach[-1], "right"), len(x) - 1)))
    return chosen

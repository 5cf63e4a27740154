"""How many rows of each part may stay, so that the parts' shares are the target's, when no row can be made?"""

from __future__ import annotations

import math

import numpy as np

Array = np.ndarray
MISSING = 0.05


def quota(available: Array, shares: Array, keep: int | None = None, missing: float = MISSING) -> Array:
    """Rows of each part (k,) to keep out of `available` (k,), for target `shares` (k,) that sum to 1.

    A set of m rows wants m·share of each part and gets at most what there is. m is `keep`, or the largest at which no
    more than `missing` of it is wanting. Parts of which there is nothing do not count: no choice of rows mends them.
    """
    available = np.asarray(available, np.int64)
    shares = np.where(available > 0, np.asarray(shares, float), 0.0)
    if not shares.sum() > 0:
        return np.zeros_like(available)
    shares = shares / shares.sum()
    if keep is None:
        low, high = 0, int(available.sum())
        while low < high:  # the largest m: what is wanting only grows with it
            m = (low + high + 1) // 2
            wanting = np.maximum(shares - available / m, 0).sum()
            low, high = (m, high) if wanting <= missing + 1e-12 else (low, m - 1)
        keep = low
    return np.minimum(_whole(shares * keep), available)


def _whole(exact: Array) -> Array:
    """Whole numbers with the same sum, by the largest remainders."""
    floor = np.floor(exact + 1e-9).astype(np.int64)
    more = max(round(math.fsum(exact.tolist())) - int(floor.sum()), 0)
    floor[np.argsort(floor - exact, kind="stable")[:more]] += 1
    return floor


def drawn(labels: Array, counts: Array, seed: int) -> Array:
    """So many rows of each part at random, ascending; rows labelled −1 never."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    inside = labels[order]
    rank = np.arange(len(order)) - np.searchsorted(inside, inside, "left")
    limit = np.append(counts, 0)[inside]  # −1 finds the 0
    return np.sort(order[rank < limit])

"""Which rows make a set whose lengths (or any other number) have the target's quantiles?"""

from __future__ import annotations

import numpy as np

from orionlm.synth.mending.kept import Kept, everything
from orionlm.synth.mending.quota import MISSING, drawn, quota

Array = np.ndarray
BINS = 50
PER_BIN = 20  # target rows: a bin's share then has a standard error of about a fifth


def match(values: Array, target: Array, keep: int | None = None, seed: int = 0, missing: float = MISSING) -> Kept:
    """Rows (of n) drawn without replacement, at random within bins that hold equal parts of the target.

    As many as leave no more than `missing` of the target's distribution unfilled, or at most `keep`. What lies beyond
    the target's own range, or is no number, goes.
    """
    values, target = np.asarray(values, float).ravel(), np.asarray(target, float).ravel()
    target = target[np.isfinite(target)]
    if len(target) < PER_BIN:
        return everything(len(values), f"{len(target)} real rows are too few to match")
    bins = int(np.clip(len(target) // PER_BIN, 1, BINS))
    edges, times = np.unique(
        np.quantile(target, np.linspace(0, 1, bins + 1), method="inverted_cdf"), return_counts=True
    )
    common = edges[times > 1]  # so many targets share it that it is a bin by itself
    edges = np.union1d(edges, np.nextafter(common[common > edges[0]], -np.inf))
    labels = np.where(np.isfinite(values) & (values <= edges[-1]), _bin(values, edges), -1)
    labels[values < edges[0]] = -1
    shares = np.bincount(_bin(target, edges), minlength=len(edges)) / len(target)
    counts = quota(np.bincount(labels[labels >= 0], minlength=len(edges)), shares, keep, missing)
    rows = drawn(labels, counts, seed)
    return Kept(rows, len(values), f"{len(rows)} of {len(values)} rows stay, drawn to the target's quantiles")


def _bin(values: Array, edges: Array) -> Array:
    """The first bin holds the lowest edge alone, each next one what lies above the last edge up to and with its own."""
    return np.minimum(np.searchsorted(edges, np.nan_to_num(values, nan=np.inf), "left"), len(edges) - 1)

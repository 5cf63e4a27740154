"""Which rows make a set with the real text's topics, and what should be asked for anew where topics are short?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orionlm.synth.mending.kept import Kept, everything
from orionlm.synth.mending.quota import MISSING, drawn, quota

Array = np.ndarray


def rebalance(labels: Array, target: Array, keep: int | None = None, seed: int = 0, missing: float = MISSING) -> Kept:
    """Rows (of n) whose topics `labels` (n,) have the shares `target` (k,), at random within a topic.

    As many as leave no more than `missing` of the set wanting, or at most `keep`. A topic of which there are no rows
    can only be asked for: `missing_rows` says how many.
    """
    labels, target = np.asarray(labels, np.int64), np.asarray(target, float)
    if not len(labels) or not target.sum() > 0:
        return everything(len(labels), "no topics to balance by")
    counts = quota(np.bincount(labels, minlength=len(target))[: len(target)], target / target.sum(), keep, missing)
    rows = drawn(np.where(labels < len(target), labels, -1), counts, seed)
    return Kept(rows, len(labels), f"{len(rows)} of {len(labels)} rows stay, drawn to the target's topics")


def best_of_each(values: Array, labels: Array, target: Array) -> Array:
    """All rows (n,) in an order of which every beginning has about the shares `target` (k,) of topics, and of each
    topic the rows with the largest `values` (n,), as long as that topic has rows. Topics without a share come last."""
    labels, target = np.asarray(labels, np.int64), np.asarray(target, float)
    order = np.lexsort((-np.asarray(values, float), labels))
    inside = labels[order]
    rank = np.arange(1, len(order) + 1) - np.searchsorted(inside, inside, "left")
    with np.errstate(divide="ignore"):
        turn = rank / target[inside]
    return order[np.argsort(turn, kind="stable")]


def missing_rows(labels: Array, target: Array, rows: int) -> Array:
    """How many rows each topic (k,) lacks for a set of `rows` with the target's shares."""
    labels, target = np.asarray(labels, np.int64), np.asarray(target, float)
    if not target.sum() > 0:
        return np.zeros(len(target), np.int64)
    have = np.bincount(labels, minlength=len(target))[: len(target)]
    return np.maximum(np.round(rows * target / target.sum()).astype(np.int64) - have, 0)


def requests(short: Sequence[int] | Array, real_labels: Array, seed: int = 0) -> list[tuple[int, int]]:
    """One (topic, index of a real document of that topic to be its seed) for each row that is short.

    Each document once before any comes again. A topic of which there is no real document cannot be asked for.
    """
    rng = np.random.default_rng(seed)
    asked = []
    for topic, count in enumerate(np.asarray(short, np.int64).tolist()):
        documents = rng.permutation(np.flatnonzero(np.asarray(real_labels) == topic))
        if len(documents):
            asked += [(topic, int(documents[at % len(documents)])) for at in range(count)]
    return asked

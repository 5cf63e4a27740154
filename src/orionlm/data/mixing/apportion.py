"""How do weights become tokens, none past its cap, and then whole places in a block of sequences?"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
# A block has as few sequences as come within CLOSE of every weight: a run's end then cuts little of the last one off.
BLOCK, LARGEST_BLOCK, CLOSE = 256, 4096, 0.002


def poured(asked: Array, otherwise: Array, room: Array, total: float) -> Array:
    """`total` tokens over domains in proportion to `asked`, none past its `room`; what `asked` cannot hold goes by the
    weights `otherwise`, and at last evenly by room."""
    amount = np.zeros(len(asked))
    for weights in (asked, otherwise, room):
        due, free = total - amount.sum(), room - amount
        able = weights > 0
        while due > 1e-9 * total and (able & (free > 1e-9 * total)).any():
            able &= free > 1e-9 * total
            part = np.minimum(free, due * weights * able / weights[able].sum())
            amount, free, due = amount + part, free - part, due - part.sum()
    return amount


def whole_places(weights: Array, capped: Array) -> Array:
    """Whole places in a block for each domain: in the smallest block, from `BLOCK` on, where every domain comes within
    `CLOSE` of its weight, or else the largest. What is capped, or due less than half a place, is rounded up last."""
    size = BLOCK
    while True:
        exact = weights * size
        places = np.floor(exact + 1e-6).astype(int)
        claim = np.where(capped | (exact < 0.5), -1 / (1 + exact), exact - places)
        order = np.argsort(-claim, kind="stable")
        places[order[: size - int(places.sum())]] += 1
        off = np.abs(places - exact)[weights > 0] / exact[weights > 0]
        if size == LARGEST_BLOCK or off.max() <= CLOSE:
            return places
        size *= 2

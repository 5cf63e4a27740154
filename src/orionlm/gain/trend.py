"""Does a lever grow or fade as runs get larger?"""

from __future__ import annotations

import numpy as np

from orionlm.gain.solve import Interval, Runs, crossing

Array = np.ndarray


def trend(runs: Runs, curves: Array, c: Array, level: float) -> Interval | None:
    """The factor by which the gain changes for each 10× of compute: a weighted line through the rows' own gains."""
    if np.ptp(c) < np.log(1.3):
        return None
    each = np.stack([crossing(curves[:, i], runs.truth[:, i]) for i in range(len(c))], -1)
    told = np.isfinite(each).all(-1)
    if told.mean() < 0.9:
        return None
    inverse = runs.inverse(np.ones(len(c), bool))
    design = np.column_stack([np.ones_like(c), c - c.mean()])
    line = np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)[runs.share, 1]
    return Interval.of((line[told] * each[told]).sum(-1) * np.log(10), level)

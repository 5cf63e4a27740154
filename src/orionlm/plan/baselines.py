"""What could anybody say of the next run without a law?"""

from __future__ import annotations

import math
from collections.abc import Iterable


def baselines(flops: Iterable[float], losses: Iterable[float], target: float) -> dict[str, float]:
    """What anybody could say without a law: the last rung's loss again; the line through the last two in logarithms.

    A rung here is all points of one FLOP budget; its loss is the best of them.
    """
    best: dict[float, float] = {}
    for spent, loss in zip(flops, losses, strict=True):
        budget = next((known for known in best if abs(math.log(spent / known)) < 0.05), float(spent))
        best[budget] = min(best.get(budget, math.inf), float(loss))
    (c1, l1), (c2, l2) = sorted(best.items())[-2:]
    slope = math.log(l2 / l1) / math.log(c2 / c1)
    return {"last rung": l2, "straight line": l2 * (target / c2) ** slope}

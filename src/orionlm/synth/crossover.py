"""With how much genuine text does synthetic text stop paying? From students at several amounts of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

DRAWS, LEVEL = 4000, 0.9
Z = 1.6448536269514722  # of a two-sided 90% interval


def crossover(studies: Sequence[Mapping[str, Any]], arm: str, kind: str) -> dict[str, Any]:
    """Where the gain of `arm` over real text (`kind`: gross, net or net_of_teacher) falls to 1.

    `studies` are `students.json` pages. The logarithm of the gain is read between amounts (ln tokens of genuine text)
    on straight lines through draws of it, each amount's interval taken for a normal distribution. A gain that is only
    known to be "more than" so much says that it pays there, and no line goes through it. `says`: pays below so many
    tokens, at all amounts tried, at none of them, or cannot tell.
    """
    points = []
    for page in studies:
        gain = page["gains"].get(arm, {}).get("over_real", {}).get(kind)
        if gain:
            low, middle, high = (_log(gain[name]) for name in ("low", "value", "high"))
            ends = [abs(end - middle) / Z for end in (low, high) if math.isfinite(end) and math.isfinite(middle)]
            sd = sum(ends) / len(ends) if ends else 0.0
            points.append((math.log(page["unique_tokens"]["real"]), middle, sd, low, high))
    points.sort()
    found: dict[str, Any] = {"arm": arm, "kind": kind, "n": len(points), "tokens": None}
    if len(points) < 2:
        return found | {"says": "cannot tell: fewer than two amounts of real text with a gain"}
    x, middle, sd, low, high = np.array(points).T
    tried = f"{math.exp(x[0]):,.0f} to {math.exp(x[-1]):,.0f} real tokens"
    if (low > 0).all():
        return found | {"says": f"pays at every amount tried, {tried}"}
    if (high < 0).all():
        return found | {"says": f"pays at no amount tried, {tried}"}
    drawn = middle + sd * np.random.default_rng(0).standard_normal((DRAWS, len(x)))
    places = np.array([_falls_to_zero(x, gains) for gains in drawn])
    inside = np.isfinite(places)
    if inside.mean() < LEVEL or not (low[0] > 0 and high[-1] < 0):
        return found | {"says": f"cannot tell where within {tried}"}
    value, least, most = (
        math.exp(float(np.quantile(places[inside], q))) for q in (0.5, (1 - LEVEL) / 2, (1 + LEVEL) / 2)
    )
    return found | {
        "tokens": {"value": value, "low": least, "high": most},
        "says": f"pays below {value:,.0f} ({least:,.0f} to {most:,.0f}) real tokens",
    }


def _falls_to_zero(x: np.ndarray, gains: np.ndarray) -> float:
    """Where the line through the points first goes from above 0 to below; NaN where it does not, or no line does."""
    for at in range(len(x) - 1):
        if gains[at] > 0 >= gains[at + 1]:
            if not (math.isfinite(gains[at]) and math.isfinite(gains[at + 1])):
                return math.nan
            return float(x[at] + (x[at + 1] - x[at]) * gains[at] / (gains[at] - gains[at + 1]))
    return math.nan


def _log(gain: float | None) -> float:
    """Of a number that is None where it is "more than can be told"."""
    return math.inf if gain is None else math.log(gain) if gain > 0 else -math.inf

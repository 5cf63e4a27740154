"""What is a score? Five attributes as HelpSteer has them (Wang et al., arXiv 2311.09528), each from 0 to 4.

What is missing, no number, not finite or out of range leaves the whole answer unscored, with its reason: it never
passes for a low score, or a high one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ATTRIBUTES = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
HIGHEST = 4.0


@dataclass(frozen=True)
class Scored:
    """The attributes of one answer; or none, and why."""

    values: Mapping[str, float] = field(default_factory=dict)
    error: str = ""

    @property
    def helpfulness(self) -> float:
        return self.values["helpfulness"]


def scored(given: Any, names: Sequence[str] = ATTRIBUTES, low: float = 0.0, high: float = HIGHEST) -> Scored:
    """`given` by name, brought from `low` … `high` to 0 … 4; all of `names` or nothing."""
    values = {}
    for name in names:
        value = given.get(name) if isinstance(given, Mapping) else None
        if value is None:
            return Scored(error=f"{name} is missing")
        if isinstance(value, bool) or not isinstance(value, int | float):
            return Scored(error=f"{name} = {str(value)[:20]!r} is no number")
        try:
            value = float(value)
        except OverflowError:  # whole numbers know no bounds
            value = math.inf
        if not math.isfinite(value):
            return Scored(error=f"{name} = {value} is not finite")
        if not low <= value <= high:
            return Scored(error=f"{name} = {value:g} is outside {low:g} to {high:g}")
        values[name] = HIGHEST * (value - low) / (high - low)
    return Scored(values)

"""What a stage expects of itself before it runs: its derived numbers and its cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Derived:
    """One number that follows from the settings, with the formula it follows by."""

    name: str
    value: Any
    unit: str = ""
    formula: str = ""


@dataclass(frozen=True)
class Estimate:
    """A stage's derived numbers, FLOPs, seconds on this machine (None: unknown), and what later stages may know."""

    numbers: list[Derived] = field(default_factory=list)
    flops: float = 0.0
    seconds: float | None = None
    provides: dict[str, Any] = field(default_factory=dict)

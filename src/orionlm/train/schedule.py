"""Warm-up, stable, decay: the learning rate as a share of its peak."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up over `warmup` steps, constant, then 1 - sqrt down to zero over the last `decay` of `steps`
    (Hägele et al. 2405.18392, §3). A branch off the stable phase is the same schedule with fewer `steps`, so a single
    trajectory gives many finished models."""

    warmup: int
    decay: int
    steps: int

    @property
    def decay_start(self) -> int:
        return self.steps - self.decay

    def __call__(self, step: int) -> float:
        """The multiplier for the update that `step` (counted from 0) makes; never zero."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if step < self.decay_start:
            return rise
        return rise * (1 - math.sqrt((step - self.decay_start + 0.5) / self.decay))

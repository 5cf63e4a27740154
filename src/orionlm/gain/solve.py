"""At how many times its compute does the baseline meet what the lever's runs measured? For each draw, runs pooled.

With the weights a ∝ R⁻¹1 of its rows' correlation R (rows of a run share noise), the
gain of a draw solves Σ a_i F_i(u) = Σ a_i (y_i − ε_i), F_i the baseline's draw and ε a draw of the rows' noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from orionlm.gain.baseline import Baseline

Array = np.ndarray
GRID = np.linspace(-np.log(200), np.log(200), 45)
CEILING = float(np.log(1e6))  # a multiple of compute past which nothing is for sale


@dataclass(frozen=True)
class Interval:
    """Median and central interval of a multiplier; None stands for "more than can be told" (no compute reaches it)."""

    value: float | None
    low: float | None
    high: float | None
    draws: Array = field(repr=False, compare=False, default_factory=lambda: np.empty(0))

    @classmethod
    def of(cls, logs: Array, level: float, limit: float = CEILING) -> Interval:
        """From draws of the logarithm (m,), infinities included: a low end of infinity is at least the `limit`."""
        ordered = np.sort(logs)
        at = np.round(np.array([0.5, (1 - level) / 2, (1 + level) / 2]) * (len(logs) - 1)).astype(int)
        value, low, high = (None if np.isposinf(v) else float(np.exp(v)) for v in ordered[at])
        low = float(np.exp(limit)) if low is None else low
        return cls(value, low, high, logs)

    @property
    def width(self) -> float:
        """The factor by which the interval reaches up and down: (high/low)^½."""
        return float("inf") if self.high is None or not self.low else float((self.high / self.low) ** 0.5)

    def to_json(self) -> dict:
        return {"value": self.value, "low": self.low, "high": self.high}


def span(interval: Mapping[str, float | None] | None) -> str:
    """A multiplier with its interval, as `Interval.to_json` gives it and people read it."""
    if interval is None:
        return "–"
    if interval["value"] is None:
        return f"more than ×{interval['low']:.3g}"
    high = "more" if interval["high"] is None else f"{interval['high']:.3g}"
    return f"×{interval['value']:.3g} ({interval['low']:.3g} to {high})"


class Runs:
    """A lever's rows and draws of their noise, out of which gains are solved. y (n,) is log loss, noise (m, n)."""

    def __init__(self, baseline: Baseline, run: Array, y: Array, rng: np.random.Generator) -> None:
        self.together = (run[:, None] == run[None, :]).astype(float)
        self.shares, self.share = np.unique(baseline.shared, return_inverse=True)
        _, member = np.unique(run, return_inverse=True)
        m, n = len(baseline), len(y)
        common, single = rng.standard_normal((m, int(member.max()) + 1))[:, member], rng.standard_normal((m, n))
        rho = baseline.shared[:, None]
        noise = np.sqrt(baseline.noise)[:, None] * (np.sqrt(rho) * common + np.sqrt(1 - rho) * single)
        self.truth = y - noise

    def inverse(self, rows: Array) -> Array:
        """R⁻¹ of the rows for each distinct share of noise in common: (shares, k, k)."""
        together = self.together[np.ix_(rows, rows)]
        return np.linalg.inv(
            (1 - self.shares[:, None, None]) * np.eye(len(together))
            + self.shares[:, None, None] * together
            + 1e-9 * np.eye(len(together))
        )

    def solve(self, curves: Array, rows: Array) -> Array:
        """u (m,) where the weighted mean of the baseline's curves (m, n, g) meets that of the rows of a mask."""
        weight = self.inverse(rows).sum(-1)
        weight = (weight / weight.sum(-1, keepdims=True))[self.share]
        target = (weight * self.truth[:, rows]).sum(-1)
        return crossing(np.einsum("mn,mng->mg", weight, curves[:, rows]), target)


def crossing(curve: Array, target: Array) -> Array:
    """Where falling curves (m, g) over GRID meet target (m,); ±infinity where they do so beyond it."""
    above = (curve > target[:, None]).sum(-1)
    inside = above.clip(1, curve.shape[1] - 1)
    left, right = (np.take_along_axis(curve, (inside - k)[:, None], -1)[:, 0] for k in (1, 0))
    part = np.clip((left - target) / np.maximum(left - right, 1e-12), 0, 1)
    u = GRID[inside - 1] + part * (GRID[1] - GRID[0])
    return np.where(above == 0, -np.inf, np.where(above == curve.shape[1], np.inf, u))

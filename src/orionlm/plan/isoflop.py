"""Compute-optimal sizes from isoflop curves: one parabola a budget, then a power law through their minima.

Loss is quadratic in ln N near the optimum of a budget (Hoffmann et al., 2203.15556, approach 2). A parabola that opens
downwards, or whose minimum lies at or past the smallest or largest run, says nothing about an optimum: it is refused.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.fit import Points


@dataclass(frozen=True)
class Curve:
    """One budget of `n` runs: the minimum's parameters, tokens and loss, or the reason why there is none."""

    flops: float
    n: int
    params: float | None = None
    tokens: float | None = None
    loss: float | None = None
    refused: str = ""


@dataclass(frozen=True)
class Frontier:
    """N* = G·(C/6)^a through the accepted minima (2203.15556, eq. 4), with the curves it came from."""

    exponent: float
    coefficient: float
    curves: tuple[Curve, ...]

    def params(self, flops: float) -> float:
        """N* of a budget."""
        return self.coefficient * (flops / 6) ** self.exponent


def isoflop_curves(points: Points, gap: float = 0.1) -> tuple[Curve, ...]:
    """A parabola for every budget; budgets are set apart where neighbours differ by more than `gap` in ln C."""
    order = np.argsort(points.flops)
    breaks = np.flatnonzero(np.diff(np.log(points.flops[order])) > gap) + 1
    return tuple(_curve(points.select(group)) for group in np.split(order, breaks))


def _curve(points: Points) -> Curve:
    flops, n = float(np.exp(np.log(points.flops).mean())), len(points)
    x, y = np.log(points.params), np.log(points.loss)
    if len(np.unique(points.params)) < 4:
        return Curve(
            flops, n, refused=f"{len(np.unique(points.params))} sizes are too few for a parabola; run at least 4"
        )
    middle = x.mean()
    bend, slope, level = np.polyfit(x - middle, y, 2)
    if bend <= 0:
        return Curve(flops, n, refused="concave: loss falls towards both ends; widen the range of sizes")
    lowest = middle - slope / (2 * bend)
    inner = np.unique(x)[[1, -2]]
    if not inner[0] <= lowest <= inner[1]:
        side = "smallest" if lowest < middle else "largest"
        return Curve(
            flops, n, refused=f"edge: the minimum lies at or past the {side} sizes; run sizes on both sides of it"
        )
    return Curve(
        flops, n, float(np.exp(lowest)), float(flops / 6 / np.exp(lowest)), float(np.exp(level - slope**2 / (4 * bend)))
    )


def isoflop_frontier(points: Points, gap: float = 0.1) -> Frontier:
    """The power law through the accepted minima. Raises UserError with the refusals if fewer than two are left."""
    curves = isoflop_curves(points, gap)
    found = [curve for curve in curves if curve.params]
    if len(found) < 2:
        why = "; ".join(f"{curve.flops:.2g} FLOPs {curve.refused}" for curve in curves if curve.refused)
        raise UserError(f"isoflop: {len(found)} of {len(curves)} budgets have a minimum, two are needed ({why})")
    a, g = np.polyfit(np.log([c.flops / 6 for c in found]), np.log([c.params for c in found if c.params]), 1)
    return Frontier(float(a), float(np.exp(g)), curves)

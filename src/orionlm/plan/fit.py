"""Fits a law to runs by the robust method of Hoffmann et al. and Besiroglu et al., with a bootstrap over runs.

Minimised is Σ Huber_δ(ln L̂ − ln L), δ = 1e-3, *summed* (2203.15556, eq. 3; 2404.10102, §3: averaging lets the optimiser
stop too early), from a grid of starts, all starts and all bootstrap resamples at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.laws import CHINCHILLA, Law

Array = np.ndarray
DELTA = 1e-3


@dataclass(frozen=True)
class Points:
    """What a fit reads of a run table: (n,) arrays of parameters, tokens, losses, and the run each row belongs to."""

    params: Array
    tokens: Array
    loss: Array
    run: Array
    unit: str = "loss"

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def flops(self) -> Array:
        """6·N·D for each row (2001.08361, §2.1)."""
        return 6.0 * self.params * self.tokens

    def select(self, keep: Array) -> Points:
        """The rows that a mask or an index array names."""
        return Points(self.params[keep], self.tokens[keep], self.loss[keep], self.run[keep], self.unit)

    def without_worst(self, count: int) -> Points:
        """All but the `count` rows of highest loss, in their order (Besiroglu et al. drop five)."""
        if not 0 <= count < len(self):
            raise UserError(f"drop-worst = {count}: the table has {len(self)} rows; leave at least one")
        return self.select(np.sort(np.argsort(self.loss, kind="stable")[: len(self) - count]))


def check_spread(points: Points, law: Law) -> None:
    """Raises UserError where the rows cannot tell the law's parameters apart: too few, at one N or D, or on a line."""
    needed = len(law.parameters) + 1
    if len(points) < needed:
        raise UserError(f"runs: {len(points)} rows are too few for the law '{law.name}'; give at least {needed}")
    if not (points.loss.min() > 1e-6 and points.loss.max() < 1e6):
        worst = points.loss[np.abs(np.log(points.loss)).argmax()]
        raise UserError(f"loss = {worst:.3g}: no loss in nats or bits is so large or small; check the column's unit")
    if np.ptp(np.log(points.loss)) < 1e-9:
        raise UserError(
            f"loss: all runs have the same loss, {points.loss[0]:.4g}, so they show no law; check the column"
        )
    x, z = np.log(points.params), np.log(points.tokens)
    if law.name == "data":
        if np.ptp(z) < 0.1:
            raise UserError("tokens: all runs have the same number of tokens; vary it")
        if np.ptp(x) > 0.1:
            raise UserError("params: the law 'data' describes one model size; leave one size in the table")
        return
    if law.name == "compute":
        if np.ptp(x + z) < 0.1:
            raise UserError("flops: all runs have the same compute; vary it")
        return
    for name, value, other in (("params", x, "data"), ("tokens", z, None)):
        if np.ptp(value) < 0.1:
            mend = f"vary it, or fit the law '{other}'" if other else "vary it"
            raise UserError(f"{name}: all runs have about the same value, {np.exp(value.mean()):.3g}; {mend}")
    centred = np.stack([x - x.mean(), z - z.mean()])
    if np.linalg.svd(centred, compute_uv=False)[1] < 0.05 * np.sqrt(len(points)):
        raise UserError(
            "params and tokens: all runs lie on one line in ln N and ln D (such as tokens = k·params); "
            "vary one against the other, or fit the law 'compute'"
        )


def minimise(
    model: Callable[[Array, Array], tuple[Array, Array, Array]], theta: Array, steps: int, tolerance: float = 1e-9
) -> tuple[Array, Array]:
    """Levenberg–Marquardt on a batch of independent problems.

    `model(theta (k, p), which (k,))` gives, for the problems numbered `which`, cost (k,), gradient (k, p) and a
    positive semi-definite curvature (k, p, p). A problem leaves the batch when its relative gain falls below
    `tolerance` or no step helps. Returns theta (batch, p) and cost (batch,).
    """
    theta = np.array(theta, float)
    best, live = np.empty(len(theta)), np.arange(len(theta))
    cost, slope, curve = model(theta, live)
    best[:] = cost
    damping = np.full(len(theta), 1e-3)
    eye = np.eye(theta.shape[1])
    for _ in range(steps):
        if not len(live):
            break
        scale = np.einsum("bii->bi", curve) + 1e-12 * np.einsum("bii->b", curve)[:, None] + 1e-300
        step = np.linalg.solve(curve + (damping[:, None] * scale)[:, :, None] * eye, slope[..., None])[..., 0]
        trial = theta[live] - step
        new_cost, new_slope, new_curve = model(trial, live)
        better = new_cost < cost
        gain = np.where(better, (cost - new_cost) / (np.abs(cost) + 1e-300), 1.0)
        theta[live[better]] = trial[better]
        slope[better], curve[better], cost[better] = new_slope[better], new_curve[better], new_cost[better]
        damping = np.where(better, np.maximum(damping / 5, 1e-10), damping * 5)
        best[live] = cost
        keep = (gain > tolerance) & (damping < 1e8)
        live, slope, curve, cost, damping = live[keep], slope[keep], curve[keep], cost[keep], damping[keep]
    return theta, best


def huber_model(law: Law, x: Array, z: Array, y: Array, counts: Array) -> Callable:
    """Σ counts·Huber_δ(ln L̂ − y) of each problem in a batch, for `minimise`. counts (batch, n)."""

    def model(theta: Array, which: Array) -> tuple[Array, Array, Array]:
        value, jacobian = law.log_loss(theta, x, z)
        residual = value - y
        size = np.abs(residual)
        count = counts[which] if len(counts) > 1 else counts
        cost = (count * np.where(size < DELTA, residual**2 / 2, DELTA * (size - DELTA / 2))).sum(-1)
        weighted = (count * np.minimum(1.0, DELTA / np.maximum(size, DELTA)))[..., None] * jacobian
        slope = (residual[:, None, :] @ weighted)[:, 0]
        return np.nan_to_num(cost, nan=np.inf), slope, weighted.swapaxes(-1, -2) @ jacobian

    return model


def starts(law: Law, y: Array) -> Array:
    """A grid of starts (k, p), for x and z measured from the middle of the data: floors, shares and exponents."""
    low, middle = float(y.min()), float(np.median(y))
    mean = law.exponent[0]
    choices = {
        "e": [low + np.log(f) for f in (0.1, 0.4, 0.7, 0.95)],
        "a": [middle + np.log(f) for f in (0.05, 0.3)],
        "b": [middle + np.log(f) for f in (0.05, 0.3)],
        "k": [middle + np.log(f) for f in (0.05, 0.3)],
        "alpha": [0.6 * mean, 1.5 * mean],
        "beta": [0.6 * mean, 1.5 * mean],
        "gamma": [0.6 * mean, 1.5 * mean],
    }
    grid = np.meshgrid(*(choices[name] for name in law.parameters), indexing="ij")
    return np.stack([axis.ravel() for axis in grid], axis=-1)


def _finite(value: Any) -> float | None:
    return float(value) if np.isfinite(value) else None


@dataclass(frozen=True)
class RobustFit:
    """A law's robust fit: `theta` (p,), bootstrap `draws` (resamples, p), and the summed Huber loss, `objective`."""

    law: Law
    theta: Array
    draws: Array
    objective: float
    n: int
    seconds: float

    def values(self, theta: Array | None = None) -> dict[str, Array]:
        """Coefficients and exponents by their usual names (A, B, E, alpha, …), of `theta` (..., p) or the best fit."""
        theta = self.theta if theta is None else theta
        named = {name: theta[..., i] for i, name in enumerate(self.law.parameters)}
        with np.errstate(over="ignore"):
            coefficients = {name.upper(): np.exp(v) for name, v in named.items() if len(name) == 1}
        usual = coefficients | {name: v for name, v in named.items() if len(name) > 1}
        if self.law.name == "gadre":
            usual["alpha"] = usual["beta"]
        return usual

    def sd(self) -> dict[str, float | None]:
        """Standard deviation of each value over the bootstrap; None where it is beyond all numbers."""
        if len(self.draws) < 2:
            return {}
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: _finite(np.std(v, ddof=1)) for name, v in self.values(self.draws).items()}

    def interval(self, level: float = 0.9) -> dict[str, list[float | None]]:
        """Central bootstrap interval of each value; None for an end beyond all numbers."""
        if len(self.draws) < 2:
            return {}
        tails = [(1 - level) / 2, (1 + level) / 2]
        with np.errstate(over="ignore", invalid="ignore"):
            return {name: [_finite(q) for q in np.quantile(v, tails)] for name, v in self.values(self.draws).items()}

    def to_json(self) -> dict:
        """Values, `sd` and 90% `interval` of each, `objective`, `n` and `seconds`."""
        return {name: _finite(v) for name, v in self.values().items()} | {
            "law": self.law.name,
            "sd": self.sd(),
            "interval": self.interval(),
            "objective": self.objective,
            "n": self.n,
            "seconds": self.seconds,
        }


def fit_robust(points: Points, law: Law = CHINCHILLA, bootstrap: int = 0, seed: int = 0) -> RobustFit:
    """The best robust fit of `law`, and `bootstrap` refits to resampled runs (rows of one run go together)."""
    begin = time.perf_counter()
    check_spread(points, law)
    x, z, y = np.log(points.params), np.log(points.tokens), np.log(points.loss)
    x0, z0 = float(x.mean()), float(z.mean())
    everything = np.ones((1, len(y)))
    grid, cost = minimise(huber_model(law, x - x0, z - z0, y, everything), starts(law, y), 60, 1e-6)
    best = grid[[int(np.argmin(cost))]]
    best, cost = minimise(huber_model(law, x - x0, z - z0, y, everything), best, 2000, 1e-13)
    draws = np.empty((0, len(law.parameters)))
    _, member = np.unique(points.run, return_inverse=True)
    runs = int(member.max()) + 1
    if bootstrap and runs > 1:  # one run alone does not tell how much runs differ
        counts = np.random.default_rng(seed).multinomial(runs, np.full(runs, 1 / runs), size=bootstrap)[:, member]
        draws, _ = minimise(
            huber_model(law, x - x0, z - z0, y, counts.astype(float)), np.repeat(best, bootstrap, axis=0), 200, 1e-7
        )
        draws = law.moved(draws, x0, z0)
    return RobustFit(law, law.moved(best[0], x0, z0), draws, float(cost[0]), len(points), time.perf_counter() - begin)

"""Forecasts beyond the ladder: the loss of a run not yet made, the best use of a budget, and what more compute buys.

An interval carries the parameters' uncertainty and the laws' disagreement (the posterior of `posterior.fit_laws`), the
departure of the world from any law, growing with distance, and the noise of the new run itself. It is a mixture of
normal distributions of log loss, one for each draw of the posterior, so its quantiles need no further sampling.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.posterior import Fits, LawFit, covariances, departure, departure_variance

Array = np.ndarray
MAX_FACTOR = 16.0
RATIO_MARGIN = 10.0
LARGEST = 1e20  # params or tokens; beyond it a number is taken for a slip of the pen
# However smooth the fitted rows lie, what no run has seen departs by at least this share of the loss per e-fold. Fits
# to the smaller Chinchilla runs miss the larger ones by 1%, and five trainings of one target of the quickstart differ
# by .8%, more than any rung does (docs/NOTES.md).
DEPARTURE_FLOOR = 0.010


@dataclass(frozen=True)
class Forecast:
    """Loss of one new run, in the fitted unit: median and central interval at `level`.

    `extrapolation_factor` is its FLOPs over the largest fitted; `by_law` gives each law's weight, loss, low and high.
    """

    loss: float
    low: float
    high: float
    level: float
    extrapolation_factor: float
    by_law: dict[str, dict[str, float]]
    warnings: list[str]
    unit: str
    params: float
    tokens: float
    flops: float

    @property
    def half_width(self) -> float:
        """Half the interval over the loss."""
        return (self.high - self.low) / 2 / self.loss

    def to_json(self) -> dict:
        """Plain numbers."""
        return asdict(self) | {"half_width": self.half_width}


def quantiles(mean: Array, sd: Array, weight: Array, levels: list[float]) -> list[float]:
    """Quantiles of a mixture of normals, by bisection. mean, sd and weight are (m,); weight sums to 1."""
    from scipy.special import ndtr

    low, high = (mean - 9 * sd).min(), (mean + 9 * sd).max()
    found = []
    for level in levels:
        a, b = low, high
        for _ in range(60):
            middle = (a + b) / 2
            a, b = (middle, b) if weight @ ndtr((middle - mean) / sd) < level else (a, middle)
        found.append(float((a + b) / 2))
    return found


def predictive(fits: Fits, fit: LawFit, params: float, tokens: float, noise: bool = True) -> tuple[Array, Array]:
    """Mean and standard deviation (m,) of log loss at one place, for each draw of one law.

    The departure there is that of the rows carried over (kriging: Rasmussen & Williams 2006, eq. 2.23–2.24), plus its
    uncertainty; with `noise` that of one new run is added.
    """
    x0, z0 = fits.origin
    points = fits.points
    value, _ = fit.law.log_loss(
        fit.theta, np.log(np.append(points.params, params)) - x0, np.log(np.append(points.tokens, tokens)) - z0
    )
    place = np.array([params]), np.array([tokens])
    toward = departure(points, *place)[:, 0]
    kappa = np.array([kappa for _, kappa in fits.cells])
    carry = kappa[:, None] * (np.linalg.inv(covariances(points, fits.row_variance, fits.cells)) @ toward)
    beyond = departure_variance(points, params, tokens)
    left = kappa * beyond - kappa * (carry @ toward)
    residual = np.log(points.loss) - value[:, :-1]
    mean = value[:, -1] + (carry[fit.cell] * residual).sum(-1)
    unseen = np.maximum(DEPARTURE_FLOOR**2 - kappa[fit.cell] * fit.variance, 0) * beyond
    own = fits.row_variance.mean() if noise else 0.0
    return mean, np.sqrt(fit.variance * (np.maximum(left, 0)[fit.cell] + own) + unseen + 1e-18)


def _mixture(fits: Fits, params: float, tokens: float, noise: bool = True) -> tuple[Array, Array, Array]:
    parts = [
        (*predictive(fits, fit, params, tokens, noise), np.full(len(fit.theta), fit.weight / len(fit.theta)))
        for fit in fits.laws
    ]
    mean, sd, weight = (np.concatenate(part) for part in zip(*parts, strict=True))
    return mean, sd, weight


def _check(fits: Fits, params: float, tokens: float, level: float, extrapolate: bool) -> tuple[float, list[str]]:
    for name, value in (("params", params), ("tokens", tokens)):
        if not 1 <= value <= LARGEST:
            raise UserError(f"{name} = {value:g}: give 1 to {LARGEST:g} {name}")
    if not 0 < level < 1:
        raise UserError(f"level = {level}: give a share between 0 and 1, such as 0.9")
    points = fits.points
    factor = 6 * params * tokens / points.flops.max()
    if factor > MAX_FACTOR and not extrapolate:
        raise UserError(
            f"forecast: {6 * params * tokens:.3g} FLOPs is {factor:.3g} times the largest fitted run, past "
            f"the limit of {MAX_FACTOR:g}; fit larger runs, or ask for it with --extrapolate"
        )
    names = {fit.law.name for fit in fits.laws}
    ratio, ratios = tokens / params, points.tokens / points.params
    if "data" in names and abs(np.log(params / points.params.mean())) > 0.1:
        raise UserError(
            f"params = {params:g}: the law 'data' knows only {points.params.mean():.4g} parameters; "
            "fit runs of several sizes"
        )
    if "compute" in names and not ratios.min() / 1.5 < ratio < ratios.max() * 1.5:
        raise UserError(
            f"tokens = {tokens:g}: the law 'compute' knows {ratios.min():.3g} to {ratios.max():.3g} tokens "
            "a parameter; stay on that path, or fit runs that leave it"
        )
    warnings = []
    if factor > MAX_FACTOR:
        warnings.append(f"extrapolates {factor:.3g} times past the largest fitted run (limit {MAX_FACTOR:g})")
    for name, value, known in (("params", params, points.params), ("tokens", tokens, points.tokens)):
        if value < known.min():
            warnings.append(f"{name} {value:.3g} lies below the smallest fitted, {known.min():.3g}")
    if not ratios.min() / RATIO_MARGIN < ratio < ratios.max() * RATIO_MARGIN:
        warnings.append(
            f"{ratio:.3g} tokens a parameter, far outside the fitted {ratios.min():.3g} to {ratios.max():.3g}"
        )
    return float(factor), warnings


def forecast(fits: Fits, params: float, tokens: float, level: float = 0.9, extrapolate: bool = False) -> Forecast:
    """The loss of one new run of N = `params` on D = `tokens`.

    Raises UserError past 16 times the largest fitted FLOPs unless `extrapolate`, and where no law describes the place.
    """
    factor, warnings = _check(fits, params, tokens, level, extrapolate)
    tails = [0.5, (1 - level) / 2, (1 + level) / 2]
    loss, low, high = np.exp(quantiles(*_mixture(fits, params, tokens), tails))
    by_law = {}
    for fit in fits.laws:
        mean, sd = predictive(fits, fit, params, tokens)
        middle, below, above = np.exp(quantiles(mean, sd, np.full(len(mean), 1 / len(mean)), tails))
        by_law[fit.law.name] = {"weight": fit.weight, "loss": float(middle), "low": float(below), "high": float(above)}
    return Forecast(
        float(loss),
        float(low),
        float(high),
        level,
        factor,
        by_law,
        warnings,
        fits.points.unit,
        float(params),
        float(tokens),
        6.0 * params * tokens,
    )


@dataclass(frozen=True)
class Optimum:
    """The split of `flops` = 6·N·D of lowest loss, with central intervals of the laws (no run noise)."""

    flops: float
    params: float
    params_low: float
    params_high: float
    tokens: float
    tokens_low: float
    tokens_high: float
    loss: float
    low: float
    high: float
    level: float
    extrapolation_factor: float
    warnings: list[str]


def optimum(fits: Fits, flops: float, level: float = 0.9, extrapolate: bool = False) -> Optimum:
    """N* and D* of a budget (2203.15556, eq. 4, found numerically so that every law has one).

    Raises UserError past the limit of extrapolation, for laws of one variable, and where most draws have no optimum
    between a thousandth and a thousand times the balance of the fitted runs.
    """
    if not (np.isfinite(flops) and flops > 0):
        raise UserError(f"flops = {flops}: give a positive number")
    if {fit.law.name for fit in fits.laws} & {"data", "compute"}:
        raise UserError("optimum: the law fitted does not tell parameters from tokens; fit runs that vary both")
    points = fits.points
    balance = 0.5 * np.log(flops / 6) - 0.5 * np.log(points.tokens / points.params).mean()
    x0, z0 = fits.origin
    grid = balance + np.linspace(-np.log(1000), np.log(1000), 121)
    step = grid[1] - grid[0]
    best, weight, edges = [], [], []
    for fit in fits.laws:
        value, _ = fit.law.log_loss(fit.theta, grid - x0, np.log(flops / 6) - grid - z0)
        at = value.argmin(-1)
        inner = at.clip(1, len(grid) - 2)
        left, middle, right = (np.take_along_axis(value, (inner + k)[:, None], -1)[:, 0] for k in (-1, 0, 1))
        bend = left - 2 * middle + right
        best.append(grid[inner] + step * np.clip((left - right) / (2 * np.where(bend > 0, bend, np.inf)), -1, 1))
        weight.append(np.full(len(at), fit.weight / len(at)))
        edges.append(at != inner)
    x, share, edge = (np.concatenate(part) for part in (best, weight, edges))
    lost = float(share[edge].sum())
    if lost > 0.5:
        raise UserError(
            f"optimum: at {flops:.3g} FLOPs the loss has no minimum in reach of the fitted runs; "
            "add runs at other ratios of tokens to params"
        )
    tails = np.array([0.5, (1 - level) / 2, (1 + level) / 2])
    order = np.argsort(x)
    middle, below, above = x[order][np.searchsorted(np.cumsum(share[order]), tails).clip(max=len(x) - 1)]
    params, tokens = float(np.exp(middle)), float(flops / 6 / np.exp(middle))
    factor, warnings = _check(fits, params, tokens, level, extrapolate)
    if lost > 0.05:
        warnings.append(
            f"{100 * lost:.0f}% of the draws have no optimum in reach: intervals of params and tokens are too narrow"
        )
    loss, low, high = np.exp(quantiles(*_mixture(fits, params, tokens, noise=False), list(tails)))
    return Optimum(
        float(flops),
        params,
        float(np.exp(below)),
        float(np.exp(above)),
        tokens,
        float(flops / 6 / np.exp(above)),
        float(flops / 6 / np.exp(below)),
        float(loss),
        float(low),
        float(high),
        level,
        factor,
        warnings,
    )


def wall(fits: Fits, steps: int = 4, level: float = 0.9) -> list[dict[str, float]]:
    """What each further 10× of compute buys, from the largest fitted run on, each budget spent at its optimum.

    One row a budget: flops, params, tokens, loss, low, high, extrapolation_factor, and `drop`, the relative fall in
    loss from the budget before (0 in the first row), with the interval of the laws alone. The factor says how far a
    row extrapolates.
    """
    rows: list[dict[str, float]] = []
    before = None
    for k in range(steps + 1):
        best = optimum(fits, float(fits.points.flops.max()) * 10.0**k, level, extrapolate=True)
        mean, _, weight = _mixture(fits, best.params, best.tokens, noise=False)
        drop = {"drop": 0.0, "drop_low": 0.0, "drop_high": 0.0}
        if before is not None:
            fall = 1 - np.exp(mean - before)
            order = np.argsort(fall)
            at = np.searchsorted(np.cumsum(weight[order]), [0.5, (1 - level) / 2, (1 + level) / 2]).clip(
                max=len(fall) - 1
            )
            drop = dict(zip(drop, map(float, fall[order][at]), strict=True))
        rows.append(
            {
                "flops": best.flops,
                "params": best.params,
                "tokens": best.tokens,
                "loss": best.loss,
                "low": best.low,
                "high": best.high,
                "extrapolation_factor": best.extrapolation_factor,
            }
            | drop
        )
        before = mean
    return rows

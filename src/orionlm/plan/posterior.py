"""What a handful of runs says about several laws at once: the posterior that forecasts are drawn from.

A ladder has 9 to 20 points, and several laws of five parameters each pass through them: a best fit is not enough, and
a bootstrap of so few points is unstable. So log loss is modelled as

    ln L_i = ln law(N_i, D_i; θ) + departure(N_i, D_i) + noise shared by a run's rows + noise of the row

- θ has weak Gaussian priors. Exponents .34 ± .1 (Hoffmann .34/.28, Besiroglu .35/.37, Muennighoff .35, Shukor .30/.34),
  without a floor .12 ± .06 (Kaplan .076/.095). ln of the floor: that of 0.4 of the lowest loss, ± .6. ln of each
  reducible term at the middle of the ladder: that of 0.3 of the median loss, ± 1.
- The departure is a smooth random path in ln N plus one in ln D, both zero at the top of the ladder: no law is exact,
  and far rungs say less about the top than near ones. It widens a forecast with distance beyond what θ does.
- Noise: σ² has a scaled inverse-χ² prior (.5%, 4 degrees of freedom) and is integrated out. The share ρ of it that the
  rows of one run have in common, and the departure's size κ = (departure per e-fold)²/σ², are averaged over a grid.
  A row's own noise is Student's t with 4 degrees of freedom where there are rows enough to tell: as a normal whose
  variance is the one that a robust fit gives the row (Lange, Little & Taylor 1989, eq. 3).

Laws are weighted by their evidence (Kass & Raftery 1995, eq. 1); the departure is the discrepancy of Kennedy & O'Hagan
(2001, eq. 4). The grid of κ was chosen on the simulated worlds of `simulate`, for coverage; no real forecast chose it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import log, pi
from pathlib import Path

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.fit import Points, check_spread, fit_robust, minimise
from orionlm.plan.laws import JOINT, LAWS, Law
from orionlm.plan.sampling import population, systematic

Array = np.ndarray
VERSION = 2
NOISE, NOISE_DOF = 0.005, 4.0
RUN_SHARE = (0.0, 0.4, 0.8)
DEPARTURE = (0.2, 0.6, 2.0)
MAX_ROWS = 2000
TAILED_ROWS, TAIL_DOF = 30, 4.0
SPREAD = 1.3
PROPOSALS, ROUNDS = 2000, 10


@dataclass(frozen=True)
class LawFit:
    """One law's posterior: equally weighted draws. theta (m, p) is for x = ln N − x0, z = ln D − z0 of its `Fits`."""

    law: Law
    weight: float
    theta: Array
    variance: Array
    cell: Array
    effective: float


@dataclass(frozen=True)
class Fits:
    """Several laws fitted to the same points, and, where one was asked for, the robust fit beside them."""

    points: Points
    laws: tuple[LawFit, ...]
    cells: tuple[tuple[float, float], ...]
    row_variance: Array
    version: int = VERSION
    robust: dict | None = None

    @property
    def origin(self) -> tuple[float, float]:
        """Means of ln N and ln D, from which the laws measure."""
        return float(np.log(self.points.params).mean()), float(np.log(self.points.tokens).mean())

    def to_json(self) -> dict:
        """Plain lists and numbers, read back by `from_json`."""
        points = self.points
        return {
            "version": self.version,
            "unit": points.unit,
            "points": {name: getattr(points, name).tolist() for name in ("params", "tokens", "loss", "run")},
            "cells": [list(cell) for cell in self.cells],
            "row_variance": _rounded(self.row_variance),
            "laws": [
                {
                    "law": fit.law.name,
                    "source": fit.law.source,
                    "weight": fit.weight,
                    "effective": fit.effective,
                    "parameters": list(fit.law.parameters),
                    "theta": _rounded(fit.theta),
                    "variance": _rounded(fit.variance),
                    "cell": fit.cell.tolist(),
                }
                for fit in self.laws
            ],
            "robust": self.robust,
        }

    @classmethod
    def from_json(cls, value: dict) -> Fits:
        """Raises UserError for another version or a missing part."""
        if not isinstance(value, dict) or value.get("version") != VERSION:
            found = value.get("version") if isinstance(value, dict) else None
            raise UserError(f"fit: version {found!r} is not {VERSION}; fit the runs again with `orion fit`")
        try:
            rows = value["points"]
            params, tokens, loss = (np.array(rows[name], float) for name in ("params", "tokens", "loss"))
            points = Points(params, tokens, loss, np.array(rows["run"], dtype=object), value["unit"])
            laws = tuple(
                LawFit(
                    LAWS[fit["law"]],
                    fit["weight"],
                    np.array(fit["theta"]),
                    np.array(fit["variance"]),
                    np.array(fit["cell"]),
                    fit["effective"],
                )
                for fit in value["laws"]
            )
            cells = tuple((a, b) for a, b in value["cells"])
            row_variance = np.array(value["row_variance"], float)
            if not (laws and cells and row_variance.shape == (len(points),)):
                raise ValueError("laws, cells or row_variance")
            return cls(points, laws, cells, row_variance, VERSION, value["robust"])
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"fit: {error!r} is missing or malformed; fit the runs again with `orion fit`") from None


def read_fits(path: str | Path) -> Fits:
    """Reads what `orion fit --out` wrote."""
    try:
        return Fits.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
    except OSError:
        raise UserError(f"{path}: no such readable file; make it with `orion fit RUNS.csv --out {path}`") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise UserError(f"{path}: not a fit in JSON; make one with `orion fit RUNS.csv --out FIT.json`") from None


def _rounded(values: Array) -> list:
    return [[float(f"{v:.9g}") for v in row] if np.ndim(row) else float(f"{row:.9g}") for row in values]


def drift(u: Array, v: Array) -> Array:
    """Covariance at places u (n,) and v (m,) of a motion that starts at 0, and of another whose slope does → (n, m).

    The first is Brownian, min(|u|, |v|); the second its integral, min²·(3·max − min)/6, the prior of a cubic spline
    (Wahba 1978): exponents that change. Sides of 0 are independent.
    """
    u, v = u[:, None], v[None, :]
    near, far = np.minimum(np.abs(u), np.abs(v)), np.maximum(np.abs(u), np.abs(v))
    return np.where(u * v > 0, near + near**2 * (3 * far - near) / 6, 0.0)


def departure(points: Points, params: Array, tokens: Array) -> Array:
    """Covariance, in units of κσ², of the departures of rows and of places (N, D) (m,) → (n, m)."""
    top_x, top_z = np.log(points.params.max()), np.log(points.tokens.max())
    return drift(np.log(points.params) - top_x, np.log(params) - top_x) + drift(
        np.log(points.tokens) - top_z, np.log(tokens) - top_z
    )


def departure_variance(points: Points, params: float, tokens: float) -> float:
    """Variance of the departure at one place, in units of κσ²."""
    x, z = np.array([np.log(params / points.params.max())]), np.array([np.log(tokens / points.tokens.max())])
    return float((drift(x, x) + drift(z, z))[0, 0])


def row_variances(points: Points) -> Array:
    """The variance of each row's own noise, in units of σ² (n,): about 1 near a robust fit, more far from it."""
    if len(points) < TAILED_ROWS:
        return np.ones(len(points))
    fit = fit_robust(points)
    value, _ = fit.law.log_loss(fit.theta, np.log(points.params), np.log(points.tokens))
    square = (value - np.log(points.loss)) ** 2
    scale, weight = float(square.mean()), np.ones(len(points))
    for _ in range(100):
        weight = (TAIL_DOF + 1) / (TAIL_DOF + square / (scale + 1e-300))
        scale = float((weight * square).sum()) / (len(points) - len(fit.theta))
    return 1 / weight


def covariances(points: Points, row_variance: Array, cells: tuple[tuple[float, float], ...]) -> Array:
    """The rows' covariance in units of σ² in each cell (ρ, κ): (cells, n, n)."""
    together = (points.run[:, None] == points.run[None, :]).astype(float)
    away = departure(points, points.params, points.tokens)
    return np.stack([(1 - rho) * np.diag(row_variance) + rho * together + kappa * away for rho, kappa in cells])


def prior(law: Law, y: Array) -> tuple[Array, Array]:
    """Mean and standard deviation (p,) of theta, for x and z measured from the middle of the data."""
    low, middle = float(y.min()), float(np.median(y))
    term = (middle + np.log(0.3), 1.0)
    whole = (middle, 1.0) if "e" not in law.parameters else term
    table = {
        "e": (low + np.log(0.4), 0.6),
        "a": whole,
        "b": whole,
        "k": term,
        "alpha": law.exponent,
        "beta": law.exponent,
        "gamma": law.exponent,
    }
    mean, sd = zip(*(table[name] for name in law.parameters), strict=True)
    return np.array(mean), np.array(sd)


def fit_laws(points: Points, laws: tuple[str, ...] = JOINT, draws: int = 1000, seed: int = 0) -> Fits:
    """The posterior of each named law given the points, each as `draws` equally weighted draws.

    Raises UserError for unknown laws, and for points that are too few, too many, or cannot tell parameters apart.
    """
    unknown = [name for name in laws if name not in LAWS]
    if unknown or not laws:
        raise UserError(f"law = {', '.join(unknown) or 'none'}: choose from {', '.join(LAWS)}")
    if len(points) > MAX_ROWS:
        raise UserError(f"runs: {len(points)} rows are more than {MAX_ROWS}; keep the largest runs, or one point a run")
    for name in laws:
        check_spread(points, LAWS[name])
    shares = RUN_SHARE if len(np.unique(points.run)) < len(points) else RUN_SHARE[:1]
    cells = tuple((rho, kappa) for rho in shares for kappa in DEPARTURE)
    row_variance = row_variances(points)
    factor = np.linalg.cholesky(covariances(points, row_variance, cells))
    whiten = np.linalg.inv(factor)
    log_det = 2 * np.log(np.diagonal(factor, axis1=1, axis2=2)).sum(-1)
    rng = np.random.default_rng(seed)
    fits = [_sample(LAWS[name], points, whiten, log_det, draws, rng) for name in laws]
    evidence = np.array([fit.weight for fit in fits])
    weight = np.exp(evidence - evidence.max())
    weight /= weight.sum()
    weighted = tuple(replace(fit, weight=float(w)) for fit, w in zip(fits, weight, strict=True))
    return Fits(points, weighted, cells, row_variance)


def _sample(law: Law, points: Points, whiten: Array, log_det: Array, draws: int, rng: np.random.Generator) -> LawFit:
    """The law's posterior over theta, σ² and cells, with the log evidence as its `weight`. whiten (cells, n, n)."""
    x, z, y = np.log(points.params), np.log(points.tokens), np.log(points.loss)
    x, z = x - x.mean(), z - z.mean()
    mean, sd = prior(law, y)
    dof, floor = NOISE_DOF + len(y), NOISE_DOF * NOISE**2

    def log_posterior(theta: Array, misfit: Array) -> Array:
        return -0.5 * (dof * np.log(floor + misfit) + (((theta - mean) / sd) ** 2).sum(-1))

    def model(theta: Array, which: Array) -> tuple[Array, Array, Array]:
        value, jacobian = law.log_loss(theta, x, z)
        residual = (whiten[which] @ (value - y)[..., None])[..., 0]
        slope = whiten[which] @ jacobian
        misfit = (residual**2).sum(-1)
        scale = dof / (floor + misfit)
        gradient = scale[:, None] * (residual[:, None] @ slope)[:, 0] + (theta - mean) / sd**2
        curve = scale[:, None, None] * (slope.swapaxes(-1, -2) @ slope) + np.diag(sd**-2)
        return -log_posterior(theta, misfit), gradient, curve

    cells, width = len(whiten), len(mean)
    mode, _ = minimise(model, np.tile(mean, (cells, 1)), 100, 1e-10)
    factor = np.linalg.cholesky(np.linalg.inv(model(mode, np.arange(cells))[2]))

    exponents = [name in ("alpha", "beta", "gamma") for name in law.parameters]
    constant = -np.log(sd).sum() - width / 2 * log(2 * pi)

    def joint(theta: Array) -> tuple[Array, Array]:
        """Log density of (cell, theta) and the misfit there, both (cells, m)."""
        value, _ = law.log_loss(theta, x, z)
        misfit = (((value - y) @ whiten.swapaxes(-1, -2)) ** 2).sum(-1)
        return log_posterior(theta, misfit) - log_det[:, None] / 2 - log(cells) + constant, misfit

    def log_target(theta: Array) -> Array:
        value = joint(theta)[0]
        top = value.max(0)
        return np.where((theta[:, exponents] > 0).all(-1), top + np.log(np.exp(value - top).sum(0)), -np.inf)

    pool, weight, evidence = population(log_target, mode, SPREAD * factor, PROPOSALS, ROUNDS, rng)
    theta = pool[systematic(weight, draws, rng)]
    density, misfit = joint(theta)
    cell = (density + rng.gumbel(size=density.shape)).argmax(0)
    variance = (floor + misfit[cell, np.arange(draws)]) / rng.chisquare(dof, draws)
    return LawFit(law, evidence, theta, variance, cell, float(1 / (weight**2).sum()))

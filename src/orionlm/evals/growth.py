"""Does a task's score rise as compute does, and what would its curve have expected of the next generation?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

from orionlm.errors import UserError
from orionlm.evals.clustered import Score, asked, groups_of
from orionlm.evals.statistics import Verdict, verdict

Array = np.ndarray
# Scatter between runs over the scores' own error: half-Student's t of 4 degrees and scale 1, which few points can move.
SCATTER = np.concatenate([[0.0], np.geomspace(0.05, 60, 30)])

BINS = 1000  # a promised score is held to a thousandth: what is left is summed quickly


@dataclass(frozen=True)
class Point:
    """A generation: the compute it took (FLOPs), its score and that score's standard error."""

    compute: float
    score: float
    standard_error: float


@dataclass(frozen=True)
class Trend:
    """`slope` and its interval, in scores per tenfold compute. `verdict`: does the score improve by more than the
    margin? `blind`: no generation's score can be told from `chance`; then the verdict is "cannot tell"."""

    slope: float
    low: float
    high: float
    standard_error: float
    verdict: Verdict
    blind: bool
    chance: float | None
    n: int
    level: float


@dataclass(frozen=True)
class Expected:
    """What the curve through the generations promises at `compute`: the median score and its interval at `level`."""

    compute: float
    value: float
    low: float
    high: float
    level: float


def trend(
    points: Sequence[Point],
    chance: float | None,
    *,
    covariance: Array | None = None,
    margin: float = 0.0,
    lower_is_better: bool = False,
    level: float = 0.95,
) -> Trend:
    """A weighted line of scores in log10 compute, with the points' errors and what runs scatter beyond them.

    The scatter is not known but averaged over (Gelman 2006, a half-t prior on the scale of the errors, its likelihood
    that of meta-regression), so that few points give wide intervals. Scatter of three times the
    errors still escapes few points (of 95% intervals 67% hold at two, 76% at three, 84% at four to six; at the errors'
    own size 96% and more): where seeds are known to scatter so, add their variance to the errors.

    `chance` is None where guessing has no score.
    `covariance` (n, n) of the scores, `covariances`, makes it sharper: generations that answer the same questions err
    together. Without it the errors count as independent, which is too cautious.
    """
    x, y, errors = _checked(points, chance)
    known = np.diag(errors**2) if covariance is None else np.asarray(covariance, float)
    if known.shape != (len(x), len(x)):
        raise UserError(f"covariance: shape {known.shape} for {len(x)} points; give one row and column a point")
    design = np.column_stack([np.ones_like(x), x - x.mean()])
    scale = math.sqrt(float(np.trace(known)) / len(x)) or 1e-6
    slopes, deviations, weights = [], [], []
    for ratio in SCATTER:
        inverse = np.linalg.inv(known + ((ratio * scale) ** 2 + 1e-12 * scale**2) * np.eye(len(x)))
        curve = design.T @ inverse @ design
        found = np.linalg.solve(curve, design.T @ inverse @ y)
        left = y - design @ found
        likelihood = np.linalg.slogdet(inverse)[1] - np.linalg.slogdet(curve)[1] - left @ inverse @ left
        slopes.append(found[1])
        deviations.append(math.sqrt(np.linalg.inv(curve)[1, 1]))
        weights.append(likelihood / 2)
    weight = _scatter_prior() * np.exp(np.array(weights) - max(weights))
    weight /= weight.sum()
    centres, widths = np.array(slopes), np.array(deviations)
    ends = _quantiles(centres, widths, weight, [(1 - level) / 2, 0.5, (1 + level) / 2])
    error = math.sqrt(float((weight * (widths**2 + (centres - (weight * centres).sum()) ** 2)).sum()))
    low, slope, high = ends
    # Any of n points above chance: each is tested at its n-th part of the error (Bonferroni).
    limit = float(-ndtri((1 - level) / 2 / len(x)))
    blind = chance is not None and bool((y <= chance + limit * errors).all())
    said = verdict(-high, -low, margin) if lower_is_better else verdict(low, high, margin)
    return Trend(slope, low, high, error, "cannot tell" if blind else said, blind, chance, len(x), level)


def covariances(scores: Sequence[Sequence[Score]], clusters: Sequence[str] | None = None) -> Array:
    """The covariance (g, g) of g generations' mean scores over the same questions, clustered as their errors are."""
    means = np.stack([asked(one, None).means for one in scores])
    kept = np.isfinite(means).all(0)
    _, groups = np.unique(groups_of(clusters, means.shape[1])[kept], return_inverse=True)
    residual = means[:, kept] - means[:, kept].mean(1, keepdims=True)
    sizes = np.bincount(groups)
    if len(sizes) < 2:
        raise UserError(f"questions: {kept.sum()} in {len(sizes)} cluster(s) have scores of all; give two or more")
    totals = np.stack([np.bincount(groups, row) for row in residual])
    return (totals / (1 - sizes / sizes.sum())) @ totals.T / sizes.sum() ** 2


def expected(
    points: Sequence[Point],
    chance: float,
    computes: Sequence[float],
    *,
    standard_error: float = 0.0,
    level: float = 0.9,
) -> list[Expected]:
    """What each compute should score: chance + (1 − chance)·logistic(b·(log10 C − m)), b > 0, through the points.

    The curve rises from guessing to 1, and its posterior is summed on a grid: ln b ~ N(ln 1.5, 1) per tenfold compute,
    m flat from 3 decades below the points to 8 above, the scatter between runs as in `trend` but of twice the scale,
    for the run to come bears all of its own. Points near chance say little of where the curve will rise, and the
    interval is then as wide. `standard_error` is that of the score that is to be compared with it. On simulated ladders
    of 4 sizes by 4 lengths and 200 questions, 90 to 93% of the 90% intervals held the run of four times the compute, be
    the sizes' scatter none or 0.2 decades of compute.
    """
    at = np.asarray(computes, float)
    if not (np.isfinite(at) & (at > 0)).all():
        raise UserError(f"compute = {at.min()}: give positive FLOPs")
    x, y, errors = _checked(points, chance, least=1)
    steep = np.exp(math.log(1.5) + np.linspace(-2.5, 2.5, 31))
    middle = np.linspace(x.min() - 3, x.max() + 8, 221)
    prior = -((np.log(steep / 1.5)) ** 2) / 2

    def curve(at: Array) -> Array:
        return chance + (1 - chance) * expit(steep[:, None, None] * (at - middle[:, None]))

    scale = math.sqrt(float((errors**2).mean())) or 1e-6
    left = (y - curve(x)) ** 2
    weights = []
    for ratio, prior_share in zip(SCATTER, _scatter_prior(2.0), strict=True):
        variance = errors**2 + (ratio * scale) ** 2 + 1e-12
        likelihood = prior[:, None] - (left / variance).sum(-1) / 2 - np.log(variance).sum() / 2
        weights.append(likelihood.ravel() + math.log(prior_share))
    weight = np.exp(np.stack(weights) - np.max(weights))
    weight /= weight.sum()
    deviation = np.repeat(np.hypot(SCATTER * scale, standard_error) + 1e-9, BINS + 1)
    found = []
    for compute, promised in zip(at.tolist(), curve(np.log10(at)).reshape(-1, at.size).T, strict=True):
        places = np.rint(promised * BINS).astype(int)
        share = np.concatenate([np.bincount(places, row, BINS + 1) for row in weight])
        value, kept = np.tile(np.arange(BINS + 1) / BINS, SCATTER.size), share > 1e-9
        ends = _quantiles(value[kept], deviation[kept], share[kept], [(1 - level) / 2, 0.5, (1 + level) / 2])
        low, median, high = (min(1.0, max(0.0, end)) for end in ends)
        found.append(Expected(compute, median, low, high, level))
    return found


def _scatter_prior(scale: float = 1.0) -> Array:
    return (1 + (SCATTER / scale) ** 2 / 4) ** -2.5 * np.gradient(SCATTER)


def _quantiles(means: Array, deviations: Array, weights: Array, shares: Sequence[float]) -> list[float]:
    """Quantiles of a mixture of normals."""
    found = []
    for share in shares:
        low, high = float((means - 40 * deviations).min()), float((means + 40 * deviations).max())
        for _ in range(60):
            at = (low + high) / 2
            below = float((weights * ndtr((at - means) / deviations)).sum()) < share
            low, high = (at, high) if below else (low, at)
        found.append((low + high) / 2)
    return found


def _checked(points: Sequence[Point], chance: float | None, least: int = 2) -> tuple[Array, Array, Array]:
    x = np.array([point.compute for point in points], float)
    y = np.array([point.score for point in points], float)
    errors = np.array([point.standard_error for point in points], float)
    if len(x) < least or (least > 1 and not np.ptp(x) > 0):
        raise UserError(f"points: {len(x)} generation(s); give {least} or more of different compute")
    if not (np.isfinite(x) & (x > 0)).all():
        raise UserError(f"compute = {x.min()}: give positive, finite FLOPs")
    if not np.isfinite(y).all() or not (np.isfinite(errors) & (errors >= 0)).all():
        raise UserError("points: scores and standard errors must be finite, standard errors not negative")
    if chance is not None and not 0 <= chance < 1:
        raise UserError(f"chance = {chance}: give the score of guessing, from 0 to below 1")
    return np.log10(x), y, errors

"""How far do two distributions of text overlap, errors of both kinds together? MAUVE (Pillutla et al. 2102.01454).

With R_λ = λP + (1 − λ)Q, the divergence curve is {(e^{−c·KL(Q‖R_λ)}, e^{−c·KL(P‖R_λ)}) : 0 < λ < 1} (their equation 1),
and MAUVE the area under it and the axes: 1 where P = Q, Γ(c+1)²/Γ(2c+1) (1/252 at c = 5) where they share nothing.
Written from the paper. The paper's 25 values of λ and trapezoids add up to 3% to a small area (.00407 for 1/252); here
the area is the integral.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.integrate import trapezoid

from orionlm.synth.measures.clusters import assign, kmeans, shares
from orionlm.synth.measures.estimate import Estimate, around, unknown, usable

Array = np.ndarray
SCALE = 5.0
PER_CLUSTER = 10  # rows of each side to a cluster: k = n/10 (their appendix: 500 for 5,000)
_REACH, _STEP = 36.0, 0.1  # of the logit of λ: both ends of the curve to within 1e-15


def mauve_of(p: Array, q: Array, c: float = SCALE, step: float = _STEP) -> float:
    """The area for two histograms (k,) over the same bins; they are scaled to sum to 1.

    ∫ y dx along the logit of λ, where the curve is analytic and falls off at both ends, so that equal steps converge
    exponentially. From x = 0 to where the curve begins it lies at y = 1: R = P there.
    """
    if not (0 < np.sum(p) < math.inf and 0 < np.sum(q) < math.inf):
        return math.nan
    x, y, slope = _curve(*_shares(p, q), c, step)
    return float(min(1.0, x[-1] * (1 + y[-1]) / 2 + trapezoid(y * slope, dx=step) + y[0] * (1 - x[0])))


def curve_of(p: Array, q: Array, c: float = SCALE, points: int = 201) -> Array:
    """The divergence curve's points (points, 2) from (1, ·) at λ near 0 to (·, 1) at λ near 1, for a picture."""
    x, y, _ = _curve(*_shares(p, q), c, 2 * _REACH / (points - 1))
    return np.stack([x, y], 1)


def mauve(
    real: Array,
    synthetic: Array,
    clusters: int | None = None,
    c: float = SCALE,
    seed: int = 0,
    draws: int = 200,
) -> Estimate:
    """MAUVE of embedded rows (n, d) and (m, d), over k-means clusters of the pooled sample; k = n/10 by default.

    Its value falls with n and k even where both are real: compare it with real against real at the same n, never with a
    fixed number (their §4). The interval is of this estimator at this n, the clusters held fixed: multinomial resamples
    of both histograms give its spread, and stand about the value, for a resample of a sample is biased downwards again.
    """
    real, synthetic = usable(real), usable(synthetic)
    n = min(len(real), len(synthetic))
    k = clusters or max(2, round(n / PER_CLUSTER))
    if n < PER_CLUSTER:
        return unknown(n)
    centres = kmeans(np.concatenate([real, synthetic]), k, seed)
    p, q = (shares(assign(rows, centres), len(centres)) for rows in (real, synthetic))
    rng = np.random.default_rng(seed)
    again = [
        mauve_of(rng.multinomial(len(real), p), rng.multinomial(len(synthetic), q), c, 2 * _STEP) for _ in range(draws)
    ]
    return around(mauve_of(p, q, c), float(np.std(again, ddof=1)), n, 0.0, 1.0)


def _shares(p: Array, q: Array) -> tuple[Array, Array]:
    p, q = np.asarray(p, float), np.asarray(q, float)
    assert p.shape == q.shape and p.ndim == 1, "two histograms over the same bins"
    held = p + q != 0
    return p[held] / p.sum(), q[held] / q.sum()


def _curve(p: Array, q: Array, c: float, step: float) -> tuple[Array, Array, Array]:
    """x, y and −dx/dt (points,) at steps of t = ln(λ/(1 − λ)). dKL(Q‖R)/dλ = −Σ q(p − q)/r."""
    t = np.arange(-_REACH, _REACH + step / 2, step)
    ahead, behind = 1 / (1 + np.exp(-t)), 1 / (1 + np.exp(t))  # λ and 1 − λ, both exact when small
    mixed = ahead[:, None] * p + behind[:, None] * q
    logs = np.log(mixed)
    x, y = (np.exp(-c * np.maximum(_entropy(side) - logs @ side, 0)) for side in (q, p))
    slope = c * x * ahead * behind * ((1 / mixed) @ (q * (q - p)))
    return x, y, slope


def _entropy(p: Array) -> float:
    """Σ p ln p."""
    return math.fsum(each * math.log(each) for each in p.tolist() if each > 0)

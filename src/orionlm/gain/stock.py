"""What would a loss cost the plain recipe on the text at hand, at the best allocation, repetition included?

A fresh run (N, D) lies on a curve of equal loss: fewer effective tokens D′ with more parameters. On a stock of U
unique tokens D′ of them take D = U(1 + R) tokens of training, R = −R*·ln[1 − (D′/U − 1)/R*] (2305.16264, eq. 5,
solved for R), and more than U(1 + R*) cannot be had at any price. The stock's penalty is the least N·D along the curve
on the stock over the least N·D′ on fresh text: both at their best, so that the text is not blamed for a wrong balance.
"""

from __future__ import annotations

import numpy as np

from orionlm.gain.baseline import Baseline, Part

Array = np.ndarray
SPAN = np.linspace(-np.log(300), np.log(300), 161)


def penalty(baseline: Baseline, params: float, tokens: float, gain: Array, stock: float) -> Array:
    """ln of how much more compute the stock asks than fresh text for the loss of each draw's plain run. (m,) → (m,).

    The run has (N, D) = (params, tokens), each times e^(gain/2) (all of it tokens where the baseline has one size).
    Infinite where no compute reaches its loss; zero where the text does not bind. NaN for a baseline along one path.
    """
    if baseline.kind == "compute":
        return np.full(len(baseline), np.nan)
    share = 0.0 if baseline.kind == "data" else 0.5
    x, z = np.log(params) + share * gain, np.log(tokens) + (1 - share) * gain
    if baseline.kind == "data":
        return _read(z, np.log(stock), baseline.r_star) - z
    out, start = [], 0
    for part in baseline.parts:
        rows = slice(start, start + len(part.take))
        start = rows.stop
        out.append(_penalty(part, x[rows], z[rows], np.log(stock), baseline.r_star[rows]))
    return np.concatenate(out)


def _penalty(part: Part, x: Array, z: Array, stock: float, r_star: Array) -> Array:
    column = {name: part.theta[:, i] for i, name in enumerate(part.fit.law.parameters)}
    alpha, beta = column.get("alpha", column["beta"]), column["beta"]
    x0, z0 = part.fits.origin
    # In the units of `laws`: the reducible loss is (e^(p/c) + e^(q/c))^c of the terms p and q, and the floor adds.
    c = np.maximum(beta, 1e-3) if part.fit.law.name in ("kaplan", "coupled") else np.ones_like(beta)
    p, q = (column["a"] - alpha * (x - x0)) / c, (column["b"] - beta * (z - z0)) / c
    level = np.logaddexp(p, q)[:, None]
    fewer = z[:, None] + SPAN
    less = (column["b"] / c)[:, None] - (beta / c)[:, None] * (fewer - z0)
    with np.errstate(divide="ignore", invalid="ignore"):
        left = level + np.log(-np.expm1(less - level))
        wider = x0 + (column["a"][:, None] - c[:, None] * left) / alpha[:, None]
    wider = np.where(less < level, wider, np.inf)
    fresh = _least(wider + fewer)
    with np.errstate(invalid="ignore"):
        bound = _least(wider + _read(fewer, stock, r_star[:, None]))
        return np.maximum(bound - fresh, 0)


def _read(effective: Array, stock: float, r_star: Array) -> Array:
    """ln of the tokens to train on for ln D′ = `effective` at ln U = `stock`; infinite where none are enough."""
    extra = np.expm1(np.minimum(effective - stock, 50))
    with np.errstate(divide="ignore", invalid="ignore"):
        repeats = -r_star * np.log1p(-extra / r_star)
    binding = stock + np.log1p(np.where((extra > 0) & (extra < r_star), repeats, 0))
    return np.where(extra <= 0, effective, np.where(extra < r_star, binding, np.inf))


def _least(cost: Array) -> Array:
    return np.nanmin(np.where(np.isnan(cost), np.inf, cost), axis=-1)

"""How far apart are two clouds of embedded texts, in any respect? The kernel statistic of Gretton et al. (2012).

MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y), k(x, y) = exp(−‖x − y‖²/2σ²), without the pairs of a row with itself, so
that it is unbiased: about 0 for two samples of one distribution, and as often below.
"""

from __future__ import annotations

import math

import numpy as np

from orionlm.synth.measures.estimate import Estimate, around, unknown, usable

Array = np.ndarray
_BLOCK = 512
_MEDIAN_ROWS = 1000


def mmd2(x: Array, y: Array, bandwidth: float | None = None, seed: int = 0) -> Estimate:
    """Of rows (n, d) and (m, d); σ is the median distance of pooled rows (of 1,000 of them) unless given.

    The interval rests on the rows' mean kernel values, 4·Var(ĝ)/n a side (the first-order variance of a U-statistic,
    estimated by jackknife). Where nothing differs the second order is all there is; ĝ's own noise then counts it twice
    over, so the interval is too wide and never too narrow.
    """
    x, y = usable(x), usable(y)
    n = min(len(x), len(y))
    if n < 2:
        return unknown(n)
    sigma = median_distance(np.concatenate([x, y]), seed) if bandwidth is None else bandwidth
    xx, yy = _row_sums(x, x, sigma) - 1, _row_sums(y, y, sigma) - 1
    xy, yx = _row_sums(x, y, sigma) / len(y), _row_sums(y, x, sigma) / len(x)
    near_x, near_y = xx / (len(x) - 1), yy / (len(y) - 1)
    value = near_x.mean() + near_y.mean() - xy.mean() - yx.mean()
    error = 2 * math.sqrt((near_x - xy).var(ddof=1) / len(x) + (near_y - yx).var(ddof=1) / len(y))
    return around(float(value), error, n)


def median_distance(x: Array, seed: int = 0) -> float:
    """Gretton et al. (2012, §8); where most rows are the same, the mean distance of those that are not, or 1."""
    if len(x) > _MEDIAN_ROWS:
        x = x[np.random.default_rng(seed).choice(len(x), _MEDIAN_ROWS, replace=False)]
    distances = np.sqrt(_squares(x, x)[np.triu_indices(len(x), 1)])
    distances[distances < 1e-6 * np.abs(x).max(initial=1e-300)] = 0.0
    middle = float(np.median(distances)) if len(distances) else 0.0
    return middle or float(distances[distances > 0].mean() if (distances > 0).any() else 1.0)


def _row_sums(x: Array, y: Array, sigma: float) -> Array:
    blocks = [np.exp(_squares(x[at : at + _BLOCK], y) / (-2 * sigma * sigma)).sum(1) for at in range(0, len(x), _BLOCK)]
    return np.concatenate(blocks)


def _squares(x: Array, y: Array) -> Array:
    return np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * (x @ y.T), 0)

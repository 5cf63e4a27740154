"""What is a measured number without its interval? Nothing: value, low, high and n go together.

Where there is too little to tell, the ends are nan, and comparisons with them are false: such an estimate passes
nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

Array = np.ndarray
LEVEL = 0.9


@dataclass(frozen=True)
class Estimate:
    """A value with its interval at `LEVEL`, from `n` rows (of the smaller side, where two are compared)."""

    value: float
    low: float
    high: float
    n: int

    @property
    def known(self) -> bool:
        return math.isfinite(self.value) and math.isfinite(self.low) and math.isfinite(self.high)


def unknown(n: int) -> Estimate:
    return Estimate(math.nan, math.nan, math.nan, n)


def quantile(freedom: float = math.inf) -> float:
    """How many standard errors the interval reaches, by Student's t."""
    return float(stdtrit(freedom if math.isfinite(freedom) else 1e9, 0.5 + LEVEL / 2)) if freedom > 0 else math.nan


def around(
    value: float,
    error: float,
    n: int,
    least: float = -math.inf,
    most: float = math.inf,
    freedom: float = math.inf,
) -> Estimate:
    """value ± quantile · standard error, cut to what the number can be."""
    half = quantile(freedom) * error
    if not math.isfinite(half):
        return Estimate(float(value), math.nan, math.nan, n)
    return Estimate(float(value), float(max(least, value - half)), float(min(most, value + half)), n)


def of_share(share: float, error: float, n: int, freedom: float = math.inf) -> Estimate:
    """Wilson's interval of a share, with the number of independent draws that would have the standard error `error`.

    At 0 or 1 the error seen is 0 and says nothing: there, as everywhere, n draws are granted at most.
    """
    z = quantile(freedom)
    if not math.isfinite(share) or not math.isfinite(error) or not math.isfinite(z) or n < 1:
        return Estimate(float(share), math.nan, math.nan, n)
    variance = share * (1 - share)
    draws = max(variance / error**2, 1.0) if 0 < variance < n * error**2 else n
    centre = (share + z * z / (2 * draws)) / (1 + z * z / draws)
    half = z * math.sqrt(variance / draws + z * z / (4 * draws * draws)) / (1 + z * z / draws)
    return Estimate(
        float(share), float(min(share, max(0.0, centre - half))), float(max(share, min(1.0, centre + half))), n
    )


def mean_of(values: Array, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """The mean of one number a row (n,), by Student's t; rows that are not numbers are left out."""
    values = np.asarray(values, float).ravel()
    values = values[np.isfinite(values)]
    n = len(values)
    if n < 2:
        return Estimate(float(values[0]) if n else math.nan, math.nan, math.nan, n)
    return around(float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n), n, least, most, n - 1)


def difference(a: Estimate, b: Estimate) -> Estimate:
    """a − b of independent samples: each side's distance to its own end, squared and added (Zou & Donner 2008)."""
    value = a.value - b.value
    low = value - math.hypot(a.value - a.low, b.high - b.value)
    high = value + math.hypot(a.high - a.value, b.value - b.low)
    return Estimate(value, low, high, min(a.n, b.n))


def jackknifed(value: float, without: Array, n: int, least: float = -math.inf, most: float = math.inf) -> Estimate:
    """The interval by the values (groups,) without each group in turn (Efron & Stein 1981: never too narrow)."""
    groups = len(without)
    if groups < 2:
        return Estimate(float(value), math.nan, math.nan, n)
    error = math.sqrt((groups - 1) / groups * float(((without - without.mean()) ** 2).sum()))
    return around(value, error, n, least, most, groups - 1)


def usable(x: Array) -> Array:
    """Rows (n, d) of numbers only, in double precision."""
    x = np.asarray(x, float)
    x = x[:, None] if x.ndim == 1 else x
    return x[np.isfinite(x).all(1)]

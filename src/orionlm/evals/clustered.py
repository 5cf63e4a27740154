"""What is the error of a mean when questions share passages and are asked several times?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betainc, ndtri, stdtrit

from orionlm.errors import UserError

Array = np.ndarray
Score = float | None | Sequence[float | None]
Bounds = tuple[float, float] | None


@dataclass(frozen=True)
class Asked:
    """What each question's samples came to: their mean (n,), nan where `used` (n,) is false, and samples in all.

    `errors` samples were None; `inverse` is the mean of 1/K over the used questions, K their samples. `binary`: every
    question was asked once and scored 0 or 1. `within` is the variance of a sample about its question's mean, `between`
    that of the means themselves (Miller 2411.00640, §3.1).
    """

    means: Array
    used: Array
    samples: int
    errors: int
    inverse: float
    binary: bool
    within: float | None
    between: float


def asked(scores: Sequence[Score], bounds: Bounds) -> Asked:
    """Raises UserError for scores that are not numbers within the bounds."""
    rows = [one if isinstance(one, list | tuple | np.ndarray) else (one,) for one in scores]
    owner = np.repeat(np.arange(len(rows)), [len(row) for row in rows])
    # None becomes nan here; a nan among the scores themselves is no grader error, and is refused.
    values = np.array([one for row in rows for one in row], float)
    known = ~np.isnan(values)
    if not known.all():
        known = np.array([one is not None for row in rows for one in row])
    least, most = bounds or (-math.inf, math.inf)
    good = np.isfinite(values) & (values >= least) & (values <= most) | ~known
    if not good.all():
        raise UserError(f"score = {values[~good][0]}: give numbers from {least} to {most}, or none for grader errors")
    owner, values = owner[known], values[known]
    counts = np.bincount(owner, minlength=len(rows))
    used = counts > 0
    means = np.full(len(rows), math.nan)
    means[used] = np.bincount(owner, values, minlength=len(rows))[used] / counts[used]
    inverse = float((1 / counts[used]).mean()) if used.any() else math.nan
    within, spare = None, len(values) - int(used.sum())
    between = float(means[used].var(ddof=1)) if used.sum() > 1 else math.nan
    if spare:
        within = float(((values - means[owner]) ** 2).sum() / spare)
        between = max(0.0, between - within * inverse)
    binary = not spare and bool(np.isin(values, (0, 1)).all())
    return Asked(means, used, len(values), int((~known).sum()), inverse, binary, within, between)


def groups_of(clusters: Sequence[str] | None, n: int) -> Array:
    """Each question's cluster as a number (n,); a question without a name is a cluster of its own."""
    if clusters is None:
        return np.arange(n)
    if len(clusters) != n:
        raise UserError(f"clusters: {len(clusters)} names for {n} questions; give one a question, '' for none")
    numbers: dict[str | int, int] = {}
    return np.array([numbers.setdefault(name or i, len(numbers)) for i, name in enumerate(clusters)], int)


@dataclass(frozen=True)
class Spread:
    """A mean of n questions, its cluster-robust standard error, and the degrees of freedom that this error has."""

    mean: float
    error: float
    freedom: float
    n: int
    clusters: int

    def quantile(self, level: float) -> float:
        """Student's two-sided quantile; infinite where one cluster leaves nothing to learn the error from."""
        return float(stdtrit(self.freedom, (1 + level) / 2)) if self.clusters > 1 else math.inf


def spread(totals: Array, sizes: Array, correlation: float, n: int, clusters: int) -> Spread:
    """The mean of questions from their clusters' totals and sizes (G,), `correlation` that within a cluster.

    The error is CR2 (Bell & McCaffrey 2002): Σ E_g²/(1 − n_g/N) / N², E_g the cluster's summed residuals. Its degrees
    of freedom are Satterthwaite's, (Σv)²/Σv² − 1 with v_g = n_g (1 + (n_g − 1) r): G − 1 where clusters are alike,
    fewer where a few large ones decide; and at most 2G/(κ − 1) with κ the kurtosis of E, the variance of a variance
    (Cramér 1946, §27.4): few where a handful of right answers decide.
    """
    count = sizes.sum()
    middle = float(totals.sum() / count)
    if len(sizes) < 2:
        return Spread(middle, math.nan, 0.0, n, clusters)
    squares = (totals - middle * sizes) ** 2
    error = math.sqrt(float((squares / (1 - sizes / count)).sum())) / count
    v = sizes * (1 + (sizes - 1) * correlation)
    freedom = float(v.sum() ** 2 / (v**2).sum() - 1)
    if error > 0:
        kurtosis = len(sizes) * float((squares**2).sum() / squares.sum() ** 2)
        freedom = min(freedom, 2 * len(sizes) / max(kurtosis - 1, 1e-9))
    return Spread(middle, error, max(1.0, freedom), n, clusters)


def summed(y: Array, groups: Array) -> tuple[Array, Array, float]:
    """Totals and sizes (G,) of the clusters, and the correlation within them (moments), from 0 to 1."""
    _, index = np.unique(groups, return_inverse=True)
    sizes = np.bincount(index).astype(float)
    residual = y - y.mean()
    pairs = float((sizes * (sizes - 1)).sum())
    variance = float((residual**2).mean())
    if not pairs or not variance:
        return np.bincount(index, y), sizes, 0.0
    together = float((np.bincount(index, residual) ** 2).sum()) - len(y) * variance
    return np.bincount(index, y), sizes, min(1.0, max(0.0, together / pairs / variance))


def spread_of(y: Array, groups: Array) -> Spread:
    """The mean of scores (n,) in clusters (n,)."""
    totals, sizes, correlation = summed(y, groups)
    return spread(totals, sizes, correlation, len(y), len(sizes))


def proportion(known: Spread, samples: int, pure: bool, level: float) -> tuple[float, float]:
    """The interval of a mean of shares from 0 to 1: a binomial's on the effective number of questions.

    n* = 1 + p(1 − p)/error² (Kish 1965; n itself where questions are 0/1 and independent), at most the samples taken,
    and the clusters' number by Kish, (Σn_g)²/Σn_g², where all scores are alike. Where the error had to be estimated
    (all but `pure` 0/1 questions, whose mean gives it), n* shrinks by (z/t)² (Korn & Graubard 1998).
    """
    n = _effective(known, samples, pure, level) if known.error > 0 else known.freedom + 1
    return _binomial(min(1.0, max(0.0, known.mean)), n, level)


def difference(d: Array, groups: Array, samples: int, pure: bool, level: float) -> tuple[float, float]:
    """The interval of the mean of differences d (n,) from −1 to 1: its gains and its losses are two proportions, joined
    by their correlation (Newcombe 1998, method 10; Zou & Donner 2008). Skew counts, and no width is ever zero.

    Where only gains or only losses were seen, the other's effective number is taken to be that of those.
    """
    sides = [np.maximum(d, 0), np.maximum(-d, 0)]
    gains, losses = (spread_of(side, groups) for side in sides)
    up, down = (proportion(side, samples, pure, level) for side in (gains, losses))
    together = 0.0
    if gains.error > 0 and losses.error > 0:
        (a, sizes, _), (b, _, _) = (summed(side, groups) for side in sides)
        products = (a - gains.mean * sizes) * (b - losses.mean * sizes) / (1 - sizes / len(d))
        together = float(products.sum()) / len(d) ** 2 / (gains.error * losses.error)
    elif gains.error > 0:
        down = _binomial(losses.mean, _effective(gains, samples, pure, level), level)
    elif losses.error > 0:
        up = _binomial(gains.mean, _effective(losses, samples, pure, level), level)

    def joined(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x + y * y - 2 * together * x * y))

    middle = gains.mean - losses.mean
    low = middle - joined(gains.mean - up[0], down[1] - losses.mean)
    return max(-1.0, low), min(1.0, middle + joined(up[1] - gains.mean, losses.mean - down[0]))


def _effective(known: Spread, samples: int, pure: bool, level: float) -> float:
    n = min(1 + known.mean * (1 - known.mean) / known.error**2, samples)
    return max(1.0, n if pure else n * (float(ndtri((1 + level) / 2)) / known.quantile(level)) ** 2)


def _binomial(share: float, n: float, level: float) -> tuple[float, float]:
    """Wilson's interval (1927) joined with the exact mid-p one (Lancaster 1961) for a share of n, not need be whole.

    Either alone covers too rarely: Wilson's near 0 and 1 (84% of 95% at np = 0.18), mid-p's for the rest (92%).
    """
    z, n = float(ndtri((1 + level) / 2)), max(1.0, n)
    middle = (share + z * z / 2 / n) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + (z / 2 / n) ** 2)
    low, high = _mid_p(share * n, n, level)
    return max(0.0, min(low, middle - half, share)), min(1.0, max(high, middle + half, share))


def _mid_p(right: float, n: float, level: float) -> tuple[float, float]:
    """Where the mid-p tails of `right` of n, neither need be whole, come to (1 − level)/2 each."""
    tail = (1 - level) / 2
    ends = np.array([tail, 1 - tail])
    low, high = np.zeros(2), np.ones(2)
    for _ in range(40):
        p = (low + high) / 2
        least = betainc(right, n - right + 1, p) if right > 0 else 1.0
        more = betainc(right + 1, n - right, p) if right < n else 0.0
        below = (least + more) / 2 < ends
        low, high = np.where(below, p, low), np.where(below, high, p)
    return (0.0 if right <= 0 else float(low[0])), (1.0 if right >= n else float(high[1]))

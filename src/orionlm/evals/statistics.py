"""How sure is a score on a task, and is one model better than another on the same questions?

The questions asked stand for all that could have been (Miller 2411.00640, §2): errors are over questions, and over
passages where several questions share one. A question asked K times counts once, as its average (§3.1). A score of
None is the grader's fault, not the model's: it is left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit
from scipy.stats import binom

from orionlm.errors import UserError
from orionlm.evals.clustered import Asked, Bounds, Score, Spread, asked, difference, groups_of, proportion, spread_of

Verdict = Literal["yes", "no", "cannot tell"]
ACCURACY: Bounds = (0.0, 1.0)


@dataclass(frozen=True)
class Estimate:
    """A mean in the unit of the scores (shares of 1 for accuracies), with its interval at `level`.

    `n` questions in `clusters`; `left_out` questions had no usable sample, `errors` counts the unusable samples.
    `between` is the variance of the questions' true means, `within` that of one sample about its question's mean
    (None where every question was asked once: the two cannot be told apart, and `between` holds both).
    """

    value: float
    low: float
    high: float
    standard_error: float
    n: int
    clusters: int
    left_out: int
    errors: int
    between: float
    within: float | None
    level: float


@dataclass(frozen=True)
class Difference:
    """a − b in the unit of the scores, with its interval at `level` and the two-sided p-value of no difference.

    `verdict`: is a better than b by more than `margin`? yes: the whole interval is above the margin (and, for a margin
    of 0 or more, p ≤ 1 − level); no: none of it is; else cannot tell. `test` names how p was found. `n` counts
    questions (of a, where `paired` is false), `clusters` likewise, `left_out` those that either model has no score of.
    """

    value: float
    low: float
    high: float
    standard_error: float
    p: float
    n: int
    clusters: int
    left_out: int
    margin: float
    level: float
    test: str
    paired: bool
    verdict: Verdict


def verdict(low: float, high: float, margin: float = 0.0) -> Verdict:
    """Is it more than `margin`, as far as the interval low to high tells?"""
    return "yes" if low > margin else "no" if high <= margin else "cannot tell"


def mean(
    scores: Sequence[Score], clusters: Sequence[str] | None = None, *, level: float = 0.95, bounds: Bounds = ACCURACY
) -> Estimate:
    """The mean score with a clustered interval. `clusters` names each question's passage; "" is one of its own.

    Within `bounds` the interval is a proportion's on the effective number of questions (`clustered.proportion`): never
    of width zero, never outside. With bounds=None (bits per byte) it is Student's on the cluster-robust error.
    """
    return estimate(asked(scores, bounds), clusters, level=level, bounds=bounds)


def estimate(
    table: Asked, clusters: Sequence[str] | None = None, *, level: float = 0.95, bounds: Bounds = ACCURACY
) -> Estimate:
    """`mean` of what the questions came to already."""
    asked_of = len(table.used)
    y, groups = table.means[table.used], groups_of(clusters, asked_of)[table.used]
    if not 0 < level < 1:
        raise UserError(f"level = {level}: give a share between 0 and 1, such as 0.95")
    if not len(y):
        raise UserError(f"scores: none of {asked_of} can be used; give questions that the grader could grade")
    spread = spread_of(y, groups)
    if bounds is None:
        half = spread.quantile(level) * spread.error if spread.clusters > 1 else math.inf
        low, high = spread.mean - half, spread.mean + half
    else:
        base, width = bounds[0], bounds[1] - bounds[0]
        pure = table.binary and spread.clusters == spread.n
        share = replace(spread, mean=(spread.mean - base) / width, error=spread.error / width)
        low, high = (base + width * end for end in proportion(share, table.samples, pure, level))
    return Estimate(
        spread.mean, low, high, spread.error, spread.n, spread.clusters, asked_of - spread.n, table.errors,
        table.between, table.within, level,
    )  # fmt: skip


def paired(
    a: Sequence[Score],
    b: Sequence[Score],
    clusters: Sequence[str] | None = None,
    *,
    margin: float = 0.0,
    level: float = 0.95,
    bounds: Bounds = ACCURACY,
) -> Difference:
    """The mean of aᵢ − bᵢ over the same questions in the same order, with its clustered error (Miller §4.2).

    The interval joins those of the gains and of the losses (`clustered.difference`); with bounds=None it is Student's.
    The p-value is McNemar's (1947), exact and mid-p, where scores are 0/1, asked once, and no cluster holds two
    questions; elsewhere it is at the level whose interval would end at 0.
    """
    if len(a) != len(b):
        raise UserError(f"scores: {len(a)} of a and {len(b)} of b; give both models' scores of the same questions")
    first, second = asked(a, bounds), asked(b, bounds)
    both = first.used & second.used
    d = first.means[both] - second.means[both]
    groups = groups_of(clusters, len(a))[both]
    if not 0 < level < 1:
        raise UserError(f"level = {level}: give a share between 0 and 1, such as 0.95")
    if not len(d):
        raise UserError(f"scores: none of {len(a)} questions has a score of both models; nothing can be compared")
    spread = spread_of(d, groups)
    pure = first.binary and second.binary and spread.clusters == spread.n
    if bounds is None:
        half = spread.quantile(level) * spread.error if spread.clusters > 1 else math.inf
        low, high = spread.mean - half, spread.mean + half
    else:
        width = bounds[1] - bounds[0]
        low, high = (
            width * end for end in difference(d / width, groups, max(first.samples, second.samples), pure, level)
        )
    if pure:
        p, test = mcnemar(int((d > 0).sum()), int((d < 0).sum())), "McNemar, exact mid-p"
    else:
        p, test = (
            _p_value(spread.mean, low, high, level, spread.freedom),
            "clustered" if spread.clusters < spread.n else "score",
        )
    return _difference(spread, low, high, p, len(a) - len(d), margin, level, test)


def unpaired(
    a: Sequence[Score],
    b: Sequence[Score],
    clusters_a: Sequence[str] | None = None,
    clusters_b: Sequence[str] | None = None,
    *,
    margin: float = 0.0,
    level: float = 0.95,
    bounds: Bounds = ACCURACY,
) -> Difference:
    """The difference of two means over different questions: wider than `paired`, and only for where that cannot be.

    The interval joins the two means' own (Newcombe 1998, method 10); p is at the level whose interval would end at 0.
    """
    one = mean(a, clusters_a, level=level, bounds=bounds)
    two = mean(b, clusters_b, level=level, bounds=bounds)
    value = one.value - two.value
    low = value - math.hypot(one.value - one.low, two.high - two.value)
    high = value + math.hypot(one.high - one.value, two.value - two.low)
    error = math.hypot(one.standard_error, two.standard_error)
    spread = Spread(value, error, math.inf, one.n, one.clusters)
    p = _p_value(value, low, high, level, max(1.0, min(one.clusters, two.clusters) - 1.0))
    return _difference(spread, low, high, p, one.left_out + two.left_out, margin, level, "unpaired", paired=False)


def compare(
    a: Mapping[str, Score],
    b: Mapping[str, Score],
    clusters: Mapping[str, str] | None = None,
    *,
    margin: float = 0.0,
    level: float = 0.95,
    bounds: Bounds = ACCURACY,
    allow_unpaired: bool = False,
) -> Difference:
    """`paired` by the questions' ids. Where the questions differ it refuses, unless told that `unpaired` will do."""
    of = clusters or {}
    if a.keys() == b.keys():
        ids = sorted(a)
        return paired(
            [a[i] for i in ids], [b[i] for i in ids], [of.get(i, "") for i in ids], margin=margin, level=level,
            bounds=bounds,
        )  # fmt: skip
    if not allow_unpaired:
        odd = sorted(a.keys() ^ b.keys())
        raise UserError(
            f"questions: {len(odd)} were put to one model only, such as '{odd[0]}'; put the same to both, or ask for "
            "an unpaired comparison"
        )
    return unpaired(
        list(a.values()), list(b.values()), [of.get(i, "") for i in a], [of.get(i, "") for i in b], margin=margin,
        level=level, bounds=bounds,
    )  # fmt: skip


def mcnemar(only_a: int, only_b: int) -> float:
    """Two-sided mid-p value of McNemar's exact test (1947; Lancaster 1961): `only_a` questions were right in a alone.

    Mid-p counts half of the observed outcome's probability. The plain exact test is far too cautious at small counts;
    mid-p rarely errs above its level (Fagerland, Lydersen & Laake 2013).
    """
    few, total = min(only_a, only_b), only_a + only_b
    return float(min(1.0, 2 * binom.cdf(few, total, 0.5) - binom.pmf(few, total, 0.5))) if total else 1.0


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in order (Holm 1979): reject those ≤ α and the chance of any false rejection is at most α."""
    p = np.asarray(p_values, float)
    if not ((p >= 0) & (p <= 1)).all():
        raise UserError(f"p-values = {list(p_values)}: give numbers from 0 to 1")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))) if len(p) else []
    return tuple(adjusted.tolist())


def _difference(
    of: Spread, low: float, high: float, p: float, left_out: int, margin: float, level: float, test: str,
    paired: bool = True,
) -> Difference:  # fmt: skip
    said = verdict(low, high, margin)
    if said == "yes" and margin >= 0 and p > 1 - level:
        said = "cannot tell"  # interval and test need not agree to the last digit; both must be passed
    return Difference(
        of.mean, low, high, of.error, p, of.n, of.clusters, left_out, margin, level, test, paired, said
    )  # fmt: skip


def _p_value(value: float, low: float, high: float, level: float, freedom: float) -> float:
    """Two-sided: 1 − the level at which the interval low to high would end at 0, if it grew as Student's does."""
    toward = value - low if value > 0 else high - value
    if not toward > 0:
        return float(value == 0)
    return float(2 * stdtr(freedom, -abs(value) / toward * stdtrit(freedom, (1 + level) / 2)))

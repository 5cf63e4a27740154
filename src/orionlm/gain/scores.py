"""How much plain compute gives the score that a lever gives, on a metric that is not a loss?

Score = f(ln C) with f rising (Davidson et al., 2312.07413, §2.2): a straight line of slope above zero in the logit of
(score − chance)/(1 − chance), fitted by iterated weighted least squares to the plain rows and inverted at the lever's.
The interval resamples runs (2,000 times), and, where `n_questions` is given, the questions of each row (binomial).
A metric that cannot see is said to be blind: plain and lever rows at chance, or saturated, or no rise with compute.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable
from orionlm.gain.solve import Interval

Array = np.ndarray
RESAMPLES = 2000
REACH = 4.0  # how many times past the plain runs' compute a score is followed
SATURATED = 0.97


@dataclass(frozen=True)
class ScoreGain:
    """A lever's gain by one metric. `gain` is None where the metric is blind, and `why` says how."""

    lever: str
    metric: str
    gain: Interval | None
    why: str
    chance: float
    n: int

    def to_json(self) -> dict:
        """Plain numbers."""
        gain = None if self.gain is None else self.gain.to_json()
        return {
            "lever": self.lever,
            "metric": self.metric,
            "why": self.why,
            "chance": self.chance,
            "n": self.n,
            "gain": gain,
        }


def score_gain(
    table: RunTable, lever: str, metric: str, chance: float = 0.0, level: float = 0.9, seed: int = 0
) -> ScoreGain:
    """The gain of a lever by a column of scores between 0 and 1. Columns `n_questions` or METRIC_questions tell n.

    Raises UserError for a column that is missing, has holes, or lies outside 0 to 1, and for fewer than 3 plain rows.
    """
    values = table[metric]
    plain, ours = table["lever"] == "", table["lever"] == lever
    used = plain | ours
    if not ours.any():
        raise UserError(f"lever = {lever!r}: no row of {table.source} has it")
    if plain.sum() < 3 or np.ptp(np.log(table["flops"][plain])) < 0.1:
        raise UserError(f"{metric}: needs at least 3 plain rows at different FLOPs; it has {int(plain.sum())}")
    if values.dtype == object or np.isnan(values[used]).any():
        raise UserError(f"{metric}: has holes or text; fill a score in every plain row and every row of {lever}")
    if (values[used] < 0).any() or (values[used] > 1).any() or not 0 <= chance < 1:
        raise UserError(f"{metric}: scores and chance must lie between 0 and 1; write 0.43 for 43%")
    hole = np.full(len(table), np.nan)
    questions = table.columns.get(f"{metric}_questions", table.columns.get("n_questions", hole))
    n = np.where(np.isfinite(questions) & (questions >= 1), questions, np.inf)
    blind = _blind(metric, values, n, plain, ours, chance)
    if blind:
        return ScoreGain(lever, metric, None, blind, chance, int(ours.sum()))

    rng = np.random.default_rng(seed)
    c = np.log(table["flops"])
    middle, half = c[plain].mean(), RESAMPLES
    curve_weight, lever_weight = (_resample(table["run"][rows], half, rng) for rows in (plain, ours))
    drawn = np.where(
        np.isinf(n), values, rng.binomial(np.where(np.isinf(n), 1, n).astype(int), values, (half, len(n))) / n
    )
    heights = _logit(drawn, chance, n)
    intercept, slope = _line(c[plain] - middle, heights[:, plain], curve_weight)
    rising = slope > 1e-3
    if rising.mean() < (1 + level) / 2:
        why = f"blind: {metric} does not clearly rise with the plain recipe's compute"
        return ScoreGain(lever, metric, None, why, chance, int(ours.sum()))
    # The lever's rows are set against the curve one by one, so that scales do not mix.
    reached = (heights[:, ours] - intercept[:, None]) / np.where(rising, slope, np.nan)[:, None] - (c[ours] - middle)
    gain = (reached * lever_weight).sum(-1) / lever_weight.sum(-1)
    gain = gain[rising]
    top, bottom = c[plain].max() + np.log(REACH), c[plain].min() - np.log(REACH)
    at = np.median(gain) + c[ours]
    if at.max() > top or at.min() < bottom:
        side = "more" if at.max() > top else "less"
        bound = (top - c[ours].max()) if side == "more" else (bottom - c[ours].min())
        why = (
            f"refused: the plain recipe would need {side} than {REACH:g} times the compute of any plain run; "
            f"the gain is {side} than ×{np.exp(bound):.3g}"
        )
        return ScoreGain(lever, metric, None, why, chance, int(ours.sum()))
    return ScoreGain(lever, metric, Interval.of(gain, level), "measured", chance, int(ours.sum()))


def _blind(metric: str, values: Array, n: Array, plain: Array, ours: Array, chance: float) -> str:
    error = np.sqrt(np.maximum(chance * (1 - chance), 1e-4) / n)
    margin = np.where(np.isinf(n), 0.01, 2 * error)
    for who, rows in (("plain rows", plain), ("lever's rows", ours)):
        if (values[rows] <= chance + margin[rows]).all():
            return f"blind: all {who} of {metric} are at chance ({chance:g})"
        if (values[rows] >= SATURATED).all():
            return f"blind: all {who} of {metric} are saturated (at least {SATURATED:g})"
    return ""


def _logit(values: Array, chance: float, n: Array) -> Array:
    """Logit of the share of the way from chance to 1; scores at the ends are moved in by half a question."""
    edge = np.where(np.isinf(n), 0.005, 0.5 / n)
    share = np.clip((values - chance) / (1 - chance), edge, 1 - edge)
    return np.log(share / (1 - share))


def _resample(run: Array, count: int, rng: np.random.Generator) -> Array:
    """How often each row stands in each bootstrap sample of whole runs (count, n)."""
    _, member = np.unique(run, return_inverse=True)
    runs = int(member.max()) + 1
    return rng.dirichlet(np.ones(runs), count)[:, member] * runs


def _line(x: Array, y: Array, weight: Array) -> tuple[Array, Array]:
    """Intercept and slope (b,) of weighted lines through y (b, n)."""
    total = weight.sum(-1)
    mx, my = (weight * x).sum(-1) / total, (weight * y).sum(-1) / total
    dx = x - mx[:, None]
    spread = np.maximum((weight * dx**2).sum(-1), 1e-12)
    slope = (weight * dx * (y - my[:, None])).sum(-1) / spread
    return my - slope * mx, slope

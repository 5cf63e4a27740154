"""How many questions would show a difference, and how small a difference can these questions show?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import nctdtr, ndtri, stdtrit

from orionlm.errors import UserError
from orionlm.evals.clustered import Bounds, Score, asked, groups_of, spread_of


@dataclass(frozen=True)
class Variances:
    """What makes a paired difference between a and b vary, in squared units of the scores.

    `between` is ω², the variance of the difference of a question's true scores; `within_a` and `within_b` are σ², that
    of one sample about its question's true score (Miller 2411.00640, §5). `design` is by how much passages that share
    questions inflate all of it; `split` says whether ω² and σ² could be told apart. If not, ω² holds both and more
    samples seem to bring nothing: too cautious, never too hopeful. `discordance` is the chance that one sample of each
    model differs in being right, where scores are 0 or 1.
    """

    between: float
    within_a: float
    within_b: float
    design: float = 1.0
    split: bool = True
    discordance: float | None = None

    def per_question(self, samples_a: int = 1, samples_b: int | None = None) -> float:
        """ω² + σ²_A/K_A + σ²_B/K_B, times the design effect: n times the variance of the mean difference."""
        samples_b = samples_a if samples_b is None else samples_b
        if min(samples_a, samples_b) < 1:
            raise UserError(f"samples = {min(samples_a, samples_b)}: give one or more a question")
        return self.design * (self.between + self.within_a / samples_a + self.within_b / samples_b)

    def questions(
        self, difference: float, samples: int = 1, samples_b: int | None = None, alpha: float = 0.05, power: float = 0.8
    ) -> int:
        """Questions needed to find a difference (in scores, 0.03 for 3 points) with this power by a two-sided test.

        (z_{α/2} + z_β)² (ω² + σ²_A/K_A + σ²_B/K_B) / δ² (Miller 2411.00640, §5, eq. 9), the normal's quantiles.
        """
        _checked(alpha, power)
        if not difference:
            raise UserError("difference = 0: no number of questions shows it; give a difference worth finding")
        reach = float(ndtri(1 - alpha / 2) + ndtri(power))
        return max(2, math.ceil(reach**2 * self.per_question(samples, samples_b) / difference**2))

    def detectable(
        self, questions: int, samples: int = 1, samples_b: int | None = None, alpha: float = 0.05, power: float = 0.8
    ) -> float:
        """The smallest difference, in scores, that so many questions find with this power (the same formula, for δ)."""
        _checked(alpha, power)
        if questions < 2:
            raise UserError(f"questions = {questions}: give two or more")
        reach = float(ndtri(1 - alpha / 2) + ndtri(power))
        return reach * math.sqrt(self.per_question(samples, samples_b) / questions)

    def power(
        self, difference: float, questions: int, samples: int = 1, samples_b: int | None = None, alpha: float = 0.05
    ) -> float:
        """The chance that a two-sided t test on so many questions finds this difference."""
        _checked(alpha, 0.5)
        if questions < 2:
            raise UserError(f"questions = {questions}: give two or more")
        error = math.sqrt(self.per_question(samples, samples_b) / questions)
        if not error:
            return float(difference != 0)
        freedom = max(1.0, questions / self.design - 1)
        limit, shift = float(stdtrit(freedom, 1 - alpha / 2)), abs(difference) / error
        return float(1 - nctdtr(freedom, shift, limit) + nctdtr(freedom, shift, -limit))


def pilot(
    a: Sequence[Score], b: Sequence[Score], clusters: Sequence[str] | None = None, *, bounds: Bounds = (0.0, 1.0)
) -> Variances:
    """The variances found in both models' scores of a few questions: at least 3, some 50 to be trusted."""
    if len(a) != len(b):
        raise UserError(f"scores: {len(a)} of a and {len(b)} of b; give both models' scores of the same questions")
    first, second = asked(a, bounds), asked(b, bounds)
    both = first.used & second.used
    if both.sum() < 3:
        raise UserError(f"pilot: {both.sum()} questions have scores of both models; give 3 or more")
    x, y = first.means[both], second.means[both]
    d = x - y
    total = float(d.var(ddof=1))
    spread = spread_of(d, groups_of(clusters, len(a))[both])
    design = max(1.0, spread.error**2 * len(d) / total) if total and spread.clusters > 1 else 1.0
    split = first.within is not None and second.within is not None
    noise = (first.within or 0.0, second.within or 0.0)
    between = max(0.0, total - noise[0] * first.inverse - noise[1] * second.inverse)
    discordance = float((x * (1 - y) + y * (1 - x)).mean()) if bounds == (0.0, 1.0) else None
    return Variances(between, *noise, design, split, discordance)


def assumed(discordance: float, difference: float = 0.0, noise: float = 0.0, design: float = 1.0) -> Variances:
    """The variances of 0/1 scores without a pilot: `discordance` is the share of questions that one model alone has
    right, π, so that ω² + σ²_A + σ²_B = π − δ²; `noise` the share of this that is sampling noise, of both alike."""
    if not abs(difference) <= discordance <= 1:
        raise UserError(f"discordance = {discordance}: give a share from |difference| = {abs(difference)} to 1")
    if not 0 <= noise <= 1:
        raise UserError(f"noise = {noise}: give the share of the variance that is sampling noise, 0 to 1")
    if not design >= 1:
        raise UserError(f"design = {design}: give the factor by which shared passages inflate the variance, 1 or more")
    total = discordance - difference**2
    return Variances(total * (1 - noise), total * noise / 2, total * noise / 2, design, True, discordance)


def _checked(alpha: float, power: float) -> None:
    if not 0 < alpha < 1:
        raise UserError(f"alpha = {alpha}: give a share between 0 and 1, such as 0.05")
    if not alpha < power < 1:
        raise UserError(f"power = {power}: give a share between alpha and 1, such as 0.8")

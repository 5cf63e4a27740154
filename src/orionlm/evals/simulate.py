"""Do the intervals hold the truth as often as they say? Simulated models of known skill answer simulated questions.

A question's difficulty is normal, part of it shared within its passage; a model's chance of answering right is the
logistic of its skill less the difficulty it meets, and the difficulties that two models meet are correlated. All true
means and variances are integrals over the normal, so nothing about the questions drawn leaks into the truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from scipy.special import expit, ndtri

from orionlm.evals.power import Variances, pilot
from orionlm.evals.statistics import Difference, Estimate, holm, mean, paired

Array = np.ndarray
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(161)
WEIGHTS = WEIGHTS / WEIGHTS.sum()


@dataclass(frozen=True)
class World:
    """A task of `n` questions in passages of `sizes` questions in turn, each asked `samples` times.

    `a` and `b` are the models' true means; difficulty has standard deviation `spread` in logits, its share `shared`
    common to a passage; `correlation` is that between the difficulties the two models meet.
    """

    n: int
    a: float
    b: float = 0.5
    samples: int = 1
    sizes: tuple[int, ...] = (1,)
    spread: float = 1.5
    shared: float = 0.5
    correlation: float = 0.7

    def clusters(self) -> list[str]:
        """The passage of each question."""
        sizes = np.resize(self.sizes, self.n)
        return [f"c{i}" for i in np.repeat(np.arange(self.n), sizes)[: self.n]]

    def draw(self, rng: np.random.Generator) -> tuple[Array, Array]:
        """Both models' scores (n, samples), 0 or 1."""
        _, passage = np.unique(self.clusters(), return_inverse=True)
        own, common = rng.standard_normal((2, 3, self.n))
        met = np.sqrt(self.shared) * common[:, passage] + np.sqrt(1 - self.shared) * own
        mixed = self.correlation * met[0] + np.sqrt(1 - self.correlation**2) * met[1]
        chances = [expit(skill(true, self.spread) + self.spread * z) for true, z in ((self.a, met[0]), (self.b, mixed))]
        first, second = ((rng.random((self.n, self.samples)) < p[:, None]).astype(float) for p in chances)
        return first, second

    def variances(self) -> Variances:
        """The true variances of a difference between a and b at one sample a question, from the integrals."""
        z, w = NODES, WEIGHTS
        a = expit(skill(self.a, self.spread) + self.spread * z)
        mixed = self.correlation * z[:, None] + np.sqrt(1 - self.correlation**2) * z
        b = expit(skill(self.b, self.spread) + self.spread * mixed)
        weight = w[:, None] * w
        d = a[:, None] - b
        between = float((weight * d**2).sum() - (self.a - self.b) ** 2)
        within = (float((w * a * (1 - a)).sum()), float((weight * b * (1 - b)).sum()))
        return Variances(between, *within)


@cache
def skill(true: float, spread: float) -> float:
    """The skill, in logits, whose mean over difficulties is `true`."""
    low, high = -60.0, 60.0
    for _ in range(60):
        middle = (low + high) / 2
        below = float((WEIGHTS * expit(middle + spread * NODES)).sum()) < true
        low, high = (middle, high) if below else (low, middle)
    return low


def coverage(world: World, repeats: int = 1000, level: float = 0.95, seed: int = 0) -> dict[str, dict[str, float]]:
    """Shares of intervals of the mean and of the paired difference that hold the truth, and their mean widths.

    `ideal` is ± z times the true standard error, found over the repeats: the width that knowing the error would give.
    """
    clusters = world.clusters()
    truths = world.a, world.a - world.b
    held, width, value = (np.empty((repeats, 2)) for _ in range(3))
    for i in range(repeats):
        a, b = (_scores(x) for x in world.draw(np.random.default_rng((seed, i))))
        found: list[Estimate | Difference] = [mean(a, clusters, level=level), paired(a, b, clusters, level=level)]
        value[i] = [one.value for one in found]
        width[i] = [one.high - one.low for one in found]
        held[i] = [one.low <= truth <= one.high for one, truth in zip(found, truths, strict=True)]
    ideal = 2 * ndtri((1 + level) / 2) * value.std(0)
    return {
        name: {"coverage": float(held[:, j].mean()), "width": float(width[:, j].mean()), "ideal": float(ideal[j])}
        for j, name in enumerate(("mean", "difference"))
    }


def rejections(world: World, repeats: int = 1000, level: float = 0.95, seed: int = 0) -> dict[str, float]:
    """How often the paired test finds a difference: its error rate where a = b, elsewhere its power.

    `predicted` is what the true variances promise, the passages' design effect taken from one large pilot.
    """
    clusters = world.clusters()
    p = []
    for i in range(repeats):
        a, b = (_scores(x) for x in world.draw(np.random.default_rng((seed, i))))
        p.append(paired(a, b, clusters, level=level).p)
    variances = world.variances()
    if max(world.sizes) > 1:
        large = replace(world, n=20_000)
        a, b = (_scores(x) for x in large.draw(np.random.default_rng((seed, repeats))))
        variances = pilot(a, b, large.clusters())
    predicted = variances.power(world.a - world.b, world.n, world.samples, alpha=1 - level)
    return {"rejected": float((np.array(p) <= 1 - level).mean()), "predicted": predicted}


def family(tasks: Sequence[World], repeats: int = 1000, level: float = 0.95, seed: int = 0) -> dict[str, float]:
    """How often one or more of the tasks without a difference is found to have one, with Holm's correction and not."""
    null = np.array([task.a == task.b for task in tasks])
    wrong = np.zeros(2)
    for i in range(repeats):
        p = []
        for j, task in enumerate(tasks):
            a, b = (_scores(x) for x in task.draw(np.random.default_rng((seed, i, j))))
            p.append(paired(a, b, task.clusters(), level=level).p)
        for row, values in enumerate((holm(p), p)):
            wrong[row] += bool((np.array(values)[null] <= 1 - level).any())
    return {"holm": float(wrong[0] / repeats), "uncorrected": float(wrong[1] / repeats)}


def _scores(x: Array) -> list:
    return x[:, 0].tolist() if x.shape[1] == 1 else x.tolist()

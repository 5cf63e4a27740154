"""How often is one of k samples right, or what most of k samples say? Without bias, from n ≥ k samples a question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import comb

from orionlm.errors import UserError
from orionlm.evals.clustered import Score, asked
from orionlm.evals.statistics import Estimate, estimate


def pass_at_k(
    scores: Sequence[Sequence[float | None]], k: int, clusters: Sequence[str] | None = None, *, level: float = 0.95
) -> Estimate:
    """The chance that one of k samples is right, from each question's samples (0 or 1, None for grader errors).

    1 − C(n − c, k)/C(n, k) for c right of n (Chen et al. 2107.03374, eq. 1), averaged over questions, with their
    clustered interval. A question that grader errors left with fewer than k samples is left out.
    """
    _checked(k, max((len(row) for row in scores), default=k))
    kept = [[one for one in row if one is not None] for row in scores]
    if any(one not in (0, 1) for row in kept for one in row):
        raise UserError("scores: pass@k needs samples that are right or wrong, 1 or 0")
    each = [_chance(len(row), int(sum(row)), k) if len(row) >= k else None for row in kept]
    return _over_questions(each, sum(map(len, scores)), sum(map(len, kept)), k, clusters, level)


def maj_at_k(
    answers: Sequence[Sequence[Hashable | None]],
    truths: Sequence[Hashable],
    k: int,
    clusters: Sequence[str] | None = None,
    *,
    strict: bool = False,
    level: float = 0.95,
) -> Estimate:
    """The chance that the answer most of k samples give is right, over all choices of k of each question's samples.

    None is a sample that could not be parsed: it votes for nothing, and still is one of the k. Ties are drawn by lot;
    with `strict` more than half of all k must be right (SimpleBench's MAJ@5).
    """
    if len(answers) != len(truths):
        raise UserError(f"truths: {len(truths)} for {len(answers)} questions; give one a question")
    _checked(k, min((len(row) for row in answers), default=k))
    each: list[Score] = []
    for row, truth in zip(answers, truths, strict=True):
        votes = Counter(row)
        silent, right = votes.pop(None, 0), votes.pop(truth, 0)
        others = (len(row) - right,) if strict else tuple(votes.values())
        each.append(_majority(right, others, 0 if strict else silent, k, strict))
    samples = sum(map(len, answers))
    return _over_questions(each, samples, samples, k, clusters, level)


def _chance(n: int, c: int, k: int) -> float:
    return 1 - comb(n - c, k) / comb(n, k)


def _majority(right: int, others: tuple[int, ...], silent: int, k: int, strict: bool) -> float:
    """Of all choices of k votes, the share that `right` of them win against rivals with so many votes each."""
    won = 0.0
    total = comb(right + sum(others) + silent, k)
    for j in range(1, min(right, k) + 1):
        # ways[used, tied]: choices of the rivals' votes, none above j, of which `tied` have j too.
        ways = {(0, 0): 1}
        if strict:
            ways = {(k - j, 0): comb(others[0], k - j)} if 2 * j > k else {}
        for votes in () if strict else others:
            grown: Counter[tuple[int, int]] = Counter()
            for (used, tied), count in ways.items():
                for v in range(min(votes, j, k - j - used) + 1):
                    grown[used + v, tied + (v == j)] += count * comb(votes, v)
            ways = dict(grown)
        for (used, tied), count in ways.items():
            won += comb(right, j) * count * comb(silent if not strict else 0, k - j - used) / total / (1 + tied)
    return min(1.0, won)


def _over_questions(
    each: Sequence[Score], samples: int, graded: int, k: int, clusters: Sequence[str] | None, level: float
) -> Estimate:
    table = asked(each, (0.0, 1.0))
    # k samples make one trial: the interval may be as narrow as that many independent trials allow, and no narrower.
    trials = max(int(table.used.sum()), graded // k)
    binary = table.binary and trials == table.used.sum()
    return estimate(replace(table, samples=trials, errors=samples - graded, binary=binary), clusters, level=level)


def _checked(k: int, samples: int) -> None:
    if not 1 <= k <= samples:
        raise UserError(f"k = {k}: give from 1 to the {samples} samples that a question has")

"""How much does a task's score grow for each tenfold of compute, and what do smaller models promise the largest?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.evals import growth
from orionlm.evals.clustered import Score
from orionlm.evals.growth import Expected, Point
from orionlm.evals.results import Row, bits, clusters, estimate, scores
from orionlm.evals.statistics import Estimate, Verdict

AHEAD = 3  # models of less compute than the largest, below which nothing is expected of it
STEPS = 8  # at which the expectation is drawn


@dataclass(frozen=True)
class Grown:
    """`per_decade`: the change of the score (bits per byte of texts) for each tenfold of compute; `verdict`: is it an
    improvement?"""

    per_decade: Estimate
    verdict: Verdict


def trend(flops: Sequence[float], rows: Sequence[Sequence[Row]], kind: str, level: float = 0.95) -> Grown | None:
    """None where a model has no score, or where all took the same compute. The models answer the same questions, so
    that their scores' errors are known together (`growth.covariances`)."""
    found = [estimate(kind, each, level) for each in rows]
    if None in found or len(set(flops)) < 2:
        return None
    values: list[Mapping[str, Score]] = [bits(each) if kind == "text" else scores(each) for each in rows]
    shared = [item for item in values[0] if all(each.get(item) is not None for each in values)]
    of = clusters(rows[0])
    try:
        errors = growth.covariances([[each[i] for i in shared] for each in values], [of[i] for i in shared])
    except UserError:
        return None
    points = [Point(c, one.value, one.standard_error) for c, one in zip(flops, found, strict=True) if one]
    said = growth.trend(points, None, covariance=errors, lower_is_better=kind == "text", level=level)
    first = found[0]
    assert first is not None
    per_decade = Estimate(
        said.slope, said.low, said.high, said.standard_error, len(shared), first.clusters,
        len(values[0]) - len(shared), 0, float("nan"), None, level,
    )  # fmt: skip
    return Grown(per_decade, said.verdict)


def expectation(flops: Sequence[float], found: Sequence[Estimate | None], chance: float | None) -> list[Expected]:
    """What the models of less compute than the largest promise (`growth.expected`): along compute, last the largest.

    Empty where guessing has no score, as for texts (theirs is the forecast of the loss), or where models are too few.
    """
    most = max(flops)
    largest = next(one for c, one in zip(flops, found, strict=True) if c == most)
    known = [(c, one) for c, one in zip(flops, found, strict=True) if c < most and one]
    if chance is None or largest is None or len({c for c, _ in known}) < AHEAD:
        return []
    points = [Point(c, one.value, one.standard_error) for c, one in known]
    computes = np.geomspace(min(flops), most, STEPS).tolist()
    return growth.expected(points, chance, [*computes[:-1], most], standard_error=largest.standard_error)

"""How much does a task's score grow for each tenfold of compute, from the rows of every model that was asked it?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from orionlm.errors import UserError
from orionlm.evals import growth
from orionlm.evals.clustered import Score
from orionlm.evals.growth import Point
from orionlm.evals.results import Row, bits, clusters, estimate, scores
from orionlm.evals.statistics import Estimate, Verdict


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

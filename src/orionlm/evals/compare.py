"""Is one model better than another on the same questions? Paired, by task, corrected for how many there are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from orionlm.errors import UserError
from orionlm.evals import statistics
from orionlm.evals.clustered import Score
from orionlm.evals.power import pilot
from orionlm.evals.results import Results, bits, clusters, scores
from orionlm.evals.statistics import Difference, Verdict


@dataclass(frozen=True)
class Comparison:
    """By how much the first model is better on one task: shares of right answers, or bits per byte saved.

    `p` is corrected over the tasks compared (Holm), and so is the verdict: "yes" and "no" need p ≤ 1 − level.
    `needed`: questions that would show a difference of this size four times in five, on one task looked at alone;
    `detectable`: the smallest difference that these questions would show as often.
    """

    task: str
    metric: str
    first: float | None
    second: float | None
    difference: Difference | None
    p: float | None
    verdict: Verdict
    needed: int | None
    detectable: float | None


def compare(first: Results, second: Results, *, level: float = 0.95, allow_different: bool = False) -> list[Comparison]:
    """A line for each task that both were asked, in the first's order.

    UserError where the questions, or how they were put, differ, unless told to compare them all the same: then by the
    tasks' names, unpaired where the questions are not the same.
    """
    theirs = {line["task"]: line for line in second.summary["tasks"]}
    ours = {line["task"]: line for line in first.summary["tasks"]}
    _check(first, second, ours, theirs, allow_different)
    names = [name for name in ours if name in theirs]
    lines = [_line(name, ours[name], theirs[name], first, second, level, allow_different) for name in names]
    tested = [n for n, line in enumerate(lines) if line.p is not None]
    for n, p in zip(tested, statistics.holm([_of(lines[n]).p for n in tested]), strict=True):
        said = _of(lines[n]).verdict
        lines[n] = replace(lines[n], p=p, verdict=said if p <= 1 - level else "cannot tell")
    return lines


def document(lines: list[Comparison]) -> list[dict[str, Any]]:
    """For JSON: what is not finite is null."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: plain(inner) for name, inner in value.items()}
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return [plain(asdict(line)) for line in lines]


def _check(first: Results, second: Results, ours: Mapping, theirs: Mapping, allow_different: bool) -> None:
    one, other = first.summary["suite"]["name"], second.summary["suite"]["name"]
    common = [name for name in ours if name in theirs]
    if not common:
        raise UserError(f"suites {one} and {other} have no task in common; compare results of the same suite")
    changed = [name for name in common if ours[name]["digest"] != theirs[name]["digest"]]
    missing = sorted(ours.keys() ^ theirs.keys())
    if allow_different or not (changed or missing):
        return
    if changed:
        raise UserError(
            f"task {changed[0]}: the two were not asked the same questions in the same way; evaluate both on one "
            "suite, or say --allow-different to compare all the same"
        )
    raise UserError(
        f"task {missing[0]}: only one of the two was asked it; evaluate both on one suite, or say --allow-different"
    )


def _line(
    name: str,
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    first: Results,
    second: Results,
    level: float,
    allow_different: bool,
) -> Comparison:
    metric = ours["metric"]
    values = [None if line["estimate"] is None else line["estimate"]["value"] for line in (ours, theirs)]
    nothing = Comparison(name, metric, values[0], values[1], None, None, "cannot tell", None, None)
    if theirs["metric"] != metric or None in values:
        return nothing
    text = metric == "bits_per_byte"
    a, b = first.of(name), second.of(name)
    one: Mapping[str, Score] = bits(a) if text else scores(a)
    other: Mapping[str, Score] = bits(b) if text else scores(b)
    better, worse = (other, one) if text else (one, other)  # fewer bits are better
    try:
        found = statistics.compare(
            better,
            worse,
            clusters([*a, *b]),
            level=level,
            bounds=None if text else statistics.ACCURACY,
            allow_unpaired=allow_different,
        )
    except UserError:
        if one.keys() != other.keys():
            raise
        return nothing
    if not math.isfinite(found.p):  # too few questions, or passages, to say anything
        return replace(nothing, difference=found)
    needed, detectable = _power(found, better, worse, clusters([*a, *b]), text)
    return replace(nothing, difference=found, p=found.p, verdict=found.verdict, needed=needed, detectable=detectable)


def _power(
    found: Difference, one: Mapping[str, Score], other: Mapping[str, Score], of: Mapping[str, str], text: bool
) -> tuple[int | None, float | None]:
    """From what varied on the questions that both were asked, with as many samples of each as these had."""
    ids = sorted(one.keys() & other.keys())
    try:
        variances = pilot(
            [one[i] for i in ids], [other[i] for i in ids], [of[i] for i in ids], bounds=None if text else (0.0, 1.0)
        )
    except UserError:
        return None, None
    samples = (_samples(one), _samples(other))
    total = variances.per_question(*samples)
    needed = variances.questions(found.value, *samples) if found.value and total else None
    return needed, variances.detectable(len(ids), *samples)


def _samples(scores: Mapping[str, Score]) -> int:
    first = next(iter(scores.values()))
    return len(first) if isinstance(first, Sequence) else 1


def _of(line: Comparison) -> Difference:
    assert line.difference is not None
    return line.difference

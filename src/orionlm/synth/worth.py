"""What did synthetic text bring its students, and what did it cost? Differences in bits, and gains in compute."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from orionlm.gain.gain import MAX_FACTOR, price_levers
from orionlm.gain.runs import RunTable, join
from orionlm.gain.solve import GRID, Interval, span

if TYPE_CHECKING:
    from orionlm.artifact import Artifact

REAL = "real"
LEVEL = 0.9


def own_costs(inputs: Mapping[str, Artifact]) -> dict[str, float | None]:
    """FLOPs that synthetic text cost beside its students' training: writing it, and training the teacher where that is
    a run of ours. None where nobody knows them, as of a model behind an API."""
    teachers = inputs["rows"].json("generation.json")["teachers"].values()
    own = inputs["run"].json("result.json")["flops"] if "run" in inputs else None
    return {"writing": _sum(*(teacher["flops"] for teacher in teachers)), "teacher": own}


def price(
    measured: Sequence[Mapping[str, Any]],
    vocabulary: int,
    validation: str,
    stock: int,
    baseline: RunTable | None,
    costs: Mapping[str, float | None],
    seed: int,
    used: Mapping[str, float] | None = None,
) -> tuple[RunTable, dict[str, Any]]:
    """The run table of the students (arm = lever), and what they say: arms, differences from `real`, gains, lines.

    `measured`: {arm, seed, points}, a point for each branch; the lowest in bits per byte is the run's. `stock`: tokens
    of genuine text. `baseline`: plain runs on fresh text; without them there are differences but no gains. `used`: what
    share of an arm's synthetic text its students read; as large a share of the writing counts (all of it by default).
    """
    used = dict(used or {})
    best = [{"arm": one["arm"], "seed": one["seed"], **_best(one["points"])} for one in measured]
    arms = list(dict.fromkeys(one["arm"] for one in best))
    known = ("params", "tokens", "unique_tokens", "flops", "bits_per_byte", "loss", "induction", "standard_error")
    rows = [
        {"run": f"{one['arm']}-{one['seed']}", "lever": one["arm"], "seed": one["seed"], "vocabulary": vocabulary}
        | {"scale": "student", "validation": validation}
        | {name: one[name] for name in known}
        for one in best
    ]
    table = RunTable.from_rows(rows)
    bits = {arm: np.array([one["bits_per_byte"] for one in best if one["arm"] == arm]) for arm in arms}
    page: dict[str, Any] = {
        "arms": {arm: summary(bits[arm], [one for one in best if one["arm"] == arm]) for arm in arms},
        "differences": {arm: difference(bits, arm) for arm in arms if arm != REAL},
        "points": {f"{one['arm']}-{one['seed']}": one["points"] for one in measured},
        "costs": dict(costs),
        "used": used,
        "gains": {},
    }
    if baseline is not None:
        largest = float(baseline["flops"].max())
        page["gains"] = gains(join([baseline, table]), arms, stock, costs, largest, seed, used)
    page["says"] = [line for arm in page["differences"] for line in says(page, arm)]
    return table, page


def _best(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The best branch, at the compute of the longest: that an earlier stop was better is known only at the end."""
    branch = min(range(len(points)), key=lambda number: points[number]["bits_per_byte"])
    return {"branch": branch, **points[branch], "flops": points[-1]["flops"]}


def summary(bits: np.ndarray, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kept = ("seed", "branch", "bits_per_byte", "standard_error", "tokens", "unique_tokens", "epochs", "flops", "read")
    return {"bits_per_byte": float(bits.mean()), "n": len(bits), "runs": [{k: run[k] for k in kept} for run in runs]}


def difference(bits: Mapping[str, np.ndarray], arm: str) -> dict[str, Any]:
    """Bits per byte of an arm's students less those of `real`, with a t interval; the spread of a run is pooled over
    all arms (ANOVA with one factor), because an arm has few seeds. No interval from single runs."""
    mean = float(bits[arm].mean() - bits[REAL].mean())
    freedom = sum(len(values) - 1 for values in bits.values())
    if not freedom:
        return {"value": mean, "low": None, "high": None, "n": len(bits[arm])}
    variance = sum(((values - values.mean()) ** 2).sum() for values in bits.values()) / freedom
    half = stats.t.ppf((1 + LEVEL) / 2, freedom) * math.sqrt(variance * (1 / len(bits[arm]) + 1 / len(bits[REAL])))
    return {"value": mean, "low": mean - half, "high": mean + half, "n": len(bits[arm])}


def gains(
    table: RunTable,
    arms: Sequence[str],
    stock: int,
    costs: Mapping[str, float | None],
    largest: float,
    seed: int,
    used: Mapping[str, float],
) -> dict[str, Any]:
    """Each arm in multiples of the plain recipe's compute on fresh text, and over `real`: the same draws of the
    baseline behind both. `net` counts the writing of what is read (`used`), `net_of_teacher` the teacher's training
    too, all of it on one student. `largest`: FLOPs of the largest plain run."""
    priced = {gain.lever: gain for gain in price_levers(table, levers=list(arms), stock=stock, level=LEVEL, seed=seed)}
    plain = priced[REAL].fresh.draws
    found: dict[str, Any] = defaultdict(dict)
    for arm in arms:
        gain = priced[arm]
        limit = min(math.log(MAX_FACTOR * largest / gain.flops), float(GRID[-1]))
        writing = None if costs["writing"] is None else costs["writing"] * used.get(arm, 1.0)
        own = {"gross": 0.0, "net": writing, "net_of_teacher": _sum(writing, costs["teacher"])}
        found[arm] = gain.to_json() | {
            "over_real": {
                name: None if spent is None else _over(gain.fresh.draws, plain, spent / gain.flops, limit)
                for name, spent in own.items()
            }
        }
    return dict(found)


def _sum(*amounts: float | None) -> float | None:
    """None where one is not known."""
    return None if any(amount is None for amount in amounts) else math.fsum(amount or 0.0 for amount in amounts)


def _over(draws: np.ndarray, plain: np.ndarray, own: float, limit: float) -> dict[str, float | None] | None:
    """e^(gain − gain of `real`) / (1 + own cost as a share of the student's training).

    A draw beyond what the baseline reaches is infinite, and known from one side only: at least `limit`, or at most the
    grid's end. So is the ratio then: its low end is of the least that it may be, its high end of the most. None where
    both are open.
    """
    least = np.where(np.isposinf(draws), limit, draws) - np.where(np.isneginf(plain), GRID[0], plain)
    most = np.where(np.isneginf(draws), GRID[0], draws) - np.where(np.isposinf(plain), limit, plain)
    below, above = (Interval.of(logs - math.log1p(own), LEVEL) for logs in (least, most))
    if not below.low and above.high is None:
        return None
    return {"value": above.value, "low": below.low, "high": above.high}


def says(page: Mapping[str, Any], arm: str) -> list[str]:
    """What the students of an arm say, a line for people."""
    found = page["differences"][arm]
    spread = "" if found["low"] is None else f" ({found['low']:+.3f} to {found['high']:+.3f})"
    line = f"{arm}: {found['value']:+.3f}{spread} bits per byte against real text repeated, n = {found['n']}"
    if arm in page["gains"]:
        over = page["gains"][arm]["over_real"]
        parts = {"gross": "gross", "net": "net of writing it", "net_of_teacher": "net of the teacher's training too"}
        line += "; " + ", ".join(f"{span(over[name])} {word}" for name, word in parts.items() if over[name])
    return [line]

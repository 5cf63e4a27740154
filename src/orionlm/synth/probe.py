"""Who should write, and how? Stage `probe`: small models trained on small samples of each teacher and method say it.

Successive halving (Jamieson & Talwalkar 1502.07943): every candidate writes a little, students of it are trained beside
genuine text at equal FLOPs, and what goes on has `growth` times the text and the FLOPs. Theirs keeps the better half
whatever the noise; here goes on all that is not credibly worse than the best, so a tie is never broken by luck. What
was answered is kept in the run's folder, and the next round begins with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field, model_validator

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import read_documents, shard_files
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.shape import Shape
from orionlm.synth import generate as generation
from orionlm.synth import students
from orionlm.synth.candidates import Candidate, pasteable, teachers_of, written
from orionlm.synth.desk import Seed
from orionlm.synth.generate import drawn
from orionlm.synth.ranking import RANKINGS, concluded, standings
from orionlm.synth.rows import read_rows, row_files
from orionlm.synth.students import REAL
from orionlm.synth.teachers import TeacherSettings
from orionlm.train.trajectory import Trajectory

if TYPE_CHECKING:
    import numpy as np

    from orionlm.gain.runs import RunTable
    from orionlm.recipe.context import Context


class Settings(students.Settings):
    """In the first round each candidate writes `rows` or `tokens`, and a student has `flops`; in each of the `rounds`
    after it, `growth` times as many. `documents` of the corpus, drawn by chance, are the seeds."""

    candidates: tuple[Candidate, ...] = Field(min_length=1)  # type: ignore[valid-type]
    rows: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    documents: int = Field(default=10_000, ge=1)
    rounds: int = Field(default=3, ge=1, le=10)
    growth: float = Field(default=2.0, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if (self.rows is None) == (self.tokens is None):
            raise ValueError("rows, tokens: give one of the two, for the first round")
        names = [one.name for one in self.candidates]
        if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1]:
            raise ValueError(f"candidates: two are called {twice[0]!r}; give each a name of its own")
        return self

    def wanted(self, number: int) -> dict[str, int]:
        """What each candidate writes by the end of a round, counted from 0."""
        both = {"rows": self.rows, "tokens": self.tokens}
        return {name: math.ceil(first * self.growth**number) for name, first in both.items() if first is not None}


@dataclass(frozen=True)
class _Probe:
    """What all rounds share."""

    settings: Settings
    inputs: dict[str, Artifact]
    work: Path
    context: Context
    seeds: Sequence[Seed]
    teachers: Mapping[str, TeacherSettings]
    baseline: RunTable | None


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `probe.json`: every round, the rankings, what each candidate took, the winners' settings."""
    from orionlm.gain.runs import read_runs

    teachers = teachers_of(settings.candidates, inputs["run"].path if "run" in inputs else None)
    corpus = inputs["corpus"]
    depth = corpus.json("corpus.json").get("depth", 0)
    seeds = drawn(read_documents(shard_files(corpus.path, "train")), settings.documents, context.seed, depth)
    baseline = read_runs(inputs["ladder"].file("runs.csv")) if "ladder" in inputs else None
    probe = _Probe(settings, inputs, out / "work", context, seeds, teachers, baseline)
    due = [one.name for one in settings.candidates]
    rounds: list[dict[str, Any]] = []
    bought: dict[str, Any] = {}
    left: dict[str, str] = {}
    for number in range(settings.rounds):
        found = _round(probe, number, due)
        left |= found["out"] | found["stopped"]
        bought |= found.pop("bought")
        for name, why in (found["out"] | found["stopped"]).items():
            context.progress.say(f"{context.stage}: {name}: {why}")
        if found["candidates"]:
            rounds.append(found)
        due = found["on"]
        if len(due) < 2:  # there is nothing left to choose between
            break
    if not rounds:
        raise UserError(
            f"no candidate can be ranked: {'; '.join(f'{name}: {why}' for name, why in left.items())}; "
            "what was answered is kept"
        )
    found = concluded(rounds, left, "gain" if baseline else "bits")
    for winner in found["winners"].values():
        [one] = [one for one in settings.candidates if one.name == winner["name"]]
        documents = settings.documents if "documents" in settings.model_fields_set else None
        winner["settings"] = pasteable(one, rounds[-1]["wanted"], documents)
    write_json(out / "probe.json", {"rounds": rounds, "left": left, "spent": _spent(rounds, bought)} | found)
    for line in found["says"]:
        context.progress.say(f"{context.stage}: {line}")


def _round(probe: _Probe, number: int, due: Sequence[str]) -> dict[str, Any]:
    """Writing, training, judging; each is done once, however often it is killed."""
    from orionlm.data.shards import TokenSet, tokenise
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side
    from orionlm.synth.worth import price

    settings, context, here = probe.settings, probe.context, probe.work / f"round-{number}"
    wanted = settings.wanted(number)
    decided = here / "out.json"  # who is out stays out, once others have gone on without it
    out: dict[str, Any] = json.loads(decided.read_text(encoding="utf-8")) if decided.exists() else {}
    pages = {
        one.name: out.get(one.name)
        or written(one, probe.teachers[one.name], probe.seeds, wanted, here / "rows" / one.name, context)
        for one in settings.candidates
        if one.name in due
    }
    out = {name: page for name, page in pages.items() if "out" in page}
    gone = {name: page["out"] for name, page in out.items()}
    told: dict[str, Any] = {"round": number + 1, "wanted": wanted, "out": gone, "stopped": {}, "candidates": {}}
    told["bought"] = {name: page["bought"] for name, page in out.items()}
    able = [name for name in due if name not in gone]
    if not able:
        return told | {"on": []}
    write_json(decided, out)
    folder = here / "tokens"
    if not (folder / "tokens.json").exists():
        rows = {name: list(read_rows(row_files(here / "rows" / name))) for name in able}
        students.write_arms(folder / "corpus", probe.inputs["corpus"], rows)
        tokenizer = probe.inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
        tokenise(folder / "corpus", tokenizer, folder, context)
    tokens = TokenSet.open(folder, "train")
    size = {name: len(part) for name, part in tokens.parts.items()}
    length = settings.training.context + 1
    gone |= {name: _short(size[name], length) for name in able if size[name] < length}
    able = [name for name in able if name not in gone]
    if not able:
        return told | {"on": []}
    flops = settings.flops * settings.growth**number
    runs, mixtures = students.plan_students(
        settings.model_copy(update={"flops": flops}), tokens, context.seed, [REAL, *able]
    )
    arms = [run.name.rsplit("-", 1)[0] for run in runs]
    jobs = [Wanted(run, folder, mixtures[arm]) for run, arm in zip(runs, arms, strict=True)]
    trained = train_side_by_side(jobs, here, replace(context, training="probe"), settings.validation_tokens)
    measured: list[dict[str, Any]] = [
        {"arm": arm, "seed": run.seed, "points": points}
        for arm, run, (points, _) in zip(arms, runs, trained, strict=True)
    ]
    validation = TokenSet.open(folder, "validation").digest[:12]
    table, found = price(measured, tokens.vocabulary, validation, size[REAL], None, {}, context.seed)
    each = _prices(context, runs[0], measured[0]["points"][-1]["flops"])
    told["student"] = each
    told["real"] = {"unique_tokens": size[REAL], "training_flops": _training(runs, REAL), **found["arms"][REAL]}
    for name in able:
        told["candidates"][name] = {
            "unique_tokens": size[name],
            "saved": found["differences"][name],  # of bits: below 0 is better
            "writing": _writing(pages[name], each),
            "training_flops": _training(runs, name),
            "rows": pages[name]["kept"],
            "warnings": pages[name]["warnings"],
            **found["arms"][name],
        }
    bits = {arm: _bits(found["arms"][arm]) for arm in (REAL, *able)}
    gains = None if probe.baseline is None else _gains(probe.baseline, table, able, size[REAL], context.seed)
    told["standings"] = {
        ranking: standings(bits, gains, _times(told["candidates"], each, ranking), settings.rounds)
        for ranking in RANKINGS
    }
    told["stopped"] = _stopped(told, number)
    return told | {"on": [name for name in able if name not in told["stopped"]]}


def _short(tokens: int, length: int) -> str:
    return f"its {tokens:,} tokens are less than one window of {length:,}; let it write more, or lower training.context"


def _training(runs: Sequence[Trajectory], arm: str) -> float:
    return math.fsum(run.flops for run in runs if run.name.rsplit("-", 1)[0] == arm)


def _prices(context: Context, run: Trajectory, flops: float) -> dict[str, float | None]:
    """What one student takes: FLOPs, and dollars at the speed measured here where the recipe has a price."""
    from orionlm.ladder.run import seconds_for

    if context.dollars_per_hour is None:
        return {"flops": flops, "dollars": None}
    return {
        "flops": flops,
        "dollars": context.dollars_per_hour * seconds_for(context, [(run.shape, flops)]) / 3600,
    }


def _writing(page: Mapping[str, Any], student: Mapping[str, float | None]) -> dict[str, Any]:
    """What the rows of a candidate took so far; None where nobody knows. A checkpoint of ours is paid for by its FLOPs,
    at the price of the student's."""
    [about] = page["teachers"].values()
    dollars = about["dollars"]
    if dollars is None and about["flops"] is not None and student["dollars"] is not None:
        dollars = about["flops"] * student["dollars"] / student["flops"]
    return {"flops": about["flops"], "dollars": dollars, "tokens": about["prompt_tokens"] + about["tokens"]}


def _bits(arm: Mapping[str, Any]) -> np.ndarray:
    import numpy as np

    return np.array([run["bits_per_byte"] for run in arm["runs"]])


def _gains(baseline: RunTable, table: RunTable, names: Sequence[str], stock: int, seed: int) -> dict[str, np.ndarray]:
    """Draws of ln gain over real text repeated, the same draws of the baseline behind all. What lies beyond the reach
    of the baseline stands at its end: two that both do cannot be told apart, and no difference is more than known."""
    import numpy as np

    from orionlm.gain.gain import MAX_FACTOR, price_levers
    from orionlm.gain.runs import join
    from orionlm.gain.solve import GRID

    largest = float(baseline["flops"].max())
    found = price_levers(join([baseline, table]), levers=[REAL, *names], stock=stock, seed=seed)
    ends = {gain.lever: min(math.log(MAX_FACTOR * largest / gain.flops), float(GRID[-1])) for gain in found}
    draws = {gain.lever: np.clip(gain.fresh.draws, GRID[0], ends[gain.lever]) for gain in found}
    return {name: draws[name] - draws[REAL] for name in names}


def _times(candidates: Mapping[str, Any], student: Mapping[str, Any], ranking: str) -> dict[str, float]:
    """How many times the price of a plain student each one's has, where that is known."""
    if ranking == "bits":
        return dict.fromkeys(candidates, 1.0)
    own = {name: one["writing"][ranking] for name, one in candidates.items()}
    return {name: 1 + spent / student[ranking] for name, spent in own.items() if None not in (spent, student[ranking])}


def _stopped(told: Mapping[str, Any], number: int) -> dict[str, str]:
    """Who is credibly worse than the best by every price that is known of it; by bits alone where none is."""
    found = {}
    for name in told["candidates"]:
        lines = {
            ranking: line for ranking, every in told["standings"].items() for line in every if line["name"] == name
        }
        judged = {ranking: line for ranking, line in lines.items() if ranking != "bits"} or lines
        if all(line["verdict"] == "worse" for line in judged.values()):
            best = told["standings"][next(iter(judged))][0]["name"]
            found[name] = f"stopped in round {number + 1}: credibly worse than {best}"
    return found


def _spent(rounds: Sequence[Mapping[str, Any]], bought: Mapping[str, Any]) -> dict[str, Any]:
    """By candidate, over all rounds: its writing, its students. Real text's students are everybody's."""
    spent: dict[str, Any] = {}
    for found in rounds:
        student = found["student"]
        for name, one in {REAL: found["real"], **found["candidates"]}.items():
            own = spent.setdefault(name, {"students": {"flops": 0.0, "dollars": student["dollars"] and 0.0}})
            own["students"]["flops"] += one["training_flops"]
            if student["dollars"] is not None:
                own["students"]["dollars"] += one["training_flops"] * student["dollars"] / student["flops"]
            if name != REAL:
                own["writing"] = one["writing"]  # of all rounds: the later begin with what the earlier bought
    for name, page in bought.items():
        spent.setdefault(name, {})["writing"] = page
    return spent


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The most it takes, where nobody is stopped."""
    from orionlm.ladder.run import seconds_for

    teachers = teachers_of(settings.candidates, Path("run") if "run" in known else None)
    shape = Shape.from_width(
        settings.width, vocabulary=known["tokenizer"]["vocabulary"], context=settings.training.context
    )
    growth = math.fsum(settings.growth**number for number in range(settings.rounds))
    each = settings.flops * (1 + settings.training.decay * sum(settings.branches[:-1]))
    arms = settings.seeds * (len(settings.candidates) + 1)
    training = each * growth * arms
    estimates = []
    for one in settings.candidates:
        asked = {"teachers": () if one.teacher is None else (teachers[one.name],), "documents": settings.documents}
        last = generation.Settings(**asked, **settings.wanted(settings.rounds - 1), **one.methods())
        estimates.append(generation.derive(last, known, context))
    numbers = [
        Derived("candidates", len(settings.candidates), "", "each a teacher with a method, and real text beside them"),
        Derived("students at most", settings.rounds * arms, "", "rounds · seeds · arms"),
        Derived("training FLOPs at most", training, "FLOP", "seeds · arms · Σ flops · growth^round · (1 + decays)"),
        *(
            Derived(f"{one.name}: {number.name}", number.value, number.unit, number.formula)
            for one, estimate in zip(settings.candidates, estimates, strict=True)
            for number in estimate.numbers
        ),
    ]  # fmt: skip
    flops = training + math.fsum(estimate.flops for estimate in estimates)
    return Estimate(numbers, flops, seconds_for(context, [(shape, training)]) / 2)

"""Does a model of one task get better by synthetic text? Stage `specialists`: several of each kind, put to its suite.

The same small model is trained with equal FLOPs on the genuine examples alone (`plain`) and with what was written from
them (`specialist`), from several seeds, because on a narrow task one run's luck is larger than most effects. A
difference counts where it is clear both over questions, paired, and over runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.ladder import run as one_run
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.synth.worth import REAL, difference
from orionlm.train.trajectory import TrainingSettings, Trajectory

if TYPE_CHECKING:
    from orionlm.evals.results import Results
    from orionlm.recipe.context import Context

PLAIN, SPECIALIST = "plain", "specialist"
LEVEL = 0.9


class Settings(BaseModel):
    """`seeds` models of each kind, of `width`, trained with `flops`; asked is a `suite` as in `eval`.
    `undecontaminated`: go on where a corpus was not cleaned of the suite's items."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    suite: str
    given: dict[str, str] = Field(default_factory=dict)
    width: int = Field(default=64, ge=16)
    flops: float = Field(gt=0)
    seeds: int = Field(default=3, ge=1)
    undecontaminated: bool = False
    validation_tokens: int = Field(default=131_072, ge=1)
    training: TrainingSettings = TrainingSettings()


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes the models (`models/KIND-SEED-0`), `results/`, and `specialists.json`."""
    from orionlm.data.shards import TokenSet, tokenise
    from orionlm.evals.checkpoint import Checkpoint
    from orionlm.evals.lineage import check
    from orionlm.evals.run import evaluate
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side
    from orionlm.tasks.suite import load_suite

    suite = load_suite(settings.suite, settings.given)
    corpora = {PLAIN: inputs["corpus"], SPECIALIST: inputs["augmented"]}
    wanted = []
    for kind, corpus in corpora.items():
        if said := check(suite, corpus.path, [], settings.undecontaminated):
            context.progress.say(said)
        folder = out / "work" / "tokens" / kind
        if not (folder / "tokens.json").exists():
            tokenizer = inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
            tokenise(corpus.path, tokenizer, folder, context)
        vocabulary = TokenSet.open(folder, "train").vocabulary
        wanted += [Wanted(one, folder) for one in _planned(settings, kind, vocabulary, context.seed)]
    trained = train_side_by_side(wanted, out, context, settings.validation_tokens, keep_models=True)
    found: dict[str, list[Results]] = {PLAIN: [], SPECIALIST: []}
    runs: dict[str, Any] = {}
    for one, (points, _) in zip(wanted, trained, strict=True):
        name = one.trajectory.name
        results = evaluate(
            suite, Checkpoint(out / "models" / f"{name}-0"), out / "results" / name,
            progress=context.progress, record=context.record, kept=out / "work" / "answers.sqlite",
        )  # fmt: skip
        found[name.split("-")[0]].append(results)
        runs[name] = points[0] | {"tasks": {line["task"]: line["estimate"] for line in results.summary["tasks"]}}
    tasks = compared(found)
    write_json(out / "specialists.json", {"runs": runs, "tasks": tasks, "level": LEVEL})
    for line in tasks:
        context.progress.say(f"{context.stage}: {line['says']}")


def _planned(settings: Settings, kind: str, vocabulary: int, seed: int) -> list[Trajectory]:
    asked = one_run.Settings(width=settings.width, flops=settings.flops, training=settings.training)
    return [
        replace(one_run.plan_run(asked, vocabulary, seed + number, None), name=f"{kind}-{number}")
        for number in range(settings.seeds)
    ]


def compared(found: Mapping[str, Sequence[Results]]) -> list[dict[str, Any]]:
    """By task: the mean score of each kind, how much better the specialists are over runs (t interval, the spread
    pooled) and over questions (paired, runs as samples of them), and whether both say so."""
    from orionlm.evals.compare import compare, document

    pooled = {kind: _pooled(results) for kind, results in found.items()}
    over_questions = compare(pooled[SPECIALIST], pooled[PLAIN], level=LEVEL)
    lines = []
    for line, told in zip(over_questions, document(over_questions), strict=True):
        scores = {kind: _scores(results, line.task) for kind, results in found.items()}
        better = -1 if line.metric == "bits_per_byte" else 1
        over_runs = difference({REAL: better * scores[PLAIN], SPECIALIST: better * scores[SPECIALIST]}, SPECIALIST)
        if not all(np.isfinite(each).all() for each in scores.values()):  # a model answered nothing to be graded
            over_runs = over_runs | {"value": None, "low": None, "high": None}
        verdict = _verdict(over_runs, told["difference"])
        lines.append({
            "task": line.task, "metric": line.metric, "over_runs": over_runs, "over_questions": told["difference"],
            **{kind: _told(each) for kind, each in scores.items()},
            "verdict": verdict, "says": f"{line.task}: {_says(scores, over_runs)}: {verdict}",
        })  # fmt: skip
    return lines


def _says(scores: Mapping[str, np.ndarray], over_runs: Mapping[str, Any]) -> str:
    if over_runs["value"] is None:
        return "a model has no score"
    between = "" if over_runs["low"] is None else f" ({over_runs['low']:+.3f} to {over_runs['high']:+.3f})"
    return (
        f"{scores[SPECIALIST].mean():.3f} with synthetic text, {scores[PLAIN].mean():.3f} without, "
        f"{over_runs['value']:+.3f}{between} over {len(scores[PLAIN])} runs of each"
    )


def _pooled(results: Sequence[Results]) -> Results:
    """Several runs' answers as several answers of one model."""
    rows = tuple(replace(row, sample=number) for number, each in enumerate(results) for row in each.rows)
    return replace(results[0], rows=rows)


def _scores(results: Sequence[Results], task: str) -> np.ndarray:
    lines = [line for each in results for line in each.summary["tasks"] if line["task"] == task]
    return np.array([line["estimate"]["value"] if line["estimate"] else np.nan for line in lines])


def _told(scores: np.ndarray) -> dict[str, Any]:
    """None where there is no score."""
    runs = [float(score) if np.isfinite(score) else None for score in scores]
    return {"mean": None if None in runs else float(scores.mean()), "runs": runs}


def _verdict(over_runs: Mapping[str, Any], over_questions: Mapping[str, Any] | None) -> str:
    both = (over_runs, over_questions or {})
    if all((found.get("low") or 0) > 0 for found in both):
        return "better"
    return "worse" if all((found.get("high") or 0) < 0 for found in both) else "cannot tell"


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """What all of them cost to train."""
    [one, *_] = _planned(settings, PLAIN, known["tokenizer"]["vocabulary"], context.seed)
    count = 2 * settings.seeds
    numbers = [
        *one_run.shape_numbers("each", one.shape),
        Derived("models", count, "", "2 · seeds"),
        Derived("FLOPs", count * one.flops, "FLOP", "models · flops"),
    ]
    return Estimate(numbers, count * one.flops, one_run.seconds_for(context, [(one.shape, count * one.flops)]) / 2)

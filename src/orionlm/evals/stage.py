"""The stage `eval`: the run's model, and the ladder's, on a suite; which tasks grow with compute, which stay blind."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import shard_files
from orionlm.errors import UserError
from orionlm.evals.sight import SightSettings
from orionlm.recipe.estimate import Derived, Estimate

if TYPE_CHECKING:
    from orionlm.evals.results import Results
    from orionlm.recipe.context import Context
    from orionlm.tasks.task import Suite


class Settings(BaseModel):
    """`sight`: tasks made from the corpus's held-out text, the only ones where no `suite` (a file, or the name of a
    published one; `given` are the files it asks for) is named. `limit` keeps the first items of each task.
    `contamination`: look for the questions in the text trained on. `truncate`: a question beyond the model's context
    loses its beginning; else it is counted as too long. `undecontaminated`: go on where a model's text was not cleaned
    of the suite's items.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    suite: str | None = None
    given: dict[str, str] = Field(default_factory=dict)
    sight: SightSettings | None = SightSettings()
    limit: int | None = Field(default=None, ge=1)
    contamination: bool = True
    truncate: bool = False
    undecontaminated: bool = False


@dataclass(frozen=True)
class Model:
    """A checkpoint to evaluate, and what went into it."""

    name: str
    folder: Path
    flops: float
    params: float


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `results/MODEL/`, `eval.json` (each model's scores) and, with a ladder, `trend.json`.

    A killed stage goes on where it was: what was answered is kept in `work`.
    """
    from orionlm.data.decontamination.overlap import join_corpus
    from orionlm.evals.checkpoint import Checkpoint
    from orionlm.evals.contamination import clean
    from orionlm.evals.lineage import check
    from orionlm.evals.run import evaluate, limited

    models = found_models(inputs)
    (out / "work").mkdir(parents=True, exist_ok=True)
    corpus = inputs["corpus"]
    whole = suites(settings, corpus, context.seed)
    given = [Path(file) for file in settings.given.values()]
    for suite in whole:
        made_from = shard_files(corpus.path, "validation") if suite.name == "sight" else given
        told = (check(suite, model.folder, made_from, settings.undecontaminated) for model in models)
        for said in filter(None, dict.fromkeys(told)):
            context.progress.say(said)
    chosen = [limited(suite, settings.limit) for suite in whole]
    train = shard_files(corpus.path, "train")
    overlaps = {suite.name: join_corpus(suite, train) if settings.contamination else {} for suite in chosen}
    lines: list[dict[str, Any]] = []
    results: dict[str, list[Results]] = {suite.name: [] for suite in chosen}
    for model in models:
        line: dict[str, Any] = {"model": model.name, "flops": model.flops, "params": model.params, "suites": []}
        answerer = Checkpoint(model.folder, truncate=settings.truncate)
        for suite in chosen:
            found = evaluate(
                suite,
                answerer,
                out / "results" / model.name / suite.name,
                progress=context.progress,
                record=context.record,
                kept=out / "work" / "answers.sqlite",
            )
            results[suite.name].append(found)
            part = dict(found.summary)
            if settings.contamination:
                part["clean"] = clean(found, overlaps[suite.name])
            line["suites"].append(part)
        lines.append(line)
    write_json(out / "eval.json", {"models": lines})
    if len(models) > 1:
        write_json(out / "trend.json", {suite: trends(models, found) for suite, found in results.items()})


def suites(settings: Settings, corpus: Artifact, seed: int) -> list[Suite]:
    """What is asked: the named suite, and what the corpus's held-out text gives."""
    from orionlm.evals.sight import sight_suite
    from orionlm.tasks.suite import load_suite

    found = []
    if settings.suite is not None:
        found.append(load_suite(settings.suite, settings.given))
    if settings.sight is not None:
        found.append(sight_suite(shard_files(corpus.path, "validation"), settings.sight, seed))
    if not found:
        raise UserError("suite, sight: nothing to ask; name a suite, or leave sight on")
    if len({suite.name for suite in found}) < len(found):
        raise UserError(f"suite = {settings.suite!r}: it is called sight, as the tasks from the corpus are; rename it")
    return found


def found_models(inputs: dict[str, Artifact]) -> list[Model]:
    """The ladder's models by size and length, then the run's own."""
    found = list(_of_ladder(inputs["ladder"])) if "ladder" in inputs else []
    if "run" in inputs:
        artifact = inputs["run"]
        result = artifact.json("result.json")
        found.append(Model("run", artifact.path, result["flops"], result["params"]))
    if not found:
        raise UserError("inputs: nothing to evaluate; give run, a train stage, or ladder, or both")
    return found


def _of_ladder(ladder: Artifact) -> list[Model]:
    models = []
    for rung in ladder.json("ladder.json")["rungs"]:
        for branch in rung["branches"]:
            if "model" not in branch:
                raise UserError(
                    f"{ladder.path}: this ladder kept no models; set keep_models = true in its stage, and redo it"
                )
            folder = ladder.path / branch["model"]
            models.append(Model(folder.name, folder, branch["flops"], rung["params"]))
    return models


def trends(models: list[Model], results: list[Results]) -> list[dict[str, Any]]:
    """For each task: does it grow with compute, with its interval; is it blind, at chance all along; and what did the
    smaller models promise the largest?"""
    from orionlm.evals.results import estimate, plain
    from orionlm.evals.trend import expectation, trend

    lines = []
    for place, task in enumerate(results[0].summary["tasks"]):
        name = task["task"]
        every = [found.summary["tasks"][place] for found in results]
        flops, rows = [model.flops for model in models], [found.of(name) for found in results]
        grown = trend(flops, rows, task["kind"])
        expected = expectation(flops, [estimate(task["kind"], own) for own in rows], task["chance"])
        blind = [line["blind"] for line in every]
        lines.append(
            {
                "task": name,
                "metric": task["metric"],
                "higher_is_better": task["higher_is_better"],
                "chance": task["chance"],
                "points": [
                    {"model": model.name, "flops": model.flops, "params": model.params, "estimate": line["estimate"]}
                    for model, line in zip(models, every, strict=True)
                ],
                "expected": [asdict(one) for one in expected],
                "per_decade": None if grown is None else plain(grown.per_decade),
                "verdict": "cannot tell" if grown is None else grown.verdict,
                # A task that grows is seen, though no single model's interval may leave chance.
                "blind": None if None in blind else all(blind) and (grown is None or grown.verdict != "yes"),
            }
        )
    return lines


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """What one model is asked, before any is trained: the items that the settings name."""
    numbers = []
    if settings.sight is not None:
        numbers.append(Derived("sight: items", 2 * settings.sight.items, "", "next lines and middles, each `items`"))
        size = settings.sight.domains * settings.sight.domain_bytes
        numbers.append(Derived("sight: held-out text at most", size, "B", "domains · domain_bytes"))
    return Estimate(numbers)

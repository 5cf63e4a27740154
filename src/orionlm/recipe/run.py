"""Runs a recipe's stages in order: what is done stays done, what was killed goes on, what has drifted stops."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orionlm.artifact import (
    MANIFEST,
    WORK,
    Artifact,
    finish_publication,
    open_artifact,
    publish,
    write_json,
    write_text,
)
from orionlm.errors import UserError
from orionlm.progress import Progress, duration
from orionlm.recipe.context import MACHINE, Context, read_choices
from orionlm.recipe.drift import Change, accepted, changes, origin, store_accepted
from orionlm.recipe.recipe import Recipe, Stage
from orionlm.recipe.rundir import RECIPE, RunDirectory

ATTEMPT = Path(WORK) / "attempt.json"


def run_recipe(
    recipe: Recipe,
    run_dir: Path,
    *,
    until: str | None = None,
    redo: Sequence[str] = (),
    accept_drift: bool = False,
    progress: Progress | None = None,
) -> dict[str, Artifact]:
    """Run `recipe` in `run_dir` (all of it, or what `until` needs) and return every stage's artifact by name.

    `redo` makes those stages and everything downstream again; what they made before is deleted only when its
    successor is published. Drift raises UserError unless `accept_drift`, which records it in the run.
    """
    progress = progress or Progress()
    stages = recipe.needed_for(until) if until else list(recipe.stages)
    again = recipe.downstream(redo)
    directory = RunDirectory(run_dir)
    with directory.lock():
        (run_dir / "artifacts").mkdir(exist_ok=True)
        _stop_on_drift(recipe, directory, again, accept_drift, progress)
        check([stage for stage in stages if stage.name in again or not directory.finished(stage.name)])
        write_text(run_dir / RECIPE, recipe.document.text)
        for name in again:
            _set_aside(directory, name)
        done: dict[str, Artifact] = {}
        for stage in stages:
            inputs = {name: done[source] for name, source in stage.inputs.items()}
            _stop_on_stage_drift(recipe, stage, inputs, directory, accept_drift, progress)
            if directory.finished(stage.name):
                done[stage.name] = open_artifact(directory.artifact(stage.name), stage.kind)
                progress.say(f"{stage.name}: already done")
            else:
                done[stage.name] = _attempt(recipe, stage, inputs, directory, progress)
            shutil.rmtree(directory.old(stage.name), ignore_errors=True)
        return done


def check(stages: Sequence[Stage]) -> None:
    """What stages find wrong with their settings, before any of them runs."""
    for stage in stages:
        if hasattr(stage.module, "can_begin"):
            try:
                stage.module.can_begin(stage.settings)
            except UserError as error:
                raise UserError(f"stage {stage.name}: {error}") from error


def context_for(recipe: Recipe, stage: Stage, run_dir: Path, progress: Progress, rehearsal: bool = False) -> Context:
    """What `stage` is given besides its settings and inputs."""
    price = recipe.price
    return Context(
        stage=stage.name,
        seed=stage.seed,
        run_dir=run_dir,
        progress=progress,
        dollars_per_hour=price.dollars_per_hour if price else None,
        price_source=price.source if price else "",
        pinned=recipe.machine.model_dump(exclude_none=True),
        rehearsal=rehearsal,
    )


def _attempt(
    recipe: Recipe, stage: Stage, inputs: dict[str, Artifact], directory: RunDirectory, progress: Progress
) -> Artifact:
    partial, final = directory.partial(stage.name), directory.artifact(stage.name)
    if (partial / MANIFEST).exists():
        return finish_publication(partial, final)
    if _begun(partial):
        progress.say(f"{stage.name}: goes on where it was")
    else:
        shutil.rmtree(partial, ignore_errors=True)
    made_from = origin(stage, inputs)
    (partial / WORK).mkdir(parents=True, exist_ok=True)
    write_json(partial / ATTEMPT, made_from)
    context = context_for(recipe, stage, directory.path, progress)
    began = time.monotonic()
    try:
        stage.module.run(stage.settings, inputs, partial, context)
    except UserError as error:
        raise UserError(f"stage {stage.name}: {error}") from error
    artifact = publish(
        partial, final, kind=stage.kind, settings=made_from["settings"], inputs=inputs, seed=stage.seed,
        fingerprint=made_from["fingerprint"],
    )  # fmt: skip
    progress.say(f"{stage.name}: done in {duration(time.monotonic() - began)}")
    return artifact


def _set_aside(directory: RunDirectory, stage: str) -> None:
    """Move a finished artifact out of the way of its successor, and drop unfinished work."""
    final, old = directory.artifact(stage), directory.old(stage)
    shutil.rmtree(directory.partial(stage), ignore_errors=True)
    if directory.finished(stage):
        shutil.rmtree(old, ignore_errors=True)
        os.rename(final, old)
    kept = accepted(directory.path)
    if any(change.stage == stage for change in kept):
        store_accepted(directory.path, [change for change in kept if change.stage != stage])


def _stop_on_drift(
    recipe: Recipe, directory: RunDirectory, again: Sequence[str], accept: bool, progress: Progress
) -> None:
    """Compare everything in the directory with the recipe before anything runs."""
    found: list[Change] = []
    for stage in recipe.stages:
        made_from = None if stage.name in again else _made_from(directory, stage.name)
        if made_from is not None:
            digests = {name: _digest(directory, source, again) for name, source in stage.inputs.items()}
            found += changes(stage, made_from, digests)
    chosen = read_choices(directory.path / MACHINE)
    pinned = recipe.machine.model_dump(exclude_none=True)
    for name, value in pinned.items():
        if chosen.get(name, value) != value:
            found.append(Change("machine", f"machine.{name}", chosen[name], value))
    _judge(recipe, directory, found, accept, progress)
    if any(change.stage == "machine" for change in found):
        write_json(directory.path / MACHINE, chosen | pinned)


def _stop_on_stage_drift(
    recipe: Recipe, stage: Stage, inputs: dict[str, Artifact], directory: RunDirectory, accept: bool, progress: Progress
) -> None:
    """Compare one stage again now that its inputs are there."""
    made_from = _made_from(directory, stage.name)
    if made_from is not None:
        digests = {name: artifact.digest for name, artifact in inputs.items()}
        _judge(recipe, directory, changes(stage, made_from, digests), accept, progress)


def _judge(recipe: Recipe, directory: RunDirectory, found: list[Change], accept: bool, progress: Progress) -> None:
    before = accepted(directory.path)
    found = [change for change in found if change not in before]
    if not found:
        return
    said = "; ".join(str(change) for change in found)
    if accept:
        store_accepted(directory.path, before + found)
        progress.say(f"drift accepted: {said}")
        return
    roots = list(dict.fromkeys(change.stage for change in found))
    if "machine" in roots:
        raise UserError(
            f"{directory.path}: drift: {said}; this run began with the old value: put it back, "
            "choose another directory, or go on with --accept-drift"
        )
    roots = [name for name in roots if not any(name in recipe.downstream([other])[1:] for other in roots)]
    made = [name for name in recipe.downstream(roots) if _made_from(directory, name) is not None]
    redo = " ".join(f"--redo {name}" for name in roots)
    raise UserError(
        f"{directory.path}: drift: {said}; stages to redo: {', '.join(made)} ({redo}); "
        "or go on with what is there: --accept-drift"
    )


def _made_from(directory: RunDirectory, stage: str) -> dict[str, Any] | None:
    """What the finished or unfinished output of a stage was made from; None if there is none."""
    if directory.finished(stage):
        return open_artifact(directory.artifact(stage), verify=False).manifest
    partial = directory.partial(stage)
    for record in (partial / MANIFEST, partial / ATTEMPT):
        if record.exists() and (record.name == MANIFEST or _begun(partial)):
            return json.loads(record.read_text(encoding="utf-8"))
    return None


def _begun(partial: Path) -> bool:
    """Whether an attempt left anything to go on from besides the record of what it was made from."""
    return (partial / ATTEMPT).exists() and sum(path.is_file() for path in partial.rglob("*")) > 1


def _digest(directory: RunDirectory, stage: str, again: Sequence[str]) -> str | None:
    if stage in again or not directory.finished(stage):
        return None
    return open_artifact(directory.artifact(stage), verify=False).digest

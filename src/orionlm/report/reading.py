"""What a run directory holds, verified: its stages, and each ladder with the forecasts made from it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from orionlm.artifact import Artifact, open_artifact
from orionlm.errors import UserError
from orionlm.ledger import Entry, Ledger
from orionlm.recipe.context import LEDGER, MACHINE, read_choices
from orionlm.recipe.rundir import RECIPE, RunDirectory
from orionlm.settings import read_toml


@dataclass(frozen=True)
class Stage:
    """A stage of the recipe; `table` is what the recipe says of it, `state` is done, unfinished or to do."""

    name: str
    kind: str
    state: str
    table: Mapping[str, Any]
    artifact: Artifact | None

    def json(self, file: str) -> Any:
        """A file of its artifact; None where the stage is not done or wrote no such file."""
        if self.artifact is None or file not in self.artifact.manifest["files"]:
            return None
        return self.artifact.json(file)

    @property
    def inputs(self) -> Mapping[str, str]:
        """Input name → the stage that makes it."""
        return self.table.get("inputs", {})


@dataclass(frozen=True)
class Trial:
    """One forecast, the run it foretold, and their comparison; stages that the recipe lacks are None."""

    forecast: Stage
    run: Stage | None
    outcome: Stage | None

    @cached_property
    def said(self) -> dict[str, Any]:
        """forecast.json; empty before it was made."""
        return self.forecast.json("forecast.json") or {}

    @cached_property
    def found(self) -> dict[str, Any]:
        """outcome.json; empty before it was made."""
        return (self.outcome.json("outcome.json") if self.outcome else None) or {}


@dataclass(frozen=True)
class Study:
    """A ladder, and every forecast made from it."""

    ladder: Stage
    trials: tuple[Trial, ...]


@dataclass(frozen=True)
class Run:
    """One run directory as read."""

    path: Path
    recipe: Mapping[str, Any]
    stages: tuple[Stage, ...]
    entries: tuple[Entry, ...]
    drift: tuple[str, ...]
    choices: Mapping[str, Any]

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def of_kind(self, kind: str) -> list[Stage]:
        return [stage for stage in self.stages if stage.kind == kind]

    @cached_property
    def studies(self) -> tuple[Study, ...]:
        """Ladders in the recipe's order, each with its forecasts."""
        return tuple(
            Study(
                ladder, tuple(self._trial(f) for f in self.of_kind("forecast") if f.inputs.get("ladder") == ladder.name)
            )
            for ladder in self.of_kind("ladder")
        )

    @property
    def trials(self) -> list[Trial]:
        return [trial for study in self.studies for trial in study.trials]

    def _trial(self, forecast: Stage) -> Trial:
        def reader(kind: str) -> Stage | None:
            return next((s for s in self.of_kind(kind) if s.inputs.get("forecast") == forecast.name), None)

        outcome = reader("outcome")
        named = outcome.inputs.get("run") if outcome else None
        run = next((stage for stage in self.stages if stage.name == named), None) or reader("train")
        return Trial(forecast, run, outcome)


def read_run(run_dir: Path) -> Run:
    """Read a run directory; raises UserError if it is none, and names an artifact that is corrupt."""
    if not (run_dir / RECIPE).is_file() or not (run_dir / "artifacts").is_dir():
        raise UserError(f"{run_dir}: not a run directory (no {RECIPE} and artifacts); give one that `orion run` made")
    recipe = read_toml(run_dir / RECIPE).values
    directory = RunDirectory(run_dir)
    stages = tuple(_stage(directory, name, table) for name, table in recipe.get("stage", {}).items())
    return Run(
        run_dir,
        recipe,
        stages,
        tuple(Ledger(run_dir / LEDGER).entries()),
        tuple(_drift(run_dir / "drift.jsonl")),
        read_choices(run_dir / MACHINE),
    )


def _stage(directory: RunDirectory, name: str, table: Mapping[str, Any]) -> Stage:
    if directory.finished(name):
        artifact = open_artifact(directory.artifact(name))
        return Stage(name, artifact.kind, "done", table, artifact)
    state = "unfinished" if directory.partial(name).is_dir() else "to do"
    return Stage(name, str(table.get("kind", "")), state, table, None)


def _drift(path: Path) -> list[str]:
    """The changes a run went on in spite of, a line each."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    try:
        changes = [json.loads(line) for line in lines]
        return [f"{c['what']}: {json.dumps(c['old'])} → {json.dumps(c['new'])}" for c in changes]
    except (ValueError, TypeError, KeyError):
        raise UserError(f"{path}: not a record of accepted drift; restore the file, or begin a new run") from None

"""A recipe: TOML text made into frozen, validated stages in the order they must run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.recipe.kinds import KINDS
from orionlm.recipe.rundir import RECIPE
from orionlm.settings import Document, nearest, parse_toml, read_toml, validate


class Price(BaseModel):
    """What an hour of this machine costs, and who says so."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    dollars_per_hour: float = Field(ge=0)
    source: str = Field(min_length=1)


class Machine(BaseModel):
    """Choices otherwise measured on the machine at the first attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    threads: int | None = Field(None, ge=1)
    precision: Literal["fp32", "bf16"] | None = None
    runner: Literal["embedded", "ray"] | None = None


class Head(BaseModel):
    """Everything in a recipe but its stages."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str
    seed: int = Field(0, ge=0, lt=2**32)
    price: Price | None = None
    machine: Machine = Machine()
    stage: dict[str, dict[str, Any]] = Field(min_length=1)


@dataclass(frozen=True)
class Stage:
    """One stage of a recipe: its kind's module, validated settings, and input name → the stage that makes it."""

    name: str
    kind: str
    module: ModuleType
    settings: BaseModel
    inputs: Mapping[str, str]
    seed: int


@dataclass(frozen=True)
class Recipe:
    """A validated recipe; `stages` stand in an order in which every input is made before it is needed."""

    name: str
    price: Price | None
    machine: Machine
    stages: tuple[Stage, ...]
    document: Document

    def stage(self, name: str) -> Stage:
        for stage in self.stages:
            if stage.name == name:
                return stage
        raise UserError(f"{self.document.name}: no stage {name!r}, {nearest(name, (s.name for s in self.stages))}")

    def needed_for(self, name: str) -> list[Stage]:
        """The named stage and everything it needs, in order."""
        needed = {self.stage(name).name}
        for stage in reversed(self.stages):
            if stage.name in needed:
                needed |= set(stage.inputs.values())
        return [stage for stage in self.stages if stage.name in needed]

    def downstream(self, names: Iterable[str]) -> list[str]:
        """The named stages and everything made from them, in order."""
        reached = {self.stage(name).name for name in names}
        for stage in self.stages:
            if reached & set(stage.inputs.values()):
                reached.add(stage.name)
        return [stage.name for stage in self.stages if stage.name in reached]


def published_recipes() -> list[str]:
    """The names of the recipes that come with Orion."""
    files = resources.files("orionlm").joinpath("recipes")
    return sorted(f.name.removesuffix(".toml") for f in files.iterdir() if f.name.endswith(".toml"))


def find_recipe(reference: str) -> Document:
    """A recipe by path, by run directory (the recipe it was last given), or by the name of a published one."""
    path = Path(reference)
    if (path / RECIPE).is_file():
        return read_toml(path / RECIPE)
    if path.is_file():
        return read_toml(path)
    published = published_recipes()
    if reference in published:
        text = resources.files("orionlm").joinpath("recipes", f"{reference}.toml").read_text(encoding="utf-8")
        return parse_toml(text, f"{reference}.toml")
    kind = "holds no recipe.toml" if path.is_dir() else "no such file"
    raise UserError(f"{reference!r}: {kind}, and no published recipe of that name: {nearest(reference, published)}")


def parse_recipe(document: Document) -> Recipe:
    """Validate a recipe whole: its keys, kinds, inputs and order first, then the settings of every stage."""
    head = validate(Head, document.values, document)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", head.name):
        raise document.error(("name",), f"{head.name!r}: use letters, digits, dots, dashes and underscores")
    for name, table in head.stage.items():
        _check_stage(document, name, table)
    order = _order(document, head.stage)
    for name in order:
        _check_inputs(document, head.stage, name)
    stages = tuple(_load(document, head, name) for name in order)
    return Recipe(head.name, head.price, head.machine, stages, document)


def _check_stage(document: Document, name: str, table: Mapping[str, Any]) -> None:
    at = ("stage", name)
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise document.error(at, "use letters, digits, dashes and underscores in a stage's name")
    if "kind" not in table:
        raise document.error(at, f"missing kind: one of {', '.join(KINDS)}")
    if not isinstance(table["kind"], str) or table["kind"] not in KINDS:
        raise document.error((*at, "kind"), f"unknown kind {table['kind']!r}, {nearest(str(table['kind']), KINDS)}")
    inputs = table.get("inputs", {})
    if not isinstance(inputs, Mapping) or not all(isinstance(source, str) for source in inputs.values()):
        raise document.error((*at, "inputs"), "expected a table of input = stage, like { corpus = 'corpus' }")
    seed = table.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < 2**32:
        raise document.error((*at, "seed"), f"{seed!r}: expected a whole number from 0 to 2^32 - 1")


def _order(document: Document, stages: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Depth first through the inputs, in the order written."""
    order: list[str] = []

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if name in trail:
            cycle = " → ".join((*trail[trail.index(name) :], name))
            raise document.error(("stage", name, "inputs"), f"stages need each other in a cycle: {cycle}")
        if name in order:
            return
        for input_name, source in stages[name].get("inputs", {}).items():
            if source not in stages:
                at = ("stage", name, "inputs", input_name)
                raise document.error(at, f"no stage {source!r}, {nearest(source, set(stages) - {name})}")
            visit(source, (*trail, name))
        order.append(name)

    for name in stages:
        visit(name, ())
    return order


def _check_inputs(document: Document, stages: Mapping[str, Mapping[str, Any]], name: str) -> None:
    kind = KINDS[stages[name]["kind"]]
    given = stages[name].get("inputs", {})
    at = ("stage", name, "inputs")
    allowed = {**kind.inputs, **kind.optional}
    for input_name, source in given.items():
        if input_name not in allowed:
            raise document.error((*at, input_name), f"unknown input, {nearest(input_name, set(allowed) - set(given))}")
        found, wanted = stages[source]["kind"], allowed[input_name]
        if found not in wanted:
            takes = " or ".join(wanted)
            raise document.error((*at, input_name), f"stage {source} makes a {found}, this input takes a {takes}")
    for input_name, wanted in kind.inputs.items():
        if input_name not in given:
            makers = [other for other in stages if stages[other]["kind"] in wanted]
            mend = f'add {input_name} = "{makers[0]}"' if makers else f"add a stage of kind {wanted[0]}"
            raise document.error(at, f"missing input {input_name}: {mend}")


def _load(document: Document, head: Head, name: str) -> Stage:
    table = dict(head.stage[name])
    kind = table.pop("kind")
    inputs = table.pop("inputs", {})
    seed = table.pop("seed", head.seed)
    module = KINDS[kind].load()
    settings = validate(module.Settings, table, document, ("stage", name))
    return Stage(name, kind, module, settings, inputs, seed)

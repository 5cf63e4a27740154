"""Who takes part in a probe: a teacher with a method, what they bring to a round, their settings for a recipe."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from orionlm.artifact import write_json
from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount
from orionlm.inference.client.store import Store
from orionlm.settings import to_toml
from orionlm.synth import interrupted
from orionlm.synth.desk import Seed
from orionlm.synth.generate import STORE
from orionlm.synth.methods import METHODS, choices, chosen
from orionlm.synth.rows import write_rows
from orionlm.synth.students import REAL
from orionlm.synth.teachers import TeacherSettings, check
from orionlm.synth.writing import generate

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class _Candidate(BaseModel):
    """One method, `METHOD = {}` with its defaults, and who writes by it: a `teacher` as in `generate`, or the input
    `run`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: str = Field(pattern=r"^[A-Za-z0-9][\w.-]*$", max_length=60)
    teacher: TeacherSettings | None = None

    @model_validator(mode="after")
    def _one_method(self) -> _Candidate:
        if self.name == REAL:
            raise ValueError(f"name = {REAL!r} is what genuine text is called here; take another")
        if len(self.methods()) != 1:
            given = ", ".join(self.methods()) or "none"
            raise ValueError(f"candidate {self.name}: give one method, not {given}, out of {', '.join(METHODS)}")
        return self

    def methods(self) -> dict[str, Any]:
        return chosen(self)


Candidate = create_model(  # type: ignore[call-overload]
    "Candidate",
    __base__=_Candidate,
    __doc__=_Candidate.__doc__,
    **choices(),
)


def teachers_of(candidates: Sequence[Any], run: Path | None) -> dict[str, TeacherSettings]:
    """Each candidate's, before anything is asked. UserError where one has none, or may not be used."""
    found = {}
    for one in candidates:
        teacher = one.teacher or (TeacherSettings(checkpoint=run, name="run") if run else None)
        if teacher is None:
            raise UserError(f"candidates: {one.name} has no teacher; give it one, or the stage the input run")
        check([teacher])
        found[one.name] = teacher
    return found


def written(
    candidate: Any,
    teacher: TeacherSettings,
    seeds: Sequence[Seed],
    wanted: Mapping[str, int],
    folder: Path,
    context: Context,
) -> dict[str, Any]:
    """What a candidate brings, made once: its kept rows lie in `folder`. Or `out` says why it brings none, and `bought`
    what it took all the same: the next attempt asks again."""
    if (folder / "generation.json").exists():
        return json.loads((folder / "generation.json").read_text(encoding="utf-8"))
    context.progress.say(f"{context.stage}: {candidate.name} writes")
    store = context.run_dir / STORE / context.stage / candidate.name
    try:
        found = interrupted.run(
            lambda: generate(
                seeds, candidate.methods(), [teacher], store, seed=context.seed, progress=context.progress,
                record=context.record, rows=wanted.get("rows"), tokens=wanted.get("tokens"),
            )
        )  # fmt: skip
    except UserError as error:
        return {"out": str(error), "bought": _bought(store)}
    page = found.report()
    if not found.kept:
        [(why, count)] = Counter(row.error for row in found.rows).most_common(1) or [("it wrote none", 0)]
        return {"out": f"none of its {len(found.rows):,} rows can be kept ({count:,}: {why})", "bought": _bought(store)}
    write_rows(folder, found.kept)
    write_json(folder / "generation.json", page)
    return page


def _bought(store: Path) -> dict[str, Any]:
    """All that was ever paid for, as the stores of answers say."""
    total = Amount()
    for folder in sorted(store.glob("*/*/")):
        with Store(folder) as held:
            total += held.spent()
    dollars = total.nanodollars / 1e9
    return {"flops": float(total.flops) or None, "dollars": dollars or None, "tokens": total.tokens}


def pasteable(candidate: Any, wanted: Mapping[str, int], documents: int | None = None) -> str:
    """As a stage `generate` of a recipe, with the defaults left out."""
    table: dict[str, Any] = {"kind": "generate", "inputs": {"corpus": "corpus"}, **wanted}
    if documents is not None:
        table["documents"] = documents
    given = candidate.model_dump(mode="json", exclude_unset=True, exclude={"name"})
    if teacher := given.pop("teacher", None):
        table["teachers"] = [teacher]
    else:
        table["inputs"]["run"] = "run"
    lines = [f"{key} = {to_toml(value)}" for key, value in (table | given).items()]
    return "\n".join([f"[stage.{candidate.name.replace('.', '-')}]", *lines, ""])

"""Whether what lies in a run directory was made from the recipe at hand, and what changed if not."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orionlm.artifact import Artifact, json_digest, write_text
from orionlm.errors import UserError
from orionlm.recipe.recipe import Stage

DRIFT = "drift.jsonl"


@dataclass(frozen=True)
class Change:
    """One thing a stage was made from that is different now."""

    stage: str
    what: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.what}: {_shown(self.old)} → {_shown(self.new)}"


def origin(stage: Stage, inputs: Mapping[str, Artifact]) -> dict[str, Any]:
    """What a stage's output follows from, with a fingerprint of the whole."""
    made_from = {
        "kind": stage.kind,
        "settings": stage.settings.model_dump(mode="json"),
        "seed": stage.seed,
        "inputs": {name: artifact.digest for name, artifact in inputs.items()},
    }
    return made_from | {"fingerprint": json_digest(made_from)}


def changes(stage: Stage, made_from: Mapping[str, Any], inputs: Mapping[str, str | None]) -> list[Change]:
    """How `stage` and its input digests (None: not made yet) differ from what an output was `made_from`.

    A setting that is new in this version and stands at its default is no change.
    """
    found: list[tuple[str, Any, Any]] = []
    if made_from["kind"] != stage.kind:
        found.append(("kind", made_from["kind"], stage.kind))
    else:
        new = stage.settings.model_dump(mode="json")
        found += _differences(_with_defaults(type(stage.settings), made_from["settings"]), new)
    if made_from["seed"] != stage.seed:
        found.append(("seed", made_from["seed"], stage.seed))
    before = made_from["inputs"]
    for name in sorted(set(before) | set(inputs)):
        if name in before and name in inputs and inputs[name] in (before[name], None):
            continue
        found.append((f"inputs.{name}", str(before.get(name))[:12], str(inputs.get(name))[:12]))
    return [Change(stage.name, f"stage.{stage.name}.{what}", old, new) for what, old, new in found]


def accepted(run_dir: Path) -> list[Change]:
    """The changes this run went on in spite of."""
    try:
        lines = (run_dir / DRIFT).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    try:
        return [Change(**json.loads(line)) for line in lines]
    except (ValueError, TypeError):
        raise UserError(f"{run_dir / DRIFT}: damaged; delete it, and accepted drift is asked about again") from None


def store_accepted(run_dir: Path, accepted_changes: list[Change]) -> None:
    """Keep what was accepted, for later attempts and for the report."""
    write_text(run_dir / DRIFT, "".join(json.dumps(asdict(change)) + "\n" for change in accepted_changes))


def _with_defaults(model: type[BaseModel], stored: dict[str, Any]) -> dict[str, Any]:
    try:
        return model.model_validate(stored).model_dump(mode="json")
    except ValidationError:
        return stored


def _differences(old: Any, new: Any, at: str = "") -> list[tuple[str, Any, Any]]:
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(set(old) | set(new)):
            found += _differences(old.get(key), new.get(key), f"{at}.{key}" if at else key)
        return found
    return [] if old == new else [(at, old, new)]


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"

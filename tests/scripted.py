"""A small resumable stage, registered as three kinds, and `python -m scripted`: the command line that knows them."""

from __future__ import annotations

import hashlib
import json
import os
import time
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.errors import UserError
from orionlm.recipe.context import Context
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.recipe.kinds import KINDS, Kind

SCRIPTED = {
    "source": Kind("scripted"),
    "middle": Kind("scripted", {"source": ("source",)}),
    "end": Kind("scripted", {"middle": ("middle",)}, optional={"source": ("source",)}),
}
RECIPE = """\
name = "small"
seed = 7

[stage.a]
kind = "source"
steps = 5

[stage.b]
kind = "middle"
inputs = { source = "a" }
steps = 5

[stage.c]
kind = "end"
inputs = { middle = "b", source = "a" }
steps = 5
"""


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    steps: int = Field(3, ge=1)
    rate: float = 0.5
    fail: str = ""


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Hash a chain of `steps` links, one durable link at a time."""
    state_path = out / "work" / "state.json"
    if state_path.exists():
        state = json.loads(state_path.read_text())
    else:
        told = [settings.rate, context.seed, *sorted(artifact.digest for artifact in inputs.values())]
        state = {"done": 0, "link": json.dumps(told)}
    pause = float(os.environ.get("SCRIPTED_PAUSE", 0))
    with context.progress.task(context.stage, total=settings.steps) as task:
        while state["done"] < settings.steps:
            time.sleep(pause)
            state = {"done": state["done"] + 1, "link": hashlib.sha256(state["link"].encode()).hexdigest()}
            write_json(state_path, state)
            context.record("train", flops=1e9, tokens=10, seconds=pause)
            task.update(state["done"])
            if settings.fail:
                raise UserError(settings.fail)
    (out / "inner").mkdir(exist_ok=True)
    (out / "inner" / "noise.bin").write_bytes(bytes.fromhex(state["link"]) * 64)
    write_json(out / "result.json", state)


def derive(settings: Settings, known: dict[str, dict], context: Context) -> Estimate:
    before = sum(provided["links"] for provided in known.values())
    links = Derived("links", before + settings.steps, "links", "links of the inputs + steps")
    return Estimate([links], flops=1e9 * settings.steps, seconds=36.0, provides={"links": links.value})


if __name__ == "__main__":
    from orionlm.cli import main

    KINDS.update(SCRIPTED)
    main()

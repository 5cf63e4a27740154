"""What was a lever worth in this run? Stage `gain`: two ladders, one with the lever, priced against each other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.errors import UserError
from orionlm.gain.runs import RunTable, join, read_runs, write_runs
from orionlm.gain.solve import span

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`own_flops`: what the lever itself cost, once, beside its training. `stock`: unique tokens at hand, by default
    the most that any run has read."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    own_flops: float = Field(default=0.0, ge=0)
    stock: float | None = Field(default=None, gt=0)
    level: float = Field(default=0.9, gt=0, lt=1)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `gain.json`, as `orion gain --json` prints it, and the joined run table `runs.csv`."""
    from orionlm.gain.costs import LeverCost
    from orionlm.gain.decide import recommend
    from orionlm.gain.gain import price_levers
    from orionlm.plan.quantity import FLOPS, Quantity

    tables = {name: read_runs(inputs[name].file("runs.csv")) for name in ("baseline", "lever")}
    if used := _levers(tables["baseline"]):
        raise UserError(f"inputs.baseline: its ladder has lever = {used[0]!r}; give one of the plain recipe")
    if not (used := _levers(tables["lever"])):
        raise UserError("inputs.lever: its ladder does not say what was changed; give that stage lever = 'NAME'")
    table = join(list(tables.values()))
    cost = {used[0]: LeverCost(once=Quantity.exact(settings.own_flops, FLOPS))} if settings.own_flops else {}
    gains = price_levers(table, costs=cost, stock=settings.stock, level=settings.level, seed=context.seed)
    advice = recommend(gains, context.seed)
    write_runs(out / "runs.csv", table)
    write_json(out / "gain.json", {"gains": [one.to_json() for one in gains], "recommendation": advice.to_json()})
    for one in gains:
        context.progress.say(f"{context.stage}: {says(one.to_json())}")


def says(gain: dict[str, Any]) -> str:
    """One lever's worth in a line."""
    return f"{gain['lever']}: {gain['verdict']}, {span(gain['net'])} of the plain recipe's compute"


def _levers(table: RunTable) -> list[str]:
    return sorted(set(table.columns.get("lever", [])) - {""})

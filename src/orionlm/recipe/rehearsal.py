"""A dry run: what every stage derives from its settings, and what it will cost, before anything is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.recipe.estimate import Estimate
from orionlm.recipe.recipe import Recipe, Stage
from orionlm.recipe.run import check, context_for
from orionlm.recipe.rundir import RunDirectory


@dataclass(frozen=True)
class Rehearsed:
    """One stage: whether it is done already, and what it says of itself (None if its kind says nothing)."""

    stage: Stage
    done: bool
    estimate: Estimate | None


def rehearse(
    recipe: Recipe,
    run_dir: Path,
    *,
    until: str | None = None,
    redo: Sequence[str] = (),
    progress: Progress | None = None,
) -> list[Rehearsed]:
    """Ask every stage for its estimate, in order; nothing is written into the run."""
    progress = progress or Progress()
    directory, again = RunDirectory(run_dir), recipe.downstream(redo)
    provided: dict[str, dict[str, Any]] = {}
    rehearsed = []
    stages = recipe.needed_for(until) if until else list(recipe.stages)
    check([stage for stage in stages if stage.name in again or not directory.finished(stage.name)])
    for stage in stages:
        derive = getattr(stage.module, "derive", None)
        known = {name: provided[source] for name, source in stage.inputs.items()}
        context = context_for(recipe, stage, run_dir, progress, rehearsal=True)
        try:
            estimate = derive(stage.settings, known, context) if derive else None
        except UserError as error:
            raise UserError(f"stage {stage.name}: {error}") from error
        done = directory.finished(stage.name) and stage.name not in again
        provided[stage.name] = estimate.provides if estimate else {}
        rehearsed.append(Rehearsed(stage, done, estimate))
    return rehearsed


def cost(recipe: Recipe, rehearsed: list[Rehearsed]) -> dict[str, Any]:
    """What is still to be spent: FLOPs, seconds and dollars, and the stages whose time nobody can say beforehand.

    `seconds` and `dollars` are sums over the stages that know theirs; None if none does (or no price is given).
    """
    ahead = [item for item in rehearsed if not item.done]
    known = [item.estimate for item in ahead if item.estimate is not None and item.estimate.seconds is not None]
    seconds = sum(estimate.seconds or 0.0 for estimate in known) if known else None
    price = recipe.price
    return {
        "flops": sum(item.estimate.flops for item in ahead if item.estimate is not None),
        "seconds": seconds,
        "dollars": price.dollars_per_hour * seconds / 3600 if price and seconds is not None else None,
        "dollars_source": price.source if price else "",
        "unknown_time": [i.stage.name for i in ahead if i.estimate is None or i.estimate.seconds is None],
    }


def as_json(recipe: Recipe, rehearsed: list[Rehearsed]) -> dict[str, Any]:
    """The whole dry run as JSON values."""
    return {
        "recipe": recipe.name,
        "stages": [
            {
                "stage": item.stage.name,
                "kind": item.stage.kind,
                "done": item.done,
                "numbers": [asdict(number) for number in item.estimate.numbers] if item.estimate else [],
                "flops": item.estimate.flops if item.estimate else None,
                "seconds": item.estimate.seconds if item.estimate else None,
            }
            for item in rehearsed
        ],
        "cost": cost(recipe, rehearsed),
    }

"""The stage `forecast`: what a larger run will reach, written down before it starts, or that nobody can tell."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.shape import Shape

if TYPE_CHECKING:
    from orionlm.plan.posterior import Fits
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`flops_ratio`: the run's FLOPs over the ladder's largest point. `width` replaces the law's own choice of size."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    flops_ratio: float = Field(default=4.0, gt=1)
    width: int | None = Field(default=None, ge=16)
    level: float = Field(default=0.9, gt=0, lt=1)
    extrapolate: bool = False


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Fit the laws to the ladder, choose the run's size, forecast it."""
    from orionlm.gain.runs import read_runs
    from orionlm.ladder.regime import judge_regime
    from orionlm.plan.baselines import baselines
    from orionlm.plan.forecast import forecast, wall
    from orionlm.plan.posterior import fit_laws

    ladder = inputs["ladder"].json("ladder.json")
    tokens = inputs["tokens"].json("tokens.json")
    table = read_runs(inputs["ladder"].file("runs.csv"))
    regime = judge_regime(table)
    fits = fit_laws(table.points(), seed=context.seed)
    target = choose_target(settings, fits, ladder, tokens["vocabulary"], float(table["flops"].max()))
    why = None if regime["settled"] else regime["why"]
    fresh = ladder.get("fresh_tokens", tokens["train"]["tokens"])
    if target["tokens"] > fresh:
        what = "its mixture" if ladder.get("mixture") else "the text"
        why = f"the run reads {target['tokens']:,} tokens and {what} has {fresh:,}, and the laws know only fresh text"
    said = None
    if why is None:
        try:
            said = forecast(fits, target["params"], target["tokens"], settings.level, settings.extrapolate)
        except UserError as refused:
            why = str(refused)
    page: dict[str, Any] = {
        "verdict": "cannot tell" if why else "forecast",
        "why": why or regime["why"],
        "regime": regime,
        "target": target,
        "flops_ratio": target["flops"] / float(table["flops"].max()),
        "level": settings.level,
        "predicted": None,
        "low": None,
        "high": None,
        "half_width": None,
        "by_law": {},
        "warnings": [],
        "baselines": {},
        "wall": [],
    }
    if said is not None:
        page |= {
            "predicted": said.loss,
            "low": said.low,
            "high": said.high,
            "half_width": said.half_width,
            "by_law": said.by_law,
            "warnings": said.warnings,
            "baselines": baselines(table["flops"], table["bits_per_byte"], target["flops"]),
            "wall": wall(fits),
        }
    write_json(out / "fits.json", fits.to_json())
    write_json(out / "forecast.json", page)
    if said is not None:
        line = (
            f"{said.loss:.4f} [{said.low:.4f}, {said.high:.4f}] bits per byte at {page['flops_ratio']:.2g}x the FLOPs"
        )
    else:
        line = f"cannot tell: {why}"
    context.progress.say(f"{context.stage}: {line}")


def choose_target(
    settings: Settings, fits: Fits, ladder: dict[str, Any], vocabulary: int, largest_flops: float
) -> dict[str, Any]:
    """The run of `flops_ratio` times the largest point: at the laws' optimal size, but no smaller than the ladder's
    smallest width and no larger than 1.5 times its largest, since the laws know nothing of sizes far outside; and with
    the way beyond the ladder shared between size and text, neither going further than flops_ratio^(2/3) alone: runs
    much longer than any rung came out worse than forecast (docs/NOTES.md)."""
    from orionlm.plan.forecast import optimum

    training, known = ladder["training"], [rung["width"] for rung in ladder["rungs"]]
    flops = settings.flops_ratio * largest_flops
    context = training["context"]
    shapes = [
        Shape.from_width(width, vocabulary=vocabulary, context=context)
        for width in range(min(known), int(1.5 * max(known)) + 1, 16)
    ]
    batch_tokens = training["context"] * training["batch_size"]
    share = settings.flops_ratio ** (2 / 3)
    shared = [
        shape
        for shape in shapes
        if flops / shape.train_flops_per_token() <= share * fits.points.tokens.max()
        and shape.parameters <= share * fits.points.params.max()
    ]
    if settings.width is not None:
        shape = Shape.from_width(settings.width, vocabulary=vocabulary, context=context)
    else:
        best = optimum(fits, flops, extrapolate=True).params
        shape = min(shared or shapes, key=lambda s: abs(math.log(s.parameters / best)))
    steps = math.ceil(flops / (shape.train_flops_per_token() * batch_tokens))
    return {
        "width": shape.width,
        "layers": shape.layers,
        "params": shape.parameters,
        "tokens": steps * batch_tokens,
        "steps": steps,
        "flops": steps * batch_tokens * shape.train_flops_per_token(),
        "shape": asdict(shape),
        "training": training,
        "mixture": ladder.get("mixture"),
    }


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The run's FLOPs; its size is the law's to choose, and the ladder's largest stands in for it here."""
    flops = settings.flops_ratio * known["ladder"]["largest_flops"]
    numbers = [Derived("target FLOPs", flops, "FLOP", "flops_ratio · largest_flops")]
    return Estimate(numbers, 0.0, 2.0, {"flops": flops, "shape": known["ladder"]["largest"]})

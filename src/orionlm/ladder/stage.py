"""The stage `ladder`: trains the designed runs and writes one row a finished model to the run table."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionlm.artifact import Artifact, write_json
from orionlm.ladder.design import SHARE_ADVICE, LadderSettings, check_text, design
from orionlm.ladder.run import seconds_for, shape_numbers
from orionlm.recipe.context import cores
from orionlm.recipe.estimate import Derived, Estimate

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

Settings = LadderSettings


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Train every rung; a killed ladder goes on inside the rung it was at."""
    from orionlm.data.mixing.mixture import of_tokens
    from orionlm.data.shards import TokenSet
    from orionlm.gain.runs import RunTable, write_runs
    from orionlm.ladder.side_by_side import Wanted, train_side_by_side

    tokens = TokenSet.open(inputs["tokens"].path, "train")
    rungs = design(settings, tokens.vocabulary, context.seed)
    mixture = of_tokens(inputs["mixture"], inputs["tokens"]) if "mixture" in inputs else None
    check_text(rungs, len(tokens), mixture)
    wanted = [Wanted(rung, inputs["tokens"].path, mixture) for rung in rungs]
    trained = train_side_by_side(wanted, out, context, settings.validation_tokens, keep_models=settings.keep_models)
    validation = TokenSet.open(inputs["tokens"].path, "validation").digest[:12]
    rows: list[dict[str, Any]] = []
    for rung, (points, _) in zip(rungs, trained, strict=True):
        for share, point in zip(settings.branches, points, strict=True):
            known = {"run": rung.name, "lever": settings.lever, "scale": f"{share:g}", "seed": rung.seed}
            rows.append(known | {"vocabulary": tokens.vocabulary, "validation": validation} | _row(point))
    curves = {rung.name: curve for rung, (_, curve) in zip(rungs, trained, strict=True)}
    write_runs(out / "runs.csv", RunTable.from_rows(rows))
    write_json(out / "curves.json", curves)
    write_json(
        out / "ladder.json",
        {
            "training": settings.training.model_dump(),
            "lever": settings.lever,
            "mixture": inputs["mixture"].digest if "mixture" in inputs else None,
            "fresh_tokens": len(tokens) if mixture is None else mixture.fresh[0],
            "rungs": [
                {
                    "run": rung.name,
                    "width": rung.shape.width,
                    "layers": rung.shape.layers,
                    "params": rung.shape.parameters,
                    "flops_per_token": rung.shape.train_flops_per_token(),
                    "branches": [
                        {
                            "steps": steps,
                            "tokens": steps * rung.settings.batch_tokens,
                            "flops": steps * rung.step_flops,
                            **({"model": f"models/{rung.name}-{index}"} if settings.keep_models else {}),
                        }
                        for index, steps in enumerate(rung.branches)
                    ],
                }
                for rung in rungs
            ],
        },
    )


def _row(point: dict[str, Any]) -> dict[str, Any]:
    """What the run table keeps of a point; bits per byte of each domain where there are several."""
    kept = ("params", "tokens", "unique_tokens", "flops", "bits_per_byte", "loss", "induction", "standard_error")
    by_domain = {f"bits_per_byte/{name}": value for name, value in point["by_domain"].items()}
    return {name: point[name] for name in kept} | by_domain


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The ladder's sizes and cost, with their formulas."""
    vocabulary = known["tokens"]["vocabulary"]
    rungs = design(settings, vocabulary, context.seed)
    numbers: list[Derived] = []
    for rung in rungs:
        numbers += shape_numbers(rung.name, rung.shape)
        lengths = " ".join(f"{steps * rung.settings.batch_tokens:,}" for steps in rung.branches)
        numbers.append(
            Derived(f"{rung.name}: tokens at its points", lengths, "", "branches · largest_flops / FLOPs per token")
        )
        numbers.append(
            Derived(f"{rung.name}: FLOPs", rung.flops, "FLOP", "6N((1 - decay)·D_max + decay·ΣD_i), attention included")
        )
    flops = sum(rung.flops for rung in rungs)
    low, high = SHARE_ADVICE
    numbers.append(
        Derived("ladder FLOPs", flops, "FLOP", f"sum over rungs; {low:.0%} to {high:.0%} of all FLOPs is a sound share")
    )
    workers = min(int(context.choose("threads", cores)), len(rungs))
    seconds = seconds_for(context, [(rung.shape, rung.flops) for rung in rungs]) / workers
    provides = {"largest": rungs[-1].shape, "largest_flops": settings.largest_flops}
    return Estimate(numbers, flops, seconds, provides)

"""The stage `train`: one training run, measured. The ladder measures its points in the same way."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json, write_text
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.shape import Shape
from orionlm.train.trajectory import TrainingSettings, Trajectory

if TYPE_CHECKING:
    from orionlm.data.loader import Evaluation
    from orionlm.recipe.context import Context
    from orionlm.train.trainer import Trainer

# Every run of every recipe is measured on the same windows of a validation text.
VALIDATION_SEED = 0


class Settings(BaseModel):
    """Either a `forecast` input, which names the run to make, or `width` with `tokens` or `flops`. `lever` names what
    was changed against the plain recipe."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: int | None = Field(default=None, ge=16)
    layers: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    flops: float | None = Field(default=None, gt=0)
    validation_tokens: int = Field(default=131_072, ge=1)
    lever: str = ""
    training: TrainingSettings = TrainingSettings()


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Train, measure, and write the checkpoint, `result.json` and `metrics.jsonl`."""
    from orionlm.data.mixing.mixture import of_tokens
    from orionlm.data.shards import TokenSet
    from orionlm.train.execution import choose
    from orionlm.train.trajectory import train

    tokens_artifact = inputs["tokens"]
    tokens = TokenSet.open(tokens_artifact.path, "train")
    target = inputs["forecast"].json("forecast.json") if "forecast" in inputs else None
    trajectory = plan_run(settings, tokens.vocabulary, context.seed, target)
    mixture = of_tokens(inputs["mixture"], tokens_artifact) if "mixture" in inputs else None
    if target and target["target"].get("mixture") != (inputs["mixture"].digest if mixture else None):
        raise UserError("mixture: the forecast's ladder was not trained on this mixture; give both the same, or none")
    if mixture:
        trajectory.check(mixture)
    windows = validation(tokens_artifact.path, trajectory.settings.context, settings.validation_tokens)
    execution = choose(context, trajectory.shape, trajectory.flops)
    with context.progress.task(context.stage, total=trajectory.flops) as task:
        trainer, points, curve = train(
            trajectory, tokens, out / "work", context, execution, lambda t: measure(t, windows, context), task, mixture
        )
    save_beside_tokenizer(out, trainer, tokens_artifact.path, tokens.eot)
    write_text(out / "metrics.jsonl", "".join(json.dumps(row, sort_keys=True) + "\n" for row in curve))
    write_json(out / "result.json", {"steps": trajectory.branches[0], "lever": settings.lever} | points[0])


def save_beside_tokenizer(folder: Path, trainer: Trainer, tokens: Path, eot: int) -> None:
    """The model as a checkpoint that can be loaded, evaluated and served by itself."""
    from orionlm.model import checkpoint

    folder.mkdir(parents=True, exist_ok=True)
    checkpoint.save(folder, trainer.masters, trainer.shape, eot)
    write_text(folder / checkpoint.TOKENIZER, (tokens / "tokenizer.json").read_text(encoding="utf-8"))


def plan_run(settings: Settings, vocabulary: int, seed: int, forecast: dict[str, Any] | None) -> Trajectory:
    """The run that the settings, or the forecast, ask for."""
    training = settings.training
    asked = sorted(settings.model_fields_set - {"validation_tokens", "lever"})
    if forecast is not None:
        if asked:
            raise UserError(f"{asked[0]}: the forecast input already names the run; leave {', '.join(asked)} out")
        target = forecast["target"]
        training = TrainingSettings.model_validate(target["training"])
        return Trajectory("target", Shape(**target["shape"]), training, (target["steps"],), seed)
    if settings.width is None or (settings.tokens is None) == (settings.flops is None):
        raise UserError("width, tokens, flops: give width and one of tokens and flops, or a forecast input")
    shape = Shape.from_width(settings.width, vocabulary=vocabulary, context=training.context, layers=settings.layers)
    tokens = settings.tokens or (settings.flops or 0) / shape.train_flops_per_token()
    steps = max(1, math.ceil(tokens / training.batch_tokens))
    return Trajectory(f"d{settings.width}", shape, training, (steps,), seed)


def validation(tokens: Path, context_length: int, most: int) -> Evaluation:
    """The windows that every run is measured on."""
    from orionlm.data.loader import validation_windows
    from orionlm.data.shards import TokenSet

    return validation_windows(TokenSet.open(tokens, "validation"), context_length, most, VALIDATION_SEED)


def measure(trainer: Trainer, windows: Evaluation, context: Context) -> dict[str, Any]:
    """Held-out loss, induction score and size of a finished model; what the measurement cost goes to the ledger."""
    from orionlm.evals.held_out import held_out
    from orionlm.evals.induction import induction_score

    began = time.perf_counter()
    result = held_out(trainer.model, windows)
    score = induction_score(trainer.model, windows)
    shape, loader = trainer.shape, trainer.loader
    context.record(
        "eval",
        device=trainer.execution.device,
        flops=result.tokens * shape.forward_flops_per_token(),
        tokens=result.tokens,
        seconds=time.perf_counter() - began,
    )
    tokens = trainer.step * loader.batch_size * loader.context_length
    return {
        "params": shape.parameters,
        "tokens": tokens,
        "unique_tokens": loader.unique_tokens(trainer.step),
        "epochs": loader.epochs(trainer.step),
        "read": loader.read(trainer.step),
        "flops": tokens * shape.train_flops_per_token(),
        "bits_per_byte": result.bits_per_byte,
        "standard_error": result.standard_error,
        "by_domain": result.by_domain,
        "loss": result.nats_per_token,
        "induction": score,
        "validation_tokens": result.tokens,
        "validation_bytes": result.bytes,
    }


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The run's numbers, with their formulas, and what it will cost on this machine."""
    if "forecast" in known:
        target = known["forecast"]
        return Estimate([], target["flops"], seconds_for(context, [(target["shape"], target["flops"])]), {})
    trajectory = plan_run(settings, known["tokens"]["vocabulary"], context.seed, None)
    shape = trajectory.shape
    numbers = [
        *shape_numbers("run", shape),
        Derived("steps", trajectory.branches[0], "", "tokens / (context · batch_size), rounded up"),
        Derived("FLOPs", trajectory.flops, "FLOP", "steps · context · batch_size · FLOPs per token"),
    ]
    return Estimate(numbers, trajectory.flops, seconds_for(context, [(shape, trajectory.flops)]), {"shape": shape})


def shape_numbers(name: str, shape: Shape) -> list[Derived]:
    """What follows from a width."""
    return [
        Derived(f"{name}: layers", shape.layers, "", "max(4, width / 64 rounded up)"),
        Derived(f"{name}: heads", shape.heads, "", f"width / {shape.head_dim} rounded up"),
        Derived(f"{name}: mlp_width", shape.mlp_width, "", "8/3 · width, rounded to 16"),
        Derived(
            f"{name}: parameters N", shape.parameters, "", "layers · (attention + 3 · width · mlp_width) + head + norms"
        ),
        Derived(
            f"{name}: FLOPs per token",
            shape.train_flops_per_token(),
            "FLOP",
            "6 · matrices + 12 · layers · heads · head_dim · (context + 1) / 2",
        ),
    ]


def seconds_for(context: Context, runs: list[tuple[Shape, float]]) -> float:
    """Seconds that training `runs` of (shape, FLOPs) takes here: each shape's first steps are timed, uncompiled."""
    from orionlm.train.probe import train_rate

    return sum(flops / train_rate(context, shape) for shape, flops in runs)

"""From one dial, the FLOPs of its largest point, to a whole ladder: sizes, lengths, branches."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict, Field

from orionlm.data.mixing.mixture import Mixture
from orionlm.errors import UserError
from orionlm.shape import Shape
from orionlm.train.trajectory import TrainingSettings, Trajectory

# Widths of the rungs as shares of the widest, and where their decay branches end as shares of the longest. Branches off
# the first third of a run still carry its start, and widened forecasts more than they narrowed them (docs/NOTES.md).
WIDTHS = (0.5, 0.67, 0.83, 1.0)
BRANCHES = (0.35, 0.5, 0.7, 1.0)
TOKENS_PER_PARAMETER = 1.0
SHARE_ADVICE = (0.1, 0.5)


class LadderSettings(BaseModel):
    """`largest_flops` is the dial: training FLOPs of the largest point. `widths` replaces the derived sizes.
    `keep_models` keeps the finished model of every point, 4 bytes a parameter, for evaluations. `lever` names what was
    changed against the plain recipe, for `orion gain`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    largest_flops: float = Field(gt=0)
    widths: tuple[int, ...] | None = None
    branches: tuple[float, ...] = BRANCHES
    validation_tokens: int = Field(default=131_072, ge=1)
    keep_models: bool = False
    lever: str = ""
    training: TrainingSettings = TrainingSettings()


def design(settings: LadderSettings, vocabulary: int, seed: int) -> list[Trajectory]:
    """One trajectory a size, each spending `largest_flops` at its end, with a decay branch at every share of it."""
    shares = settings.branches
    if len(set(shares)) < 2 or list(shares) != sorted(set(shares)) or not shares[0] > 0 or shares[-1] != 1:
        raise UserError(f"branches = {list(shares)}: give at least two ascending shares, the last 1.0")
    sizes = sorted(widths(settings, vocabulary) if settings.widths is None else settings.widths)
    if settings.widths is None and len(sizes) < 2:
        raise UserError(
            f"largest_flops = {settings.largest_flops:g}: too little for two sizes; raise it or name widths"
        )
    if len(set(sizes)) < max(2, len(sizes)):
        raise UserError(f"widths = {sizes}: give at least two widths, none of them twice")
    rungs = []
    for width in sizes:
        shape = Shape.from_width(width, vocabulary=vocabulary, context=settings.training.context)
        step_flops = shape.train_flops_per_token() * settings.training.batch_tokens
        branches = tuple(round(share * settings.largest_flops / step_flops) for share in shares)
        if branches[0] < 2 * settings.training.warmup_steps:
            raise UserError(
                f"warmup_steps = {settings.training.warmup_steps}: the shortest branch at width {width} has "
                f"{branches[0]} steps; give at most half of them, or raise largest_flops"
            )
        if branches[0] < 2 or len(set(branches)) < len(branches):
            raise UserError(
                f"largest_flops = {settings.largest_flops:g}: at width {width} the branches end after "
                f"{', '.join(map(str, branches))} steps; raise it, or lower batch_size or widths"
            )
        rungs.append(Trajectory(f"d{width}", shape, settings.training, branches, seed))
    return rungs


def widths(settings: LadderSettings, vocabulary: int) -> list[int]:
    """Widths around the model that would read `TOKENS_PER_PARAMETER` tokens a parameter at the largest point."""
    wanted = math.sqrt(settings.largest_flops / 6 / TOKENS_PER_PARAMETER)
    candidates = range(32, 8193, 16)
    context = settings.training.context
    largest = min(
        candidates,
        key=lambda w: abs(math.log(Shape.from_width(w, vocabulary=vocabulary, context=context).parameters / wanted)),
    )
    return sorted({max(32, round(share * largest / 16) * 16) for share in WIDTHS})


def check_text(rungs: list[Trajectory], unique_tokens: int, mixture: Mixture | None = None) -> None:
    """A ladder measures fresh text: no point may pass its text, or a domain of it, more than once. Raises UserError."""
    most = max(rung.branches[-1] * rung.settings.batch_tokens for rung in rungs)
    if mixture is not None:
        for rung in rungs:
            rung.check(mixture)
        fresh, domain = mixture.fresh
        if most > fresh:
            raise UserError(
                f"largest_flops: the longest run reads {most:,} tokens and the mixture reads domain {domain!r} again "
                f"after {fresh:,}; add text, lower largest_flops or the weight of {domain!r}, or name larger widths"
            )
    elif most > unique_tokens:
        raise UserError(
            f"largest_flops: the longest run reads {most:,} tokens and the text has {unique_tokens:,}; "
            "add text, lower largest_flops, or name larger widths"
        )

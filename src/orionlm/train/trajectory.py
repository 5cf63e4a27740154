"""One trajectory of training and its finished models: a stable phase, and a decay branch for every length asked for.

A kill loses seconds: the state is saved as training goes, and what follows from it is the same to the last bit.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import write_json
from orionlm.data.loader import Loader
from orionlm.data.mixing.mixture import Mixture
from orionlm.data.shards import TokenSet
from orionlm.errors import UserError
from orionlm.shape import Shape
from orionlm.train.checkpoint import Interval, load_state, save_state
from orionlm.train.execution import Execution
from orionlm.train.optimizer import OptimizerSettings
from orionlm.train.schedule import Schedule
from orionlm.train.trainer import Trainer

if TYPE_CHECKING:
    from orionlm.progress import Task
    from orionlm.recipe.context import Context

STATE, TRUNK, POINTS = "state.safetensors", "trunk.safetensors", "points.json"
Measure = Callable[[Trainer], dict[str, Any]]


class TrainingSettings(BaseModel):
    """What every run of a ladder shares. Lengths are in tokens, `batch_size` in sequences, `decay` a share of a run."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    context: int = Field(default=128, ge=8)
    batch_size: int = Field(default=4, ge=1)
    warmup_steps: int = Field(default=100, ge=0)
    decay: float = Field(default=0.2, gt=0, lt=1)
    clip: float = Field(default=1.0, gt=0)
    initialization: Literal["copying", "plain"] = "copying"
    optimizer: OptimizerSettings = OptimizerSettings()

    @property
    def batch_tokens(self) -> int:
        return self.context * self.batch_size

    def schedule(self, steps: int) -> Schedule:
        return Schedule(min(self.warmup_steps, steps // 2), max(1, round(self.decay * steps)), steps)


@dataclass(frozen=True)
class Trajectory:
    """`branches` are the lengths of the finished models in steps, ascending; a plain run has one."""

    name: str
    shape: Shape
    settings: TrainingSettings
    branches: tuple[int, ...]
    seed: int

    def __post_init__(self) -> None:
        assert self.branches == tuple(sorted(set(self.branches))) and self.branches[0] > 0, self.branches

    @property
    def step_flops(self) -> float:
        return self.shape.train_flops_per_token() * self.settings.batch_tokens

    @property
    def steps(self) -> int:
        """Optimizer steps in all: the stable phase once, and every decay (Hägele et al. 2405.18392, §5)."""
        decays = [self.settings.schedule(steps).decay for steps in self.branches]
        return self.branches[-1] - decays[-1] + sum(decays)

    @property
    def flops(self) -> float:
        return self.steps * self.step_flops

    def check(self, mixture: Mixture) -> None:
        """UserError where the mixture was not made for runs like this."""
        longest = self.branches[-1] * self.settings.batch_tokens
        if longest >= mixture.tokens + self.settings.batch_tokens:
            raise UserError(
                f"mixture: it holds for runs of up to {mixture.tokens:,} tokens and {self.name} reads {longest:,}; "
                f"give the mixture tokens = {longest}, or make the run shorter"
            )
        # The stable phase belongs to every branch, so what is one branch's own has to lie in its decay.
        if mixture.anneal_share > self.settings.decay:
            raise UserError(
                f"anneal.share = {mixture.anneal_share:g}: the anneal lies within the decay of the learning rate; give "
                f"the mixture at most training.decay = {self.settings.decay:g}, or raise that"
            )


@dataclass
class _Spent:
    """What has been spent since the ledger was last told."""

    steps: int = 0
    began: float = field(default_factory=time.perf_counter)


def train(
    trajectory: Trajectory,
    tokens: TokenSet,
    work: Path,
    context: Context,
    execution: Execution,
    measure: Measure,
    task: Task,
    mixture: Mixture | None = None,
) -> tuple[Trainer, list[dict[str, Any]], list[dict[str, Any]]]:
    """Train every branch, from wherever `work` says an earlier attempt stopped.

    `measure` is called on each finished model and gives its row of numbers. Returns the trainer at the end of the last
    branch, a row a branch, and the losses along the way to the last (no times in them). Under a `mixture` every
    branch's decay has its own anneal.
    """
    work.mkdir(parents=True, exist_ok=True)
    return _Run(trajectory, tokens, work, context, execution, task, mixture).all(measure)


class _Run:
    def __init__(
        self,
        trajectory: Trajectory,
        tokens: TokenSet,
        work: Path,
        context: Context,
        execution: Execution,
        task: Task,
        mixture: Mixture | None,
    ) -> None:
        settings = trajectory.settings
        self.trajectory, self.work, self.context, self.execution = trajectory, work, context, execution
        self.task, self.interval, self.spent = task, Interval(), _Spent()
        self.mixture = mixture
        self.trunk = Loader(
            tokens,
            context_length=settings.context,
            batch_size=settings.batch_size,
            seed=trajectory.seed,
            mixture=mixture,
        )
        self.trainer = Trainer(
            trajectory.shape,
            self.trunk,
            settings.optimizer,
            execution,
            seed=trajectory.seed,
            clip=settings.clip,
            copying=settings.initialization == "copying",
        )
        self.log_every = max(1, trajectory.branches[-1] // 200)
        self.curve: list[dict[str, Any]] = []
        self.losses: list[float] = []
        self.points: list[dict[str, Any]] = []
        self.done_steps = 0

    def all(self, measure: Measure) -> tuple[Trainer, list[dict[str, Any]], list[dict[str, Any]]]:
        phase = self._resume()
        for index in range(len(self.points), len(self.trajectory.branches)):
            schedule = self.trajectory.settings.schedule(self.trajectory.branches[index])
            self.trainer.loader = self.trunk
            if phase != f"decay {index}":
                trunk = Schedule(schedule.warmup, 1, 10**12)
                self._advance(schedule.decay_start, trunk, f"trunk {index}")
                save_state(self.work / TRUNK, self.trainer.state(), self._marks(f"trunk {index}"))
            if self.mixture is not None:
                self.trainer.loader = self.trunk.annealing(self.mixture.anneal_start(schedule.steps))
            self._advance(schedule.steps, schedule, f"decay {index}")
            self.points.append(measure(self.trainer))
            self.spent = _Spent()
            write_json(self.work / POINTS, self.points)
            if index + 1 < len(self.trajectory.branches):
                self._restore(TRUNK)
        return self.trainer, self.points, self.curve

    def _resume(self) -> str:
        """Restore what an earlier attempt left; gives the phase that it was in."""
        if (self.work / POINTS).exists():
            self.points = json.loads((self.work / POINTS).read_text(encoding="utf-8"))
        marks: dict[str, str] = {}
        if (self.work / STATE).exists():
            marks = self._restore(STATE)
        phase, index = marks.get("phase", ""), len(self.points)
        last = index == len(self.trajectory.branches)
        if phase.split(" ")[-1:] != [str(index - last)]:
            # Killed after a branch was measured and before the next was saved: the stable phase goes on from its fork.
            if index:
                self._restore(TRUNK)
            phase = ""
        schedules = [self.trajectory.settings.schedule(steps) for steps in self.trajectory.branches[:index]]
        forked = schedules[-1].decay_start if schedules else 0
        self.done_steps = sum(s.decay for s in schedules) + (self.trainer.step if not last else forked)
        return phase

    def _restore(self, name: str) -> dict[str, str]:
        tensors, marks = load_state(self.work / name)
        self.trainer.restore(tensors)
        self.curve, self.losses = json.loads(marks["curve"]), json.loads(marks["losses"])
        return marks

    def _marks(self, phase: str) -> dict[str, str]:
        return {"phase": phase, "curve": json.dumps(self.curve), "losses": json.dumps(self.losses)}

    def _advance(self, stop: int, rate: Schedule, phase: str) -> None:
        for step, loss in self.trainer.advance(stop, rate):
            self.losses.append(loss)
            self.spent.steps += 1
            self.done_steps += 1
            self._show(loss)
            if step % self.log_every == 0 or step == stop:
                mean = sum(self.losses) / len(self.losses)
                self.curve.append({"step": step, "phase": phase, "loss": mean, "rate": rate(step - 1)})
                self.losses.clear()
            if self.interval.due() or step == stop:
                self._save(phase)

    def _save(self, phase: str) -> None:
        seconds = time.perf_counter() - self.spent.began
        flops = self.spent.steps * self.trajectory.step_flops
        peak = self.execution.peak
        if self.spent.steps:
            self.context.record(
                self.context.training,
                device=self.execution.device,
                flops=flops,
                tokens=self.spent.steps * self.trajectory.settings.batch_tokens,
                seconds=seconds,
                utilization=flops / seconds / peak if peak else None,
            )
        self.interval.saved(save_state(self.work / STATE, self.trainer.state(), self._marks(phase)))
        self.spent = _Spent()

    def _show(self, loss: float) -> None:
        seconds = max(time.perf_counter() - self.spent.began, 1e-9)
        speed = self.spent.steps * self.trajectory.settings.batch_tokens / seconds
        note = f"{self.trajectory.name} · loss {loss:.3f} · {speed / 1e3:.1f}k tok/s"
        if self.execution.peak:
            used = self.spent.steps * self.trajectory.step_flops / seconds / self.execution.peak
            full = used * self.trajectory.shape.train_flops_per_token(causal=False)
            full /= self.trajectory.shape.train_flops_per_token()
            note += f" · MFU {used:.0%} ({full:.0%} counting the full square)"
        self.task.update(self.done_steps * self.trajectory.step_flops, note)

"""Trains several runs side by side, one core each: on small models two cores do more apart than together."""

from __future__ import annotations

import os
import queue
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orionlm.ladder.run import measure, save_beside_tokenizer, validation
from orionlm.processes import pool
from orionlm.progress import Progress
from orionlm.train.trajectory import Trajectory

if TYPE_CHECKING:
    from orionlm.data.mixing.mixture import Mixture
    from orionlm.recipe.context import Context
    from orionlm.train.execution import Execution
    from orionlm.train.trainer import Trainer

POLL_SECONDS = 0.5
Trained = tuple[list[dict[str, Any]], list[dict[str, Any]]]


class Wanted(NamedTuple):
    """A run, the directory of its tokens, and how their domains are mixed. Runs of one call have names of their own."""

    trajectory: Trajectory
    tokens: Path
    mixture: Mixture | None = None


def train_side_by_side(
    wanted: Sequence[Wanted], out: Path, context: Context, validation_tokens: int, *, keep_models: bool = False
) -> list[Trained]:
    """(points, losses along the way) of each run, in order. What is killed goes on from `out`/work; finished models
    are kept in `out`/models as NAME-BRANCH."""
    from orionlm.recipe.context import cores
    from orionlm.train.execution import choose

    largest = max((one.trajectory for one in wanted), key=lambda run: run.shape.parameters)
    execution, workers = choose(context, largest.shape, max(one.trajectory.flops for one in wanted)), 1
    if execution.device == "cpu":
        available = int(context.choose("threads", cores))
        workers = min(available, len(wanted))
        each = max(1, available // workers)
        execution = replace(execution, threads=each, peak=execution.peak / execution.threads * each)
    # A worker has its share of the machine, and pays that share of its price.
    price = None if context.dollars_per_hour is None else context.dollars_per_hour / workers
    jobs = [
        Job(run, tokens, out / "work" / run.name, out / "models" if keep_models else None, validation_tokens,
            execution, context.stage, context.training, context.run_dir, price, context.price_source, mixture)
        for run, tokens, mixture in wanted
    ]  # fmt: skip
    return _train_all(jobs, context, workers)


@dataclass(frozen=True)
class Job:
    """One run and where it works: all that a worker needs, and that can be sent to one. Finished models are kept in
    `models`, one folder a branch in their order, unless it is None."""

    rung: Trajectory
    tokens: Path
    work: Path
    models: Path | None
    validation_tokens: int
    execution: Execution
    stage: str
    training: str
    run_dir: Path
    dollars_per_hour: float | None
    price_source: str
    mixture: Mixture | None


def _train_all(jobs: list[Job], context: Context, workers: int) -> list[Trained]:
    flops_of = {job.rung.name: job.rung.flops for job in jobs}
    said = get_context("spawn").Queue()
    done: dict[str, tuple[float, str]] = {}
    # The small ones take longest, for the same FLOPs: they begin.
    order = sorted(range(len(jobs)), key=lambda i: jobs[i].rung.shape.parameters)
    with (
        context.progress.task(context.stage, total=sum(flops_of.values())) as task,
        pool(workers, _listen, (said,)) as processes,
    ):
        running: dict[int, Future[Trained]] = {i: processes.submit(_train, jobs[i]) for i in order}
        waiting: set[Future[Trained]] = set(running.values())
        while waiting:
            finished, waiting = wait(waiting, POLL_SECONDS)
            for future in finished:
                future.result()
            while True:
                try:
                    name, flops, note = said.get_nowait()
                except queue.Empty:
                    break
                done[name] = (flops, note)
            notes = [note for name, (flops, note) in done.items() if flops < 0.999 * flops_of[name]]
            task.update(sum(flops for flops, _ in done.values()), " | ".join(notes))
        return [running[i].result() for i in range(len(jobs))]


class _Relay:
    """Stands where a progress task would, in a worker: what it is told goes to the parent, at most twice a second."""

    def __init__(self, name: str) -> None:
        self.name, self.last = name, 0.0

    def update(self, done: float, note: str = "") -> None:
        if time.monotonic() - self.last > POLL_SECONDS:
            self.last = time.monotonic()
            _said.put((self.name, done, note))


_said: Any = None


def _listen(said: Any) -> None:
    global _said
    _said = said
    # Compiling would otherwise start a worker of its own for each core, in each of us.
    os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")


def _train(job: Job) -> Trained:
    from orionlm.data.shards import TokenSet
    from orionlm.recipe.context import Context
    from orionlm.train.trajectory import train

    context = Context(
        job.stage, job.rung.seed, job.run_dir, Progress(quiet=True), job.dollars_per_hour, job.price_source,
        training=job.training,
    )  # fmt: skip
    tokens = TokenSet.open(job.tokens, "train")
    windows = validation(job.tokens, job.rung.settings.context, job.validation_tokens)

    def keep_and_measure(trainer: Trainer) -> dict[str, Any]:
        if job.models is not None:
            folder = job.models / f"{job.rung.name}-{job.rung.branches.index(trainer.step)}"
            save_beside_tokenizer(folder, trainer, job.tokens, tokens.eot)
        return measure(trainer, windows, context)

    relay: Any = _Relay(job.rung.name)
    _, points, curve = train(job.rung, tokens, job.work, context, job.execution, keep_and_measure, relay, job.mixture)
    _said.put((job.rung.name, job.rung.flops, ""))
    return points, curve

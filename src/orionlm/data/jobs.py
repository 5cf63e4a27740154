"""Which pieces of a stage's work are done already, and who does the others?"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orionlm.artifact import write_json
from orionlm.data.engine import each
from orionlm.recipe.context import cores

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

PROCESS_BYTES = 1 << 26


class Job(NamedTuple):
    """Makes `file`; `origin` is a digest of all that it follows from, `size` the bytes of text that go into it."""

    origin: str
    file: Path
    size: int
    arguments: tuple[Any, ...]


def do(what: str, function: Callable[..., Any], jobs: Mapping[str, Job], work: Path, context: Context) -> None:
    """Leaves each job's file and then its record in `work`; what has both, from the same origin, is done already.

    One process for each `PROCESS_BYTES` of text, as far as there are cores; or tasks of Ray, where the recipe says so.
    """
    due = {name: job for name, job in jobs.items() if not _finished(job, work / f"{name}.json")}
    size = sum(job.size for job in due.values())
    done = sum(job.size for job in jobs.values()) - size
    began = time.perf_counter()
    with context.progress.task(what, total=done + size) as task:
        arguments = {name: job.arguments for name, job in due.items()}
        workers, runner = min(cores(), size // PROCESS_BYTES), context.pinned.get("runner", "embedded")
        for name, record in each(function, arguments, workers=workers, runner=runner):
            job = due[name]
            about = {"origin": job.origin, "file_bytes": job.file.stat().st_size}
            write_json(work / f"{name}.json", about | record)
            now = time.perf_counter()
            context.record("data", seconds=now - began)
            began = now
            done += job.size
            task.update(done, note=f"{done / 1e6:,.0f} MB")


def records(jobs: Mapping[str, Job], work: Path) -> Iterator[dict[str, Any]]:
    """What each function returned, in the order of the jobs, one at a time."""
    for name in jobs:
        yield json.loads((work / f"{name}.json").read_text(encoding="utf-8"))


def _finished(job: Job, record: Path) -> bool:
    if not (record.exists() and job.file.exists()):
        return False
    about = json.loads(record.read_text(encoding="utf-8"))
    return about["origin"] == job.origin and about["file_bytes"] == job.file.stat().st_size

"""Where are shards worked on? In processes of this machine, or as tasks of a Ray cluster: one function, one result.

Every job is a pure function of its arguments that leaves files behind, so what runs it cannot change the result. On a
cluster the run directory must lie on storage that all its machines share.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

from orionlm.errors import UserError
from orionlm.processes import pool


def each(
    function: Callable[..., Any],
    jobs: Mapping[str, tuple[Any, ...]],
    *,
    workers: int,
    runner: str = "embedded",
    threads: bool = False,
) -> Iterator[tuple[str, Any]]:
    """`function(*arguments)` of every job, as they finish. One worker: in this process.

    `threads`: of this process, for functions whose loops run without Python's lock; they start at once.
    """
    if not jobs:
        return
    if runner == "ray":
        yield from _on_ray(function, jobs)
    elif workers <= 1 or len(jobs) == 1:
        for name, arguments in jobs.items():
            yield name, function(*arguments)
    else:
        with (ThreadPoolExecutor if threads else pool)(min(workers, len(jobs))) as executor:
            running = {executor.submit(function, *arguments): name for name, arguments in jobs.items()}
            for future in as_completed(running):
                yield running[future], future.result()


def _on_ray(function: Callable[..., Any], jobs: Mapping[str, tuple[Any, ...]]) -> Iterator[tuple[str, Any]]:
    with _cluster() as ray:
        remote = ray.remote(num_cpus=1, max_retries=2)(_there)
        running = {remote.remote(os.getcwd(), function, arguments): name for name, arguments in jobs.items()}
        while running:
            done, _ = ray.wait(list(running))
            for task in done:
                try:
                    result = ray.get(task)
                except ray.exceptions.RayTaskError as error:
                    if isinstance(error.cause, UserError):
                        raise error.cause from None
                    raise
                yield running.pop(task), result


def _there(folder: str, function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """In the folder that relative paths in settings start from."""
    os.chdir(folder)
    return function(*arguments)


@contextmanager
def _cluster() -> Iterator[Any]:
    """The cluster of RAY_ADDRESS, or one of this machine's cores that ends with the block."""
    try:
        import ray
    except ImportError:
        raise UserError("runner 'ray' needs the extra ray: pip install 'orion-lm[ray]'") from None
    ours = not ray.is_initialized()
    if ours:
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # the future default; the warning is noise
        ray.init(log_to_driver=False, include_dashboard=False, logging_level=logging.ERROR)
    try:
        yield ray
    finally:
        if ours:
            ray.shutdown()

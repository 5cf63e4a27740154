"""A pool of worker processes that cannot outlive the one that started them."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

from orionlm.errors import UserError


@contextmanager
def pool(
    workers: int, initializer: Callable[..., None] | None = None, arguments: tuple[Any, ...] = ()
) -> Iterator[ProcessPoolExecutor]:
    """Spawned, not forked: a fork would hold on to the run's lock. A worker ends when its parent does, even by -9, and
    when the block is left by an exception. Raises UserError if a worker was killed."""
    spawn = multiprocessing.get_context("spawn")
    processes = ProcessPoolExecutor(workers, mp_context=spawn, initializer=_begin, initargs=(initializer, arguments))
    try:
        with _deaf_to_interrupts():
            for _ in range(workers):  # workers start with the first jobs; these only start them
                processes.submit(os.getpid)
        yield processes
    except BaseException as error:
        # Leaving waits for every job given; what failed, or was told to stop, must not.
        for process in list((processes._processes or {}).values()):
            process.kill()
        if isinstance(error, BrokenProcessPool):
            raise UserError("a worker process was killed (out of memory?); run it again to go on") from None
        raise
    finally:
        processes.shutdown()


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Ctrl-C reaches the whole process group, and the parent alone decides: what starts here ignores it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin(initializer: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None

    def follow() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    if initializer:
        initializer(*arguments)

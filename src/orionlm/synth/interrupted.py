"""How does a signal end work that goes on side by side? By cancelling it: everything in it is closed, in order.

A handler that raises wherever the loop happens to be would end one task, or none, and leave coroutines unawaited.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run`; on SIGINT or SIGTERM the work is cancelled, then whoever handled it before is called."""
    main = threading.current_thread() is threading.main_thread()
    found = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM) if main}
    before = {number: handler for number, handler in found.items() if callable(handler)}
    heard: list[signal.Signals] = []

    async def whole() -> T:
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task

        def stop(number: signal.Signals) -> None:
            heard.append(number)
            task.cancel()

        for number in before:
            loop.add_signal_handler(number, stop, number)
        return await work()

    try:
        return asyncio.run(whole())
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            before[heard[0]](heard[0], None)

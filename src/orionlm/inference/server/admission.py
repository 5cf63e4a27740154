"""May one more request come in? Refusals say when to come again."""

from __future__ import annotations

import math
import time

from orionlm.inference.server.errors import ApiError
from orionlm.inference.server.process import EngineProcess

LONGEST_WAIT = 60


class Gate:
    """Lets requests in while the engine's slots are not full and fewer than `queue` samples wait beyond them."""

    def __init__(self, engine: EngineProcess, queue: int) -> None:
        self.engine = engine
        self.queue = queue
        self.active = 0  # HTTP requests being answered
        self._closes_at: float | None = None

    @property
    def state(self) -> str:
        return "draining" if self._closes_at is not None else self.engine.state

    def close(self, seconds: float) -> None:
        """From now on nobody comes in; who is in has so many seconds."""
        self._closes_at = time.monotonic() + seconds

    def check(self) -> None:
        """Raises ApiError 503 while the server drains or has no engine, 429 while too many wait."""
        if self._closes_at is not None:
            left = math.ceil(self._closes_at - time.monotonic())
            raise ApiError(
                503, "the server is shutting down; try again later", code="draining", retry_after=max(1, left)
            )
        if self.engine.state != "ready":
            raise ApiError(503, f"the engine is {self.engine.state}", code="engine_unavailable", retry_after=5)
        slots = self.engine.served.slots
        excess = self.engine.unfinished - (slots + self.queue)
        if excess >= 0:
            wait = min(LONGEST_WAIT, max(1, math.ceil(self.engine.seconds_until(excess + 1))))
            raise ApiError(
                429,
                f"{self.engine.unfinished} samples are running or waiting, and the server takes {slots} + "
                f"{self.queue}; try again in {wait} s",
                code="rate_limit_exceeded",
                retry_after=wait,
            )

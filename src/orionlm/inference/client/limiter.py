"""How many requests at once, and when again? Additive increase, multiplicative decrease; Retry-After is obeyed."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

START = 8
DECREASE = 0.7
MEMORY = 32  # outcomes over which push-backs are counted
CROWDED = 0.25  # the share of them above which they are about the load, and not about single requests
LONGEST_WAIT = 120.0


class Limiter:
    """The number of requests that may be in flight, between 1 and `ceiling`.

    It grows by one for each answer until the server is first crowded (slow start), then by one for each window of
    answers; being crowded takes it to 0.7 of itself, once a round trip (Chiu & Jain 1989; Jacobson 1988). Servers also
    push single requests back whatever the load: few such are no sign, or the window would stay small for good.
    """

    def __init__(self, ceiling: int) -> None:
        self.ceiling = ceiling
        self.paused_until = 0.0
        self._window = float(min(START, ceiling))
        self._slow_start = True
        self._decreased = float("-inf")
        self._seen, self._share = 0, 0.0

    @property
    def limit(self) -> int:
        return int(self._window)

    def succeeded(self) -> None:
        self._count(0.0)
        self._window = min(self.ceiling, self._window + (1.0 if self._slow_start else 1.0 / self._window))

    def pushed_back(self, sent: float, now: float, wait: float | None = None) -> None:
        """A 429, 503 or time-out to a request sent at `sent`; of those sent before the last decrease it says nothing
        new. Where the server is crowded and said to `wait`, nothing is sent before."""
        self._count(1.0)
        if self._share <= CROWDED:
            return
        self._slow_start = False
        if sent > self._decreased:
            self._window = max(1.0, self._window * DECREASE)
            self._decreased = now
        if wait is not None:
            self.paused_until = max(self.paused_until, now + wait)

    def _count(self, outcome: float) -> None:
        self._seen = min(self._seen + 1, MEMORY)
        self._share += (outcome - self._share) / self._seen


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait as the server asked, at most LONGEST_WAIT; None if it did not say."""
    wait = _number(headers.get("retry-after-ms"))
    if wait is not None:
        wait /= 1000
    else:
        given = headers.get("Retry-After")
        wait = _number(given)
        if wait is None and given:
            try:
                wait = parsedate_to_datetime(given).timestamp() - time.time()
            except (ValueError, TypeError, OverflowError):
                return None
    return None if wait is None else min(max(wait, 0.0), LONGEST_WAIT)


def backoff(attempt: int, base: float, longest: float = 60.0) -> float:
    """Seconds before attempt `attempt` + 1: exponential, with full jitter (Brooker 2015)."""
    return random.uniform(0, min(longest, base * 2 ** min(attempt - 1, 30)))


def _number(text: str | None) -> float | None:
    try:
        value = float(text) if text else None
    except ValueError:
        return None
    return value if value is not None and value == value else None

"""What a person sees while work goes on: lines on stderr, one of them alive where stderr is a terminal."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

TERMINAL_INTERVAL = 0.1
PLAIN_INTERVAL = 5.0


class Progress:
    """Progress lines on `stream` (stderr unless given): a live line on a terminal, else at most one per ~5 s."""

    def __init__(self, quiet: bool = False, stream: TextIO | None = None) -> None:
        self.quiet = quiet
        self._stream = stream if stream is not None else sys.stderr
        self._live = not quiet and self._stream.isatty()
        self._shown = False

    def say(self, line: str) -> None:
        """Print one line that stays."""
        if self.quiet:
            return
        self._erase()
        print(visible(line), file=self._stream, flush=True)

    @contextmanager
    def task(self, name: str, total: float | None = None) -> Iterator[Task]:
        """A piece of work of `total` units (any unit; None if unknown), shown until the block ends."""
        task = Task(self, name, total)
        try:
            yield task
        finally:
            self._erase()

    def _draw(self, line: str) -> None:
        if self.quiet:
            return
        if not self._live:
            print(line, file=self._stream, flush=True)
            return
        import shutil

        width = shutil.get_terminal_size().columns - 1
        self._stream.write("\r\x1b[K" + line[:width])
        self._stream.flush()
        self._shown = True

    def _erase(self) -> None:
        if self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()
            self._shown = False


class Task:
    """One piece of work on the progress line."""

    def __init__(self, progress: Progress, name: str, total: float | None) -> None:
        self._progress = progress
        self._name = name
        self._total = total
        self._first: tuple[float, float] | None = None
        self._drawn = time.monotonic() if not progress._live else 0.0

    def update(self, done: float, note: str = "") -> None:
        """Say that `done` units of the total are finished; units done before the first call do not count as speed."""
        now = time.monotonic()
        if self._first is None:
            self._first = (now, done)
        finished = self._total is not None and done >= self._total
        interval = TERMINAL_INTERVAL if self._progress._live else PLAIN_INTERVAL
        if now - self._drawn < interval and not (finished and self._progress._live):
            return
        self._drawn = now
        self._progress._draw(" · ".join(part for part in (self._name, self._share(now, done), note) if part))

    def _share(self, now: float, done: float) -> str:
        if not self._total:
            return f"{done:,.0f}" if done else ""
        began, before = self._first or (now, done)
        share = f"{100 * min(done / self._total, 1.0):.0f}%"
        if done <= before or done >= self._total:
            return share
        return f"{share} · {duration((now - began) * (self._total - done) / (done - before))} left"


def duration(seconds: float) -> str:
    """Seconds as a person says them: `8 s`, `3 min 20 s`, `2 h 05 min`, `3 d 4 h`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def visible(name: str) -> str:
    """The same, with backslashes for what would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)

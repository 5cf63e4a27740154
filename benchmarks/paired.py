"""How are two implementations timed against each other? In turns, so that whatever else the machine does hits both."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

PACKAGES = ("torch", "transformers")


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class Side:
    """One of the two in a process of its own, with its own best environment, asleep while it is not its turn.

    The process prints a line when it is ready, and the seconds of a block for each line it reads: `serve` does so.
    """

    def __init__(self, arguments: list[str], **environment: str) -> None:
        command = [sys.executable, sys.argv[0], *arguments]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | environment
        )
        self._answer()

    def _answer(self) -> float:
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.process.args))}: ended with {self.process.wait()}")  # type: ignore[arg-type]
        self.process.send_signal(signal.SIGSTOP)
        return float(line)

    def __call__(self) -> float:
        """Seconds of one block."""
        assert self.process.stdin
        self.process.send_signal(signal.SIGCONT)
        print(file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def serve(work: Callable[[], Any], warm: int = 2) -> None:
    """The other end of a `Side`."""
    for _ in range(warm):
        work()
    print(0.0, flush=True)
    for _ in sys.stdin:
        print(seconds(work), flush=True)


def compare(ours: Callable[[], float], peer: Callable[[], float], units: float, blocks: int) -> dict[str, float]:
    """Both give the seconds of one block. Speeds in `units` a second, medians over `blocks`; `ratio` is the median of
    the blocks' own ratios, and `low` and `high` their 10% and 90% points. Who goes first alternates."""
    times: list[tuple[float, float]] = []
    for block in range(blocks):
        if block % 2:
            theirs = peer()
            times.append((ours(), theirs))
        else:
            mine = ours()
            times.append((mine, peer()))
    ratios = sorted(theirs / mine for mine, theirs in times)
    deciles = statistics.quantiles(ratios, n=10, method="inclusive")
    return {
        "ours": units / statistics.median(mine for mine, _ in times),
        "peer": units / statistics.median(theirs for _, theirs in times),
        "ratio": statistics.median(ratios),
        "low": deciles[0],
        "high": deciles[-1],
    }


def fastest(candidates: dict[str, Callable[[], float]], repeats: int = 3) -> str:
    """The candidate with the shortest block."""
    times = {name: min(work() for _ in range(repeats)) for name, work in candidates.items()}
    return min(times, key=times.__getitem__)


def versions() -> dict[str, str]:
    return {"python": sys.version.split()[0]} | {package: version(package) for package in PACKAGES}

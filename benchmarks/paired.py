"""How are two implementations timed against each other? In turns, so that whatever else the machine does hits both."""

from __future__ import annotations

import statistics
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


def compare(ours: Callable[[], Any], peer: Callable[[], Any], units: float, blocks: int) -> dict[str, float]:
    """Speeds in `units` a second, medians over `blocks`; `ratio` is the median of the blocks' own ratios, and `low` and
    `high` their 10% and 90% points. Who goes first alternates."""
    times: list[tuple[float, float]] = []
    for block in range(blocks):
        if block % 2:
            theirs = seconds(peer)
            times.append((seconds(ours), theirs))
        else:
            mine = seconds(ours)
            times.append((mine, seconds(peer)))
    ratios = sorted(theirs / mine for mine, theirs in times)
    deciles = statistics.quantiles(ratios, n=10, method="inclusive")
    return {
        "ours": units / statistics.median(mine for mine, _ in times),
        "peer": units / statistics.median(theirs for _, theirs in times),
        "ratio": statistics.median(ratios),
        "low": deciles[0],
        "high": deciles[-1],
    }


def fastest(candidates: dict[str, Callable[[], Any]], repeats: int = 3) -> str:
    """The candidate with the shortest time, after one call of each to warm up."""
    for work in candidates.values():
        work()
    times = {name: min(seconds(work) for _ in range(repeats)) for name, work in candidates.items()}
    return min(times, key=times.__getitem__)


def versions() -> dict[str, str]:
    return {"python": sys.version.split()[0]} | {package: version(package) for package in PACKAGES}

"""What a running stage is given besides its settings and inputs: seed, ledger, progress, choices for this machine."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from orionlm.artifact import write_json
from orionlm.ledger import Ledger
from orionlm.progress import Progress

MACHINE = "machine.json"
LEDGER = "ledger.jsonl"


@dataclass(frozen=True)
class Context:
    """A stage's surroundings; `pinned` holds the choices the recipe makes, a `rehearsal` (dry run) leaves no trace.
    `training`: what the ledger says its training is for."""

    stage: str
    seed: int
    run_dir: Path
    progress: Progress = field(default_factory=Progress)
    dollars_per_hour: float | None = None
    price_source: str = ""
    pinned: Mapping[str, Any] = field(default_factory=dict)
    rehearsal: bool = False
    training: str = "train"

    def record(self, purpose: str, **spent: Any) -> None:
        """Write one entry to the run's ledger; `seconds` are priced by the recipe unless `dollars` is given."""
        if self.rehearsal:
            return
        if self.dollars_per_hour is not None and "dollars" not in spent:
            spent["dollars"] = self.dollars_per_hour * spent.get("seconds", 0.0) / 3600
            spent["dollars_source"] = self.price_source
        Ledger(self.run_dir / LEDGER).record(self.stage, purpose, **spent)

    def choose(self, name: str, measure: Callable[[], Any]) -> Any:
        """A choice that depends on this machine (JSON value): made once, stored with the run, reused ever after.

        The run's machine.json comes first, then the recipe's [machine], then this machine's cache, then `measure()`.
        """
        stored = read_choices(self.run_dir / MACHINE)
        if name in stored:
            return stored[name]
        cache_path, machine = machine_cache(), machine_name()
        cache = read_choices(cache_path)
        known = cache.get(machine, {})
        if name in self.pinned:
            value, origin = self.pinned[name], "set by the recipe"
        elif name in known:
            value, origin = known[name], "measured earlier on this machine"
        else:
            value, origin = measure(), "measured now"
            cache[machine] = known | {name: value}
            try:
                cache_path.parent.mkdir(parents=True, exist_ok=True)
                write_json(cache_path, cache)
            except OSError:
                pass  # a cache that cannot be written costs a measurement next time, nothing more
        if not self.rehearsal:
            write_json(self.run_dir / MACHINE, stored | {name: value})
            self.progress.say(f"{self.stage}: {name} = {value} ({origin})")
        return value


def read_choices(path: Path) -> dict[str, Any]:
    """The choices stored at `path`; empty if there are none, or none that can be read."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def machine_cache() -> Path:
    """Where choices measured on this machine are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "orion" / MACHINE


def machine_name() -> str:
    """What measured choices depend on: processor, cores this process may use, torch."""
    try:
        torch = metadata.version("torch")
    except metadata.PackageNotFoundError:
        torch = "none"
    cards = Path("/proc/driver/nvidia/gpus")
    gpus = f" · {len(list(cards.iterdir()))} nvidia" if cards.is_dir() else ""
    return f"{processor()} · {cores()} cores{gpus} · torch {torch}"


def processor() -> str:
    """The processor's name as its maker gives it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

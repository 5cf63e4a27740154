"""What may one program use, and what is told of its run?"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from orionlm.errors import UserError

MB = 1 << 20
Kind = Literal["returned", "raised", "timed_out", "out_of_memory", "killed", "flooded", "refused"]


@dataclass(frozen=True)
class Limits:
    """Limits of one program. Seconds of CPU decide, so that a busy machine changes no score; the wall clock is for
    programs that sleep. With one process, `threads` may run in it and fork is refused; with more, `processes` counts
    threads too, and each process has its share of `memory`, so that together they never exceed it."""

    cpu_seconds: int = 10
    wall_seconds: float = 60.0
    memory: int = 512 * MB
    processes: int = 1
    threads: int = 32
    output: int = MB  # bytes: results and whatever is printed, together
    scratch: int = 16 * MB  # bytes of files, each and all

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not value > 0:
                raise UserError(f"{name}: {value} given; a limit must be more than zero")
        if self.memory // self.processes < 64 * MB:
            raise UserError(
                f"memory: {self.memory} for {self.processes} processes; the interpreter alone needs {64 * MB} in each"
            )


STANDARD = Limits()


@dataclass(frozen=True)
class Result:
    """How a run went. `value` holds JSON primitives, and is what the program says: data, never a verdict.

    `refused`: what came back, if anything, was no value that can be serialised. `detail` names the exception, the
    signal or the limit."""

    kind: Kind
    value: Any = None
    detail: str = ""
    output: str = ""  # what was printed, to either stream
    seconds: float = 0.0

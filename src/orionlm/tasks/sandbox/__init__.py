"""Runs programs that nobody vouches for, so that they can touch nothing and claim nothing.

A clean interpreter, the zygote, holds no secrets and is forked once per program. The fork sees an empty network, a
read-only standard library and a small scratch, and may make only the system calls of an allow-list. Programs and their
inputs go through pipes straight to the fork; what comes back is data, never a verdict.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orionlm.tasks.sandbox.limits import STANDARD, Limits, Result
    from orionlm.tasks.sandbox.process import Ended, Process, SandboxFailure
    from orionlm.tasks.sandbox.zygotes import Sandbox, run

__all__ = ["STANDARD", "Ended", "Limits", "Process", "Result", "Sandbox", "SandboxFailure", "run"]


def __getattr__(name: str) -> Any:
    """Loaded when asked for: the zygote imports this package too, and what it has loaded each fork pays for."""
    if name in __all__:
        for part in ("limits", "process", "zygotes"):
            module = import_module(f"{__name__}.{part}")
            if hasattr(module, name):
                return getattr(module, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

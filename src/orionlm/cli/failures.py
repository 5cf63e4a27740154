"""How a command ends: one line on stderr and an exit code; 2 for what the user can mend, 1 for what we must."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Iterator
from typing import Any

import typer

from orionlm.errors import UserError
from orionlm.progress import visible

FULL = "no space left on device"


class Stopped(BaseException):
    """Ctrl-C or SIGTERM; `number` is the signal, `advice` what to do to go on."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number
        self.advice = ""


def guarded(app: typer.Typer) -> int:
    """Run the command line; return its exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _stop)
    try:
        code = app(prog_name="orion", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except Stopped as stop:
        print(f"stopped: {stop.advice}" if stop.advice else "stopped", file=sys.stderr)
        return 128 + stop.number
    except BrokenPipeError:
        _silence_stdout()
        return 0
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    if os.environ.get("ORION_DEBUG"):
        import traceback

        traceback.print_exception(error, limit=-8)
    code, line = _explain(error)
    if disk_full(error):
        _silence_stdout()
    print(f"error: {visible(' '.join(line.split()))}", file=sys.stderr)
    return code


def _explain(error: Exception) -> tuple[int, str]:
    if isinstance(error, typer.Abort):
        return 2, "not confirmed: nothing done"
    if hasattr(error, "format_message"):  # a mistake on the command line, as typer words it
        return 2, _usage(error)
    if disk_full(error):
        name = next((e.filename for e in _chain(error) if isinstance(e, OSError) and e.filename), "")
        return 2, f"{name or 'output'}: {FULL}: free some and run it again; what was finished is kept"
    if isinstance(error, UserError):
        return 2, str(error)
    if isinstance(error, ModuleNotFoundError) and error.name:
        from orionlm.cli.extras import extra_with

        extra = extra_with(error.name.partition(".")[0])
        if extra:
            return 2, f"this needs {error.name.partition('.')[0]}: pip install 'orion-lm[{extra}]'"
    if isinstance(error, PermissionError) and error.filename:
        return 2, f"{error.filename}: {str(error.strerror).lower()}: choose a place you may write to"
    hint = "" if os.environ.get("ORION_DEBUG") else " (a fault of Orion's; ORION_DEBUG=1 shows where)"
    return 1, f"{type(error).__name__}: {error}{hint}"


def disk_full(error: BaseException) -> bool:
    """Whether a full disk is behind `error`, however the library that met it words that."""
    for cause in _chain(error):
        if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        if FULL in str(cause).lower():
            return True
    return False


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _usage(error: Any) -> str:
    context = getattr(error, "ctx", None)
    message = str(error.format_message()).strip().rstrip(".")
    message = message[:1].lower() + message[1:].replace(". Did you", ", did you").rstrip("?")
    return f"{message}; see {context.command_path} --help" if context else message


def _silence_stdout() -> None:
    """Let the interpreter's own last flush go nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _stop(number: int, frame: Any) -> None:
    raise Stopped(number)

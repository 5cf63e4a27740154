"""Inside the sandbox: a program that serves calls, or a test that makes them.

A program's process is lost to it: whatever is said here in its name, it may have forged, so all that this can say is
what values came back. A test's process runs only what a suite's author wrote, and its candidate is a stand-in whose
calls travel to the program's process by way of our side: what comes back are Python's own types, in a process that the
program has never touched, so an assertion there means what it says.
"""

from __future__ import annotations

import builtins
import io
import os
import sys
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import ModuleType
from typing import Any, NoReturn

from orionlm.tasks.sandbox import codec, frames


def serve(source: int, sink: int) -> None:
    """Read what to be, and be it until the pipe is closed."""
    first = frames.read(source)
    sys.stdin = io.StringIO(first.get("stdin", ""))
    with suppress(EOFError):
        (_program if first["role"] == "program" else _test)(first, source, sink)


def _program(first: dict[str, Any], source: int, sink: int) -> None:
    module = ModuleType(first["name"])
    sys.modules[first["name"]] = module

    def load() -> dict[str, Any]:
        exec(compile(first["code"], "<program>", "exec"), module.__dict__)
        return {"returned": codec.encode(module.__dict__.get("result"))}

    def call() -> dict[str, Any]:
        positional, named = codec.decode(request["args"]), codec.decode(request["named"])
        value = codec.encode(getattr(module, request["call"])(*positional, **named))
        if value is not None and not request.get("in_place"):
            return {"returned": value}
        return {"returned": value, "args": _or_none(lambda: codec.encode(positional))}

    frames.write(sink, _attempt(load))
    while True:
        request = frames.read(source)
        frames.write(sink, _attempt(call))


def _attempt(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        answer = work()
    except BaseException as raised:
        error = raised
        known = next((base.__name__ for base in type(error).__mro__ if base.__module__ == "builtins"), "Exception")
        message = str(_or_none(lambda: str(error)))[:500]
        answer = {"raised": type(error).__name__, "base": known, "message": message}
    with suppress(BaseException):
        sys.stdout.flush()
    return answer


def _or_none(work: Callable[[], Any]) -> Any:
    with suppress(BaseException):
        return work()
    return None


def _test(first: dict[str, Any], source: int, sink: int) -> NoReturn:
    name = first["entry_point"]

    def candidate(*positional: Any, **named: Any) -> Any:
        try:
            asked = {"call": codec.encode(list(positional)), "named": codec.encode(named)}
        except codec.Unserialisable as error:
            _end(sink, {"unsupported": f"an argument cannot be passed to the program: {error}"})
        frames.write(sink, asked)
        answer = frames.read(source)
        if "raised" in answer:
            raise _exception(answer["raised"], answer["base"])(answer["message"])
        if answer.get("args") is not None:
            for ours, theirs in zip(positional, codec.decode(answer["args"]), strict=True):
                _become_equal(ours, theirs)
        return codec.decode(answer["returned"])

    candidate.__name__ = name
    space: dict[str, Any] = {"__name__": "test"}
    try:
        exec(_compiled(first["prompt"]), space)
        space[name] = candidate
        before = space.get("check")  # a name that a prompt, or the function under test, may have
        exec(compile(first["test"], "<test>", "exec"), space)
        if space.get("check") is not before:
            space["check"](candidate)
    except BaseException as error:
        _end(sink, {"failed": f"{type(error).__name__}: {error}"[:500].removesuffix(": ")})
    _end(sink, {"passed": True})


def _end(sink: int, verdict: dict[str, Any]) -> NoReturn:
    frames.write(sink, verdict)
    os._exit(0)


def _compiled(prompt: str) -> Any:
    """A prompt may stop where the body of a function should begin."""
    try:
        return compile(prompt, "<prompt>", "exec")
    except SyntaxError:
        return compile(prompt + "\n    pass\n", "<prompt>", "exec")


def _exception(name: str, base: str) -> type[Exception]:
    """What a test may wait for with `except ValueError`; nothing that would end the test's process, nor
    StopIteration, at which `all(map(candidate, …))` would end early and be true (as in generators, PEP 479)."""
    found = getattr(builtins, base, None)
    if not (isinstance(found, type) and issubclass(found, Exception)):
        found = Exception
    if issubclass(found, StopIteration | StopAsyncIteration):
        found = RuntimeError
    return found if base == name else type(name, (found,), {})


def _become_equal(ours: Any, theirs: Any) -> None:
    """A function may work on its argument in place."""
    if type(ours) is not type(theirs):
        return
    if isinstance(ours, list | bytearray):
        ours[:] = theirs
    elif isinstance(ours, dict | set):
        ours.clear()
        ours.update(theirs)
    elif isinstance(ours, deque):
        ours.clear()
        ours.extend(theirs)

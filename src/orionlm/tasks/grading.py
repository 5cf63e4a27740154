"""Is a program that a model wrote right? Judged on our side, from values alone.

Two kinds of check. Cases: inputs go into the sandbox, outputs come back, and are compared here with expected values
that never went in. A test written in Python, as HumanEval's: it runs in a second sandbox, which the program never
touches, with a stand-in for the candidate; each call travels through here to the program's process and its value back,
as data. No exit code, no printed word and no object of the program's has a part in it.

Whatever the program can bring about is its own fault. `GRADER_ERROR` is for what it cannot: a sandbox that failed, a
test that fails before the program has answered a single call, a test that passes without asking.
"""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import Any

from orionlm.errors import UserError
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.sandbox import STANDARD, Ended, Limits, Process, Sandbox, SandboxFailure
from orionlm.tasks.sandbox.codec import DEEPEST, encode, equal, plain
from orionlm.tasks.sandbox.zygotes import shared, understood

MODULE = "solution"  # what a program is called in its process: not __main__, so that it only defines
MOST_ASKED = 64 << 20  # bytes of arguments that a test may give


@dataclass(frozen=True)
class Case:
    """One call and the JSON value it must give."""

    args: tuple[Any, ...]
    expected: Any


@dataclass(frozen=True)
class Check:
    """How a program is judged: by `cases`, or by `test`, Python that defines `check(candidate)` or asserts right away.

    `prompt` is what the test may take names from, and may lack the body of its last function. `tolerance` is for floats
    among the cases' values. `in_place`: the function changes its arguments *and* returns something; a function that
    returns None may always have changed them. Else a program could spoil the arguments from which a test goes on to
    work out what it expects."""

    entry_point: str
    cases: tuple[Case, ...] = ()
    test: str = ""
    prompt: str = ""
    tolerance: float = 0.0
    in_place: bool = False

    def __post_init__(self) -> None:
        if not self.entry_point.isidentifier() or iskeyword(self.entry_point):
            raise UserError(f"entry_point: {self.entry_point!r} is not a function's name; name what the tests call")
        if bool(self.cases) == bool(self.test.strip()):
            raise UserError(f"{self.entry_point}: give either tests as cases or a test as Python, and only one of them")
        if not (0 <= self.tolerance <= sys.float_info.max):
            raise UserError(f"tolerance: {self.tolerance}; it must be zero or more, and finite")

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Check:
        """From an item's answer: {"entry_point", "tests": [{"args", "expected"}, ...]} or {"entry_point", "prompt",
        "test"}, and "tolerance" and "in_place" if wanted."""
        unknown = answer.keys() - {"entry_point", "tests", "test", "prompt", "tolerance", "in_place"}
        if unknown or not isinstance(answer.get("entry_point"), str):
            named = f"{min(unknown)!r} is not known" if unknown else "no entry_point"
            raise UserError(f"a code item's answer: {named}; give entry_point, and tests, or prompt and test")
        try:
            cases = tuple(_case(each) for each in answer.get("tests", ()))
        except (KeyError, TypeError, ValueError, RecursionError):
            raise UserError(
                f'{answer["entry_point"]}: tests: each must be {{"args": [...], "expected": ...}} in JSON, without NaN '
                f"and at most {DEEPEST} deep"
            ) from None
        for name in ("test", "prompt", "tolerance"):
            value, good = answer.get(name, 0), (int, float) if name == "tolerance" else str
            if name in answer and (not isinstance(value, good) or isinstance(value, bool)):
                said = "a number" if name == "tolerance" else "text"
                raise UserError(f"{answer['entry_point']}: {name}: {str(value)[:40]!r}; give {said}")
        if not isinstance(answer.get("in_place", False), bool):
            raise UserError(f"{answer['entry_point']}: in_place: {str(answer['in_place'])[:40]!r}; give true or false")
        rest = {name: answer[name] for name in ("test", "prompt", "tolerance", "in_place") if name in answer}
        return cls(answer["entry_point"], cases, **rest)


def grade_program(
    program: str,
    check: Check | Mapping[str, Any],
    limits: Limits = STANDARD,
    sandbox: Sandbox | None = None,
) -> Grade:
    """Judge one program. UserError if the check is malformed or the machine has no sandbox: nothing was judged."""
    check = check if isinstance(check, Check) else Check.of(check)
    sandbox = sandbox or shared(os.getpid())
    try:
        with sandbox.start(limits) as process:
            try:
                first = {"role": "program", "name": MODULE, "code": program}
                loaded = understood(process.ask(first))
                if "raised" in loaded:
                    return Grade(Outcome.WRONG, program, f"the program itself: {_raised(loaded)}")
                if check.cases:
                    return _by_cases(program, check, process)
                return _by_test(program, check, process, sandbox)
            except Ended as end:
                outcome = Outcome.TIMED_OUT if end.kind == "timed_out" else Outcome.WRONG
                return Grade(outcome, program, f"{end.kind}: {end.detail}")
    except (SandboxFailure, OSError) as error:
        return Grade(Outcome.GRADER_ERROR, program, str(error))


def grade_programs(
    jobs: Iterable[tuple[str, Check | Mapping[str, Any]]],
    workers: int = 2,
    limits: Limits = STANDARD,
) -> Iterator[Grade]:
    """Judge many, in order, `workers` at a time; no more jobs are taken than are being judged."""
    sandbox = shared(os.getpid())
    waiting: deque[Future[Grade]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for program, check in jobs:
                waiting.append(pool.submit(grade_program, program, check, limits, sandbox))
                if len(waiting) > 2 * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for job in waiting:
                job.cancel()


def _by_cases(program: str, check: Check, process: Process) -> Grade:
    for number, case in enumerate(check.cases, start=1):
        asked = {"call": check.entry_point, "args": encode(list(case.args)), "named": ["dict"]}
        answer = understood(process.ask(asked))
        if "raised" in answer:
            return Grade(Outcome.WRONG, program, f"case {number}: {_raised(answer)}")
        if not equal(answer["returned"], case.expected, check.tolerance):
            found, wanted = (_short(value) for value in (plain(answer["returned"]), case.expected))
            return Grade(Outcome.WRONG, program, f"case {number}: {found}, not {wanted}")
    return Grade(Outcome.RIGHT, program, f"{len(check.cases)} cases")


def _by_test(program: str, check: Check, process: Process, sandbox: Sandbox) -> Grade:
    """Relay the test's calls. The test's own time is bounded as the program's is: a value can make it slow."""
    answered = 0
    first = {"role": "test", "entry_point": check.entry_point, "prompt": check.prompt, "test": check.test}
    limits = replace(process.limits, output=max(process.limits.output, MOST_ASKED))
    with sandbox.start(limits) as test:
        try:
            said = _said(test.ask(first))
            while "call" in said:
                asked = {"args": said["call"], "named": said["named"], "call": check.entry_point}
                answer = understood(process.ask(asked | {"in_place": check.in_place}))
                answered += 1
                if "returned" in answer and answer["returned"] is not None and not check.in_place:
                    answer["args"] = None
                said = _said(test.ask(answer))
        except Ended as end:
            if test.ended is None:  # it was the program that ended
                raise
            if not answered:
                return Grade(Outcome.GRADER_ERROR, program, f"the test did not run: {end.kind}: {end.detail}")
            outcome = Outcome.TIMED_OUT if end.kind == "timed_out" else Outcome.WRONG
            return Grade(outcome, program, f"the test, given the program's values: {end.kind}: {end.detail}")
    if "unsupported" in said:
        return Grade(Outcome.GRADER_ERROR, program, said["unsupported"])
    if not answered:
        reason = said.get("failed", "it passes without a call")
        return Grade(Outcome.GRADER_ERROR, program, f"the test does not test {check.entry_point}: {reason}")
    if said.get("passed") is True:
        return Grade(Outcome.RIGHT, program, f"{answered} calls")
    return Grade(Outcome.WRONG, program, f"after {answered} calls: {said['failed']}")


def _case(given: Mapping[str, Any]) -> Case:
    args, expected = given["args"], given["expected"]
    if not isinstance(args, list | tuple):
        raise TypeError("args is no list")
    json.dumps([args, expected], allow_nan=False)
    encode([list(args), expected])  # no deeper than may cross
    return Case(tuple(args), expected)


def _said(message: Any) -> dict[str, Any]:
    """What a test's process says: a call, or how the test ended; unless the test itself wrote to that pipe."""
    if isinstance(message, dict) and (
        (isinstance(message.get("call"), list) and isinstance(message.get("named"), list))
        or any(isinstance(message.get(name), str) for name in ("failed", "unsupported"))
        or message.get("passed") is True
    ):
        return message
    raise SandboxFailure("the test broke into the conversation about its calls")


def _raised(answer: dict[str, Any]) -> str:
    return f"{answer['raised']}: {answer['message']}".removesuffix(": ")


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 100 else f"{text[:100]}…"

"""Which programs do what was asked? A program and its tests are asked for separately, and executed in the sandbox.

Neither sees the other: where a program gives what the tests expect, two answers to one description agree (CodeT, Chen
et al., arXiv 2207.10397). Calls that two sets of tests disagree on are disputed and decide nothing.
"""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from keyword import iskeyword
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.synth.desk import Ask, Desk, Reply, Seed, Worst
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.pairs import choose
from orionlm.synth.rows import Row
from orionlm.synth.structured import Read, structured
from orionlm.tasks import extract
from orionlm.tasks.grading import Check, grade_program
from orionlm.tasks.outcome import Outcome
from orionlm.tasks.sandbox import Limits

NAME = "code"
PAPER = "CodeT, arXiv:2207.10397; Nemotron-4 340B, arXiv:2406.11704"
WORTH = (
    "CodeT: choosing by agreement with tests the model wrote itself took HumanEval pass@1 of code-davinci-002 from "
    "47.0 to 65.8; as training text its worth is not published: probe it"
)
LIMITS = Limits(cpu_seconds=5, wall_seconds=20.0)
TOLERANCE = 1e-6  # of floats: a teacher writes them rounded


class Settings(BaseModel):
    """From each seed one task, `programs` for it and `test_sets`, each of `cases` calls; a program is kept that passes
    all undisputed ones, if these are at least `least_cases`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    programs: int = Field(2, ge=1, le=16)
    test_sets: int = Field(2, ge=1, le=8)
    cases: int = Field(6, ge=1, le=50)
    least_cases: int = Field(3, ge=1, le=50)
    passage: int = Field(2000, ge=50)
    repairs: int = Field(1, ge=0, le=5)
    reward: Reward = Reward(by="none")
    max_tokens: int = Field(1024, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)


class Task(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    description: str = Field(min_length=20)
    entry_point: str
    parameters: tuple[str, ...] = Field(max_length=10)


class Case(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    args: list[Any]
    expected: Any


class Cases(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")
    cases: tuple[Case, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Tests:
    """Calls that no set of tests disputes, as `grading` takes them; how many were disputed; why there are too few."""

    agreed: tuple[dict[str, Any], ...]
    disputed: int
    why: str = ""


def worst(settings: Settings) -> Worst:
    asked = (1 + settings.test_sets) * (1 + settings.repairs) + settings.programs
    judged = 0 if settings.reward.by == "none" else (settings.programs + 2) * (1 + settings.reward.repairs)
    return Worst(asked + judged, settings.passage + 8 * settings.max_tokens + 2000, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """One row for each seed, in their order."""
    async for row in desk.each(lambda seed: _one(settings, desk, seed), seeds):
        yield row


async def _one(settings: Settings, desk: Desk, seed: Seed) -> Row:
    shown = passage(seed.text, settings.passage, desk.random(seed.id))
    task = await structured(
        desk, _ask(settings, template("code/task.txt").render(document=shown)), Task,
        repairs=settings.repairs, check=_task_fault,
    )  # fmt: skip
    if task.value is None:
        return _rejected(desk, seed, shown, task.reply, "task", task.error)
    told = {**task.value.model_dump(), "parameters": ", ".join(task.value.parameters)}
    program = template("code/program.txt").render(**told)
    tests = template("code/tests.txt").render(n=settings.cases, **told)
    sets, replies = await asyncio.gather(
        asyncio.gather(*(_tests(settings, desk, tests, task.value, n) for n in range(settings.test_sets))),
        asyncio.gather(*(desk.ask(_ask(settings, program, sample=n)) for n in range(settings.programs))),
    )
    agreed = undisputed([each.value for each in sets if each.value], settings.least_cases)
    unread = [each for each in sets if each.value is None]
    more = {
        "task": task.value.model_dump(mode="json"), "cases": list(agreed.agreed), "disputed": agreed.disputed,
        "task_key": task.reply.key, "test_keys": [each.reply.key for each in sets], "format": "code",
    }  # fmt: skip
    if agreed.why:
        why = agreed.why if len(unread) < len(sets) else unread[0].error
        return _rejected(desk, seed, shown, sets[0].reply, "tests", why, more)
    return await _executed(settings, desk, seed, shown, program, task.value, agreed, replies, more)


async def _executed(
    settings: Settings,
    desk: Desk,
    seed: Seed,
    shown: str,
    prompt: str,
    task: Task,
    tests: Tests,
    replies: Sequence[Reply],
    more: dict[str, Any],
) -> Row:
    programs = [extract.code(reply.text, task.entry_point).strip() for reply in replies]
    faults = await asyncio.gather(
        *(_fault(reply, text, task, tests) for reply, text in zip(replies, programs, strict=True))
    )
    whole = [n for n, fault in enumerate(faults) if not fault.startswith("grader")]
    more |= {
        "programs": len(programs),
        "passed": sum(not fault for fault in faults),
        "faults": [f for f in faults if f],
    }
    passed = [n for n, fault in enumerate(faults) if not fault]
    if not passed:
        n = whole[0] if whole else 0
        return _rejected(desk, seed, shown, replies[n], "executed", faults[n], more)
    messages = [{"role": "user", "content": prompt}]
    said = [n for n in whole if programs[n] and not replies[n].error and replies[n].finish != "length"]
    choice = await choose(
        settings.reward, desk, messages, [programs[n] for n in said], [not faults[n] for n in said]
    )  # fmt: skip
    n = passed[0] if choice.best is None else said[choice.best]
    more |= choice.more(messages, [programs[n] for n in said])
    row = desk.row(
        replies[n], [seed], text=_text(task, programs[n]), form="preference" if "pair" in more else "code",
        domain="code", seed_text=shown, more=more,
    )  # fmt: skip
    scores = choice.scores[said.index(n)].values if choice.scores else {}
    return row.judged("executed").judged("reward", choice.why if choice.best is None else "", **scores)


async def _fault(reply: Reply, program: str, task: Task, tests: Tests) -> str:
    """What failed, or ""; "grader: …" where nothing was judged."""
    if reply.error:
        return f"no answer: {reply.error}"
    if reply.finish == "length":
        return "the program was cut at its longest"
    if not program:
        return "no program"
    check = Check.of({"entry_point": task.entry_point, "tests": list(tests.agreed), "tolerance": TOLERANCE})
    try:
        grade = await asyncio.to_thread(grade_program, program, check, LIMITS)
    except UserError as error:
        return f"grader: {error}"
    if grade.outcome == Outcome.RIGHT:
        return ""
    return f"grader: {grade.detail}" if grade.outcome == Outcome.GRADER_ERROR else grade.detail


async def _tests(settings: Settings, desk: Desk, prompt: str, task: Task, n: int) -> Read[Cases]:
    def fault(found: Cases) -> str:
        for number, case in enumerate(found.cases, start=1):
            if len(case.args) != len(task.parameters):
                return f"case {number} has {len(case.args)} arguments, the function takes {len(task.parameters)}"
        try:
            Check.of({"entry_point": task.entry_point, "tests": [case.model_dump() for case in found.cases]})
        except UserError as error:
            return str(error)
        return ""

    ask = replace(_ask(settings, prompt, sample=n), purpose="verify")
    return await structured(desk, ask, Cases, repairs=settings.repairs, check=fault)


def undisputed(sets: Sequence[Cases], least: int) -> Tests:
    """What the sets of tests say together. Tests that all expect one value would pass what only returns it."""
    expected: dict[str, dict[str, dict[str, Any]]] = {}
    for case in (case for each in sets for case in each.cases):
        call = {"args": case.args, "expected": case.expected}
        expected.setdefault(_name(case.args), {})[_name(case.expected)] = call
    agreed = tuple(next(iter(values.values())) for values in expected.values() if len(values) == 1)
    disputed = len(expected) - len(agreed)
    if len(agreed) < least:
        said = f" ({disputed} more are disputed)" if disputed else ""
        return Tests(agreed, disputed, f"{len(agreed)} calls to test it, wanted are {least}{said}")
    if len({_name(case["expected"]) for case in agreed}) == 1:
        return Tests(agreed, disputed, "all calls expect the same value: they tell no program from one that returns it")
    return Tests(agreed, disputed)


def _name(value: Any) -> str:
    """One name for equal values; 1, 1.0 and True are three here, as a program would tell them apart."""
    return json.dumps(value, sort_keys=True)


def _task_fault(task: Task) -> str:
    names = [task.entry_point, *task.parameters]
    wrong = next((name for name in names if not name.isidentifier() or iskeyword(name)), None)
    if wrong is not None:
        return f"{wrong!r} is no name in Python"
    return "two of its parameters have one name" if len(set(task.parameters)) < len(task.parameters) else ""


def _text(task: Task, program: str) -> str:
    """What a student reads: the task as a comment or docstring would say it, then the program."""
    try:
        described = ast.get_docstring(ast.parse(program)) is not None
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        described = False
    told = "\n".join(f"# {line}".rstrip() for line in task.description.strip().splitlines())
    return program if described else f"{told}\n\n{program}"


def _ask(settings: Settings, prompt: str, sample: int = 0) -> Ask:
    return Ask(
        [{"role": "user", "content": prompt}], settings.max_tokens, settings.temperature, settings.top_p, sample=sample
    )


def _rejected(
    desk: Desk, seed: Seed, shown: str, reply: Reply, check: str, why: str, more: dict[str, Any] | None = None
) -> Row:
    row = desk.row(reply, [seed], text=reply.text, form="code", domain="code", seed_text=shown, more=more or {})
    return row.judged(check, why)

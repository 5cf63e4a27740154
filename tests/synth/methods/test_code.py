from __future__ import annotations

import json
from typing import Any

import pytest

from orionlm.synth.desk import Ask, Seed
from orionlm.synth.methods.code import Case, Cases, Settings, undisputed, write
from orionlm.synth.rows import Row
from synth.scripted_teacher import Scripted, collected, desk_of

TASK = {"description": "Return the sum of a and b, two whole numbers.", "entry_point": "add", "parameters": ["a", "b"]}
GOOD = "Here:\n```python\ndef add(a, b):\n    return a + b\n```"
BAD = "```python\ndef add(a, b):\n    return a - b\n```"
CASES = [{"args": [1, 2], "expected": 3}, {"args": [0, 0], "expected": 0}, {"args": [5, -2], "expected": 3}]
SEED = Seed("doc", "Numbers can be added.", "MIT")


def written(answers: list[str], cases: list[Any], task: Any = TASK, **settings: Any) -> tuple[Row, Scripted]:
    def script(prompt: str, ask: Ask) -> str:
        first = ask.prompt[0]["content"]
        if "programming task" in first:
            return json.dumps(task)
        if "Without writing it" in first:
            return json.dumps({"cases": cases[min(ask.sample, len(cases) - 1)]})
        return answers[min(ask.sample, len(answers) - 1)]

    teacher = Scripted(script)
    (row,) = collected(write(Settings(**settings), [SEED], desk_of(teacher, method="code")))
    return row, teacher


def test_a_program_that_passes_tests_asked_for_apart_is_kept() -> None:
    row, teacher = written([GOOD], [CASES])
    assert not row.error and row.verdicts["executed"] == "" and row.more["passed"] == 2
    assert row.text == "# Return the sum of a and b, two whole numbers.\n\ndef add(a, b):\n    return a + b"
    assert row.more["cases"] == CASES and row.licence == "MIT" and row.seeds == ("doc",)
    for ask in teacher.asked:
        told = ask.prompt[0]["content"]
        assert "return a + b" not in told, "tests are written without the program"
        assert "expected" not in told or "Without writing it" in told, "and the program without the tests"
    assert {ask.purpose for ask in teacher.asked if "Without writing it" in ask.text} == {"verify"}


def test_a_program_that_fails_is_rejected_with_what_failed() -> None:
    row, _ = written([BAD], [CASES])
    assert row.error == "executed: case 1: -1, not 3" and row.more["passed"] == 0


@pytest.mark.parametrize(
    ("program", "why"),
    [
        pytest.param("```python\ndef add(a, b):\n    while True: pass\n```", "timed_out", marks=pytest.mark.slow),
        ("```python\nimport os\ndef add(a, b):\n    return 1 / 0\n```", "ZeroDivisionError"),
        ("I cannot.", "the program itself: SyntaxError"),
        ("```python\ndef plus(a, b):\n    return a + b\n```", "case 1: "),
    ],
)
def test_what_goes_wrong_in_the_sandbox_is_the_reason(program: str, why: str) -> None:
    row, _ = written([program], [CASES], programs=1)
    assert row.error.startswith("executed: ") and why in row.error


def test_a_right_and_a_wrong_program_are_a_pair_that_execution_labels() -> None:
    row, _ = written([BAD, GOOD], [CASES])
    assert not row.error and row.form == "preference" and "a + b" in row.text
    pair = row.more["pair"]
    assert pair["by"] == "truth" and "a + b" in pair["chosen"] and "a - b" in pair["rejected"]
    assert row.more["faults"] == ["case 1: -1, not 3"]


def test_disputed_calls_decide_nothing() -> None:
    other = [{"args": [1, 2], "expected": 4}, *CASES[1:], {"args": [2, 2], "expected": 4}]
    row, _ = written([GOOD], [CASES, other])
    assert not row.error and row.more["disputed"] == 1 and len(row.more["cases"]) == 3


@pytest.mark.parametrize(
    ("cases", "why"),
    [
        ([CASES[:2]], "tests: 2 calls to test it, wanted are 3"),
        ([[{"args": [n, -n], "expected": 0} for n in range(4)]], "tests: all calls expect the same value"),
        ([[{"args": [1], "expected": 1}]], "tests: case 1 has 1 arguments, the function takes 2"),
        ([[{"args": [1, 2]}]], "tests: cases.0.expected: "),
        (["none"], "tests: cases: "),
    ],
)
def test_tests_that_are_none_reject_the_row(cases: list[Any], why: str) -> None:
    row, _ = written([GOOD], cases)
    assert row.error.startswith(why)


@pytest.mark.parametrize(
    ("task", "why"),
    [
        (TASK | {"entry_point": "os.system"}, "task: 'os.system' is no name in Python"),
        (TASK | {"entry_point": "class"}, "task: 'class' is no name in Python"),
        (TASK | {"parameters": ["a", "a"]}, "task: two of its parameters have one name"),
        ({"description": "Return the sum of a and b."}, "task: entry_point: "),
        ("nothing", "task: there is no JSON in it"),
    ],
)
def test_a_task_that_is_none_rejects_the_row(task: Any, why: str) -> None:
    row, _ = written([GOOD], [CASES], task=task)
    assert row.error.startswith(why)


def test_calls_are_the_same_by_value_but_not_across_types() -> None:
    def sets(*expected: Any) -> list[Cases]:
        return [Cases(cases=(Case(args=[1], expected=each),)) for each in expected]

    assert undisputed(sets(1, 1), 1).disputed == 0 and undisputed(sets(1, True), 1).disputed == 1


def test_a_docstring_stands_for_the_description() -> None:
    program = "def add(a, b):\n    return a + b"
    row, _ = written([f'```python\n"""Sums."""\n\n{program}\n```'], [CASES])
    assert row.text == f'"""Sums."""\n\n{program}'

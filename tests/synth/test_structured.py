from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from orionlm.synth.desk import Ask, Reply
from orionlm.synth.structured import (
    Strings,
    Unreadable,
    from_json,
    listed,
    marked_lines,
    same_words,
    stands_in,
    structured,
    yes_or_no,
)
from synth.scripted_teacher import Scripted, desk_of, said

ASK = Ask([{"role": "user", "content": "please"}])


class Point(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    x: int
    y: float = Field(ge=0)


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1, "y": 2}',
        'Here it is:\n```json\n{"x": 1, "y": 2.0}\n```\nI hope [it] helps {you}.',
        'As in [1], {"x": 1, "y": 2} it is.',
        '{"x": 1, "y": 2} and once more {"x": 1, "y": 2}',
    ],
)
def test_json_is_found_in_what_stands_around_it(text: str) -> None:
    assert from_json(text, Point) == Point(x=1, y=2)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("no", "there is no JSON"),
        ('{"x": "1", "y": 2}', "x: "),
        ('{"x": 1}', "y: field required"),
        ('{"x": 1, "y": -2}', "y: "),
        ('{"x": 1, "y": NaN}', "y: "),
        ('{"x": 1, "y": 1e999}', "y: "),
        ('{"x": 1, "y": 2, "z": 3}', "z: "),
        ('{"x": 1, "y": 2', "its JSON is broken"),
        ('{"x": 1, "x": 2, "y": 2}', "a key stands twice"),
        ('{"x": 1, "y": 2} or {"x": 1, "y": 3}', "2 different JSON values"),
        ("{'x': 1, 'y': 2}", "there is no JSON"),
        ('[{"x": 1, "y": 2}, {"x": 1, "y": ]', "its JSON is broken"),
        ("[" * 100_000, "its JSON is broken"),
    ],
)
def test_json_that_is_not_what_was_asked_for_is_never_guessed(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        from_json(text, Point)


@given(st.lists(st.text(max_size=20), max_size=5), st.integers(0, 60))
def test_a_list_comes_back_whole_or_not_at_all(items: list[str], cut: int) -> None:
    text = json.dumps(items)
    assert from_json(text, Strings).root == items
    with contextlib.suppress(Unreadable):
        assert from_json(text[: min(cut, len(text) - 1)], Strings).root == items


def ask_for_point(*answers: str | Reply, repairs: int = 1) -> tuple[Any, Scripted]:
    left = list(answers)
    teacher = Scripted(lambda prompt, ask: left.pop(0))
    return asyncio.run(structured(desk_of(teacher), ASK, Point, repairs=repairs)), teacher


def test_what_cannot_be_read_goes_back_with_its_reason() -> None:
    found, teacher = ask_for_point("x is 1", '{"x": 1, "y": 2}')
    assert found.value == Point(x=1, y=2) and found.repairs == 1 and not found.error
    first, answer, mend = teacher.asked[1].prompt
    assert first["content"] == "please" and answer == {"role": "assistant", "content": "x is 1"}
    assert "there is no JSON in it" in mend["content"]


def test_repair_is_bounded_and_what_stays_unreadable_is_rejected_with_the_last_reason() -> None:
    found, teacher = ask_for_point("a", "b", '{"x": 1}', repairs=2)
    assert found.value is None and found.error == "y: field required" and len(teacher.asked) == 3


def test_a_cut_answer_is_not_read_even_where_its_json_is_whole() -> None:
    found, _ = ask_for_point(said('{"x": 1, "y": 2}', finish="length"), repairs=0)
    assert found.value is None and "cut" in found.error


def test_no_answer_is_not_repaired() -> None:
    found, teacher = ask_for_point(Reply(error="HTTP 400"), '{"x": 1, "y": 2}')
    assert found.value is None and found.error == "no answer: HTTP 400" and len(teacher.asked) == 1


@pytest.mark.parametrize(
    ("element", "text", "stands"),
    [
        ("Linear algebra", "1. **Linear  Algebra**\n2. Calculus", True),
        ("art", "1. The heart", False),
        ("C++", "- C#\n- C", False),
        ("C#", "- C#\n- C", True),
        ("what’s time?", "1. What's time?", True),
        ("Algebra and geometry", "1. Algebra\n2. Geometry", False),
        ("", "anything", False),
        ("***", "anything", False),
    ],
)
def test_an_element_must_stand_in_its_text(element: str, text: str, stands: bool) -> None:
    assert stands_in(element, text) is stands


def test_a_list_is_parsed_in_a_second_step_and_what_its_text_lacks_is_hallucinated() -> None:
    def script(prompt: str, ask: Ask) -> str:
        if "JSON list" in prompt:
            assert ask.temperature == 0 and "2. Cooking at home" in prompt
            return '["Gardening", "cooking at home", "2. Cooking at home", "Quantum gravity"]'
        return "Of course:\n1. Gardening\n2. Cooking at home\n"

    found = asyncio.run(listed(desk_of(script), ASK))
    assert found.items == ("Gardening", "cooking at home") and not found.error
    assert found.hallucinated == ("Quantum gravity",) and found.duplicates == ("Cooking at home",)


def test_a_list_whose_second_step_fails_is_rejected() -> None:
    found = asyncio.run(listed(desk_of(lambda prompt, ask: "1. Gardening"), ASK))
    assert found.items == () and found.error == "there is no JSON in it"


def test_a_strict_list_has_marked_lines_alone() -> None:
    assert marked_lines("1. a\n2) b\n\n") == ["a", "b"]
    assert marked_lines("- a\n* b") == ["a", "b"]
    for text in ("Here:\n1. a", "1. a\n3. b", "1. a\n- b", ""):
        with pytest.raises(Unreadable):
            marked_lines(text)


def test_of_a_strict_list_that_was_cut_the_last_line_goes() -> None:
    found = asyncio.run(
        listed(desk_of(lambda prompt, ask: said("1. a\n2. b\n3. a lo", finish="length")), ASK, how="strict")
    )
    assert found.items == ("a", "b")
    found = asyncio.run(listed(desk_of(lambda prompt, ask: said("1. a lo", finish="length")), ASK, how="strict"))
    assert found.items == () and "cut" in found.error


@pytest.mark.parametrize(("text", "answer"), [("Yes", True), (" **no**.", False), ("Yes, it does.\nNo doubt.", True)])
def test_a_classifier_says_yes_or_no(text: str, answer: bool) -> None:
    assert yes_or_no(text) is answer


@pytest.mark.parametrize("text", ["", "Maybe", "Yes or no", "It is: yes", "I know", "Noon"])
def test_a_classifier_that_says_neither_is_not_understood(text: str) -> None:
    with pytest.raises(Unreadable):
        yes_or_no(text)


def test_duplicates_differ_in_case_and_marks_at_most() -> None:
    assert same_words("What is  Time?") == same_words("what is time") != same_words("what is a time")

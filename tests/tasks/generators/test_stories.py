from __future__ import annotations

import re
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.tasks.generators.stories import FAMILY, FEWER, Difficulty, solve


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 5))
def test_what_is_drawn_is_solved_and_nobody_has_fewer_than_none(seed, digits, changes):
    draw = FAMILY.begin(Difficulty(digits=digits, changes=changes), Random(seed))
    for _ in range(20):
        question = draw()
        assert solve(question.text) == question.answer >= 0
        numbers = [int(number) for number in re.findall(r"\d+", question.text)]
        assert len(numbers) == 1 + changes and all(number < 10**digits for number in numbers)


def test_things_come_and_go():
    assert solve("Ada has 9 cups. Ada buys 3. Ada sells 2. How many cups are left?") == 10
    assert {verb for verb in FEWER if solve(f"Ada has 9 cups. Ada {verb} 2. How many cups are left?") == 7} == set(
        FEWER
    )


@pytest.mark.parametrize(
    "text",
    [
        "Ada has 9 cups. How many cups are left?",
        "Ada has 9 cups. Ben buys 3. How many cups are left?",
        "Ada has 9 cups. Ada buys 3. How many eggs are left?",
        "Ada has 9 cups. Ada paints 3. How many cups are left?",
        "Ada has 09 cups. Ada buys 3. How many cups are left?",
        "Ada has 2 cups. Ada sells 3. Ada buys 9. How many cups are left?",
        "Ada has 9 cups. Ada buys 3. How many cups are left? 12",
        "Ada has 9 cups. Ada buys 9999999999999. How many cups are left?",
        "",
    ],
)
def test_what_is_no_story_has_no_answer(text):
    assert solve(text) is None

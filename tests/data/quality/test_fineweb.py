from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .asked import reason, verdict


def line(number: int, end: str = "") -> str:
    return f"line {number:03d} has words enough that it is not a short one" + end


def test_prose_is_kept():
    assert reason("fineweb", "\n".join(line(number, ".") for number in range(20))) == ""


@pytest.mark.parametrize(("ended", "expected"), [(12, "few lines end a sentence"), (13, "")])
def test_more_than_twelve_lines_in_a_hundred_end_a_sentence(ended, expected):
    lines = [line(number, "." if number < ended else "") for number in range(100)]
    assert reason("fineweb", "\n".join(lines)) == expected


@pytest.mark.parametrize(("short", "expected"), [(66, ""), (67, "mostly short lines")])
def test_fewer_than_67_lines_in_a_hundred_have_at_most_thirty_characters(short, expected):
    lines = [f"{number:029d}." if number < short else line(number, ".") for number in range(100)]
    assert reason("fineweb", "\n".join(lines), max_newlines_per_word=9.0) == expected


@pytest.mark.parametrize(("again", "expected"), [(9, ""), (10, "duplicate line characters")])
def test_less_than_one_character_in_a_hundred_stands_in_a_line_that_came_before(again, expected):
    repeated = "x" * (again - 1) + "."
    rest = [f"{number:03d}" + "y" * 95 + "z." for number in range(10)]
    rest[0] = rest[0][: -2 * again]  # 1,000 characters in all
    assert reason("fineweb", "\n".join([repeated, repeated, *rest]), max_newlines_per_word=9.0) == expected


def test_the_papers_other_threshold_can_be_set():
    text = "\n".join([line(0, ".")] * 2 + [line(number, ".") for number in range(1, 19)])
    assert reason("fineweb", text) == "duplicate line characters"
    assert reason("fineweb", text, max_duplicate_characters=0.1) == ""


def test_at_most_three_newlines_for_ten_words():
    text = "\n".join(f"aword{number} anotherword{number} " + "x" * 30 + "." for number in range(30))
    assert reason("fineweb", text) == "too many newlines"
    assert reason("fineweb", text, max_newlines_per_word=float("inf")) == ""


def test_hard_wrapped_paragraphs_can_be_judged_whole():
    wrapped = "\n\n".join("\n".join([line(10 * at + by) for by in range(9)] + ["the end."]) for at in range(5))
    assert reason("fineweb", wrapped) == "few lines end a sentence"
    assert reason("fineweb", wrapped, unit="paragraph") == ""


def test_code_is_left_alone_unless_asked():
    assert reason("fineweb", " ", domain="code") == ""
    assert reason("fineweb", " ", domain="code", exempt=()) == "nothing but white space"


@given(st.text(), st.sampled_from(["line", "paragraph"]))
def test_any_text_gets_a_verdict(text, unit):
    found = verdict("fineweb", text, unit=unit)
    assert found.text is None and (not found.detail or found.reason)

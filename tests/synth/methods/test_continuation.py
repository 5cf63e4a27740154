from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.synth.desk import Desk, Reply, Seed
from orionlm.synth.methods.continuation import Settings, beginning, whole_lines
from synth.methods.writing import written

SEEDS = [
    Seed(f"doc{n}", f"Mill {n} was built by a family of nine\nwho ground rye for it.\n" * 12, "MIT") for n in range(30)
]


@given(st.text(alphabet="abc \n", max_size=300), st.integers(0, 50), st.booleans())
def test_a_beginning_is_half_of_its_text_at_most_and_ends_with_a_word(text: str, draw: int, anywhere: bool) -> None:
    settings = Settings(beginning=(5, 80), anywhere=anywhere)
    shown = beginning(Seed(str(draw), text), settings, Desk({}, draw, "continuation"))
    begun = text.lstrip("\n")
    assert len(shown) <= min(80, len(begun) // 2) and shown == shown.rstrip()
    assert anywhere or begun.startswith(shown)
    if anywhere and shown:
        place = ("\n" + begun).find("\n" + shown)
        assert place >= 0
    after = begun[begun.find(shown) + len(shown) :][:1] if shown and not anywhere else ""
    if after and " " in shown:
        assert after.isspace()


def test_beginnings_differ_in_length_and_come_from_other_lines_where_asked() -> None:
    rows, teacher = written("continuation", SEEDS, lambda ask: "\nand more.", beginning=(10, 120))
    assert len({len(row.seed_text) for row in rows}) > 10
    assert all(isinstance(ask.prompt, str) for ask in teacher.asked)  # a text to be continued, no chat
    rows, _ = written("continuation", SEEDS, lambda ask: "\nand more.", beginning=(10, 120), anywhere=True)
    assert {row.seed_text[:4] for row in rows} == {"Mill", "who "}


def test_the_row_is_the_answer_with_or_without_its_beginning() -> None:
    for keep in (True, False):
        rows, _ = written("continuation", SEEDS[:3], lambda ask: " in the valley\nof salt.\n", keep_beginning=keep)
        for row in rows:
            assert row.response == " in the valley\nof salt.\n" and row.error == ""
            assert row.text == (row.seed_text if keep else "") + row.response


def test_what_was_cut_loses_its_last_line_or_goes_as_asked() -> None:
    def says(ask: object) -> Reply:
        return Reply("a whole line\nhalf a li", finish="length", tokens=5)

    for unfinished, text in (("keep", "a whole line\nhalf a li"), ("trim", "a whole line\n")):
        rows, _ = written("continuation", SEEDS[:1], says, unfinished=unfinished, keep_beginning=False)
        assert (rows[0].text, rows[0].error) == (text, "")
    rows, _ = written("continuation", SEEDS[:1], says, unfinished="reject")
    assert rows[0].error == "cut: the answer was cut at its longest"
    assert whole_lines("One. Two. Thr") == "One. Two." and whole_lines("no end") == "no end"


def test_equal_beginnings_are_asked_as_samples_of_their_own() -> None:
    same = [Seed(f"doc{n}", SEEDS[0].text) for n in range(20)]
    _, teacher = written("continuation", same, lambda ask: "x", beginning=(30, 30))
    assert len({ask.prompt for ask in teacher.asked}) == 1 and len({ask.sample for ask in teacher.asked}) > 15


def test_a_memory_of_the_document_is_no_new_text() -> None:
    rows, _ = written("continuation", SEEDS[:1], lambda ask: SEEDS[0].text[len(ask.prompt) : 300])
    assert rows[0].error == "copy: the answer stands in its seed, word for word"


def test_a_range_that_is_none_is_refused() -> None:
    for wrong in ((0, 5), (9, 4)):
        with pytest.raises(ValidationError, match="give the fewest, at least 1, and the most"):
            Settings(beginning=wrong)

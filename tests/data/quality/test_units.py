from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.quality import units

blank = st.text(alphabet="a \n\t\rb", max_size=40)


@given(blank)
def test_lines_and_paragraphs_hold_something_and_nothing_around_it(text):
    for found in (list(units.lines(text)), list(units.paragraphs(text))):
        assert all(one and one == one.strip() for one in found)
        assert "".join("".join(found).split()) == "".join(text.split())
    assert not any("\n" in line for line in units.lines(text))


@pytest.mark.parametrize("unit", ["line", "paragraph"])
@given(text=blank)
def test_very_long_texts_are_taken_apart_alike(unit, text):
    whole, length = list(units.units(text, unit)), units.JUDGED
    try:
        units.JUDGED = 0
        assert list(units.units(text, unit)) == whole
    finally:
        units.JUDGED = length


def test_ratios_are_taken_from_the_beginning_of_a_very_long_text():
    text = "a" * units.JUDGED + "b"
    assert units.judged(text) == text[:-1]
    assert units.judged(text[:100]) == text[:100]

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.synth.reward.best_of_n import Reward, best, worst
from orionlm.synth.reward.scores import Scored


def of(helpfulness: float, verbosity: float = 1.0) -> Scored:
    return Scored({"helpfulness": helpfulness, "verbosity": verbosity})


@given(st.lists(st.one_of(st.none(), st.floats(0, 4)), max_size=8))
def test_the_best_is_the_most_helpful_and_never_one_without_a_score(marks: list[float | None]) -> None:
    scores = [Scored(error="nan") if mark is None else of(mark) for mark in marks]
    able = [mark for mark in marks if mark is not None]
    place = best(scores)
    assert (place is None) == (not able)
    if place is not None:
        assert marks[place] == max(able) and marks[worst(scores) or 0] is not None


def test_of_equals_the_shorter_and_then_the_first_is_best() -> None:
    assert best([of(3, 2), of(3, 1), of(3, 1)]) == 1 and worst([of(3, 2), of(3, 1), of(3, 1)]) == 0
    assert best([of(3), of(3)]) == 0 and worst([of(3), of(3)]) == 1


def test_settings_that_leave_nothing_to_rank_by_are_refused() -> None:
    with pytest.raises(ValidationError, match="helpfulness must be among"):
        Reward(attributes=("correctness",))
    with pytest.raises(ValidationError, match="low must be below high"):
        Reward(low=4, high=4)

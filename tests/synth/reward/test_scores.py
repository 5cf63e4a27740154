from __future__ import annotations

import math
from typing import Any

import pytest

from orionlm.synth.reward.scores import ATTRIBUTES, scored

GOOD = {"helpfulness": 3, "correctness": 4, "coherence": 4.0, "complexity": 1, "verbosity": 0}


def test_five_attributes_within_bounds_are_a_score() -> None:
    assert scored(GOOD).values == GOOD and tuple(scored(GOOD).values) == ATTRIBUTES


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (math.nan, "helpfulness = nan is not finite"),
        (math.inf, "helpfulness = inf is not finite"),
        (-math.inf, "helpfulness = -inf is not finite"),
        (None, "helpfulness is missing"),
        (4.01, "helpfulness = 4.01 is outside 0 to 4"),
        (-1, "helpfulness = -1 is outside 0 to 4"),
        ("3", "helpfulness = '3' is no number"),
        (True, "helpfulness = 'True' is no number"),
        (10**400, "helpfulness"),
    ],
)
def test_one_bad_attribute_leaves_the_answer_unscored(value: Any, why: str) -> None:
    found = scored(GOOD | {"helpfulness": value})
    assert found.error.startswith(why) and not found.values


@pytest.mark.parametrize("given", [None, 3, [], {}])
def test_what_holds_no_attributes_is_unscored(given: Any) -> None:
    assert scored(given).error == "helpfulness is missing"


def test_another_scale_is_brought_to_ours() -> None:
    assert scored({"helpfulness": 5.0}, ["helpfulness"], 1, 5).helpfulness == 4
    assert scored({"helpfulness": -1.0}, ["helpfulness"], -3, 5).helpfulness == 1

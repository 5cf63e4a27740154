from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.gate.verdict import Measure, judged, more_often, overall, ranks_higher


def measure(fault: str, verdict: str, size: float = 0.5) -> Measure:
    return Measure(fault, fault, 0.0, 0.0, 0.0, 0.1, verdict, size)  # type: ignore[arg-type]


def test_an_interval_within_the_margin_passes_beyond_it_fails_and_across_it_cannot_be_told():
    told = [
        judged("x", "f", *ends, 0.1, n=(200, 200)).verdict for ends in ((0, -1, 0.1), (0.3, 0.2, 0.4), (0.1, 0, 0.2))
    ]
    assert told == ["passes", "fails", "cannot tell"]


def test_a_number_that_is_none_cannot_be_told():
    nan = float("nan")
    assert judged("x", "f", nan, nan, nan, 0.1, n=(500, 500)).verdict == "cannot tell"
    assert judged("x", "f", 0, 0, 0, 0.1, n=(500, 99)).verdict == "cannot tell"


def test_cannot_tell_never_passes_and_one_failure_decides():
    assert overall([measure("a", "passes"), measure("b", "passes")]) == ("admitted", [])
    assert overall([measure("a", "passes"), measure("b", "cannot tell")])[0] == "cannot tell"
    assert overall([measure("a", "fails"), measure("b", "cannot tell")]) == ("rejected", ["a"])
    assert overall([])[0] == "cannot tell"


def test_of_equally_bad_faults_what_explains_the_other_is_named_first():
    told = [measure("length shift", "fails"), measure("topic drift", "fails"), measure("evaluation leakage", "fails")]
    assert overall(told)[1] == ["evaluation leakage", "topic drift", "length shift"]
    worse = [measure("length shift", "fails", 0.9), measure("markup residue", "fails", 0.2)]
    assert overall(worse)[1][0] == "length shift"


def test_newcombe_s_interval_is_the_published_one():
    """Newcombe 1998, table II: 56/70 − 48/80 is .2, 95% by method 10 .0524 to .3339; here it is at 90%."""
    found = more_often("x", "f", np.arange(70) < 56, np.arange(80) < 48, 0.5)
    assert found.value == pytest.approx(0.2)
    assert 0.0524 < found.low < 0.09 and 0.29 < found.high < 0.3339


@pytest.mark.parametrize("shift", [0.0, 0.5])
def test_nine_in_ten_intervals_of_a_rank_difference_hold_it(shift):
    from scipy.stats import norm

    truth = 2 * norm.cdf(shift / np.sqrt(2)) - 1
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        found = ranks_higher("x", "f", rng.normal(shift, 1, 150), rng.normal(0, 1, 150), 0.3)
        held += found.low <= truth <= found.high
    assert 0.86 <= held / 400 <= 0.94


@pytest.mark.parametrize("by", ["rank", "share"])
def test_texts_of_one_document_count_as_the_few_that_they_are(by):
    """60 documents of eight alike texts a side: without their documents the intervals are far too narrow."""
    rng, held = np.random.default_rng(4), {True: 0, False: 0}
    groups = np.repeat(np.arange(60), 8)
    for _ in range(300):
        sides = [np.repeat(rng.normal(0, 1, 60), 8) + rng.normal(0, 0.5, 480) for _ in range(2)]
        for told in held:
            owners = (groups, groups) if told else None
            if by == "rank":
                found = ranks_higher("x", "f", *sides, 0.3, owners=owners)
            else:
                found = more_often("x", "f", sides[0] > 0.5, sides[1] > 0.5, 0.3, owners=owners)
            held[told] += found.low <= 0 <= found.high
    assert held[True] / 300 >= 0.84 and held[False] / 300 < 0.6


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0, float("nan")]), max_size=12), st.lists(st.floats(-2, 2), max_size=12))
def test_ranks_stay_between_minus_one_and_one_whatever_the_values(rows, real):
    found = ranks_higher("x", "f", np.array(rows), np.array(real), 0.3, two_sided=True)
    assert not found.value > 1 and not found.value < 0
    assert found.verdict == "cannot tell"

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.measures.estimate import Estimate, around, difference, jackknifed, mean_of, of_share, unknown


def test_a_mean_has_students_interval_and_leaves_out_what_is_no_number():
    found = mean_of(np.array([1, 2, 3, math.nan, math.inf]))
    assert (found.value, found.n) == (2, 3)
    assert found.high - found.value == pytest.approx(2.919986 / math.sqrt(3), rel=1e-6)


def test_one_row_or_none_has_no_interval_and_passes_no_comparison():
    for found in (mean_of(np.zeros(0)), mean_of(np.ones(1)), unknown(0)):
        assert not found.known and not found.low > 0 and not found.high < 9


def test_a_share_without_a_miss_is_not_a_certainty():
    """Wilson's: 10 of 10 is at least .7871."""
    assert of_share(1.0, 0.0, 10).low == pytest.approx(0.7871, abs=1e-4) and of_share(1.0, 0.0, 10).high == 1
    assert of_share(0.5, math.sqrt(0.25 / 100), 100).low == pytest.approx(0.4188, abs=1e-4)


@given(st.floats(0, 1), st.floats(0, 0.3), st.integers(1, 1000))
def test_an_interval_holds_its_value(share, error, n):
    for found in (of_share(share, error, n), around(share, error, n, 0, 1)):
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_a_difference_adds_the_distances_to_the_ends():
    found = difference(Estimate(5, 2, 9, 10), Estimate(1, 0, 5, 7))
    assert found == Estimate(4, 4 - math.hypot(3, 4), 4 + math.hypot(4, 1), 7)


def test_the_jackknife_of_a_mean_is_its_standard_error():
    x = np.random.default_rng(0).standard_normal(30)
    without = (x.sum() - x) / 29
    found, plain = jackknifed(x.mean(), without, 30), mean_of(x)
    assert (found.low, found.high) == pytest.approx((plain.low, plain.high))

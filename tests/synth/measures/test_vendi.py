import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.measures.vendi import vendi, vendi_of


@given(st.integers(1, 12))
def test_rows_with_nothing_in_common_count_each_and_copies_count_once(n):
    assert vendi_of(np.eye(n)) == pytest.approx(n)
    assert vendi_of(np.ones((n, n))) == pytest.approx(1)


def test_two_rows_have_the_closed_form():
    """Eigenvalues (1 ± s)/2."""
    s = 0.6
    exact = math.exp(-sum(each * math.log(each) for each in (0.8, 0.2)))
    assert vendi_of(np.array([[1, s], [s, 1]])) == pytest.approx(exact)
    assert vendi(np.array([[1, 0], [0.6, 0.8]])).value == pytest.approx(exact)


def test_groups_of_copies_give_the_entropy_of_their_sizes():
    rows = np.eye(3)[[0] * 6 + [1] * 3 + [2]]
    shares = np.array([0.6, 0.3, 0.1])
    assert vendi(rows).value == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))


def test_rows_give_what_their_kernel_gives_at_any_length():
    x = np.random.default_rng(0).standard_normal((40, 6))
    unit = x / np.linalg.norm(x, axis=1, keepdims=True)
    assert vendi(x * 3).value == pytest.approx(vendi_of(unit @ unit.T))


def test_the_interval_covers_the_truth():
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.15, 0.05])
    truth = np.exp(-(shares * np.log(shares)).sum())
    found = [vendi(np.eye(4)[rng.choice(4, 300, p=shares)]) for _ in range(200)]
    assert 170 <= sum(each.low <= truth <= each.high for each in found) <= 192


def test_empty_texts_are_alike():
    assert vendi(np.zeros((9, 3))).value == pytest.approx(1)
    assert vendi(np.vstack([np.zeros((5, 2)), np.tile([1.0, 0.0], (5, 1))])).value == pytest.approx(2)


def test_too_few_rows_have_no_value():
    assert not vendi(np.zeros((0, 3))).known and not vendi(np.ones((1, 3))).known
    assert math.isnan(vendi_of(np.zeros((0, 0)))) and math.isnan(vendi_of(np.full((2, 2), np.nan)))
    assert not vendi(np.full((4, 2), np.nan)).known

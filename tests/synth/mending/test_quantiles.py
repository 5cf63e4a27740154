import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from orionlm.synth.mending.quantiles import match

NUMBERS = st.lists(st.one_of(st.integers(0, 9), st.floats(0, 100), st.just(float("nan"))), max_size=60)


def test_lengths_are_drawn_to_the_targets_quantiles():
    rng = np.random.default_rng(0)
    target, values = rng.lognormal(5, 0.6, 2000), rng.lognormal(5.4, 0.9, 5000)
    kept = match(values, target).rows
    assert ks_2samp(values, target).statistic > 0.2
    assert ks_2samp(values[kept], target).statistic < 0.06
    assert len(kept) > 1500
    held_out = rng.lognormal(5, 0.6, 2000)
    assert ks_2samp(values[kept], held_out).statistic < 0.08


def test_what_matches_already_loses_few_rows():
    rng = np.random.default_rng(0)
    assert len(match(rng.normal(size=4000), rng.normal(size=2000)).rows) > 3300


def test_a_value_that_most_targets_share_keeps_its_share():
    target = np.array([50.0] * 600 + list(range(400)))
    values = np.array([50.0] * 1000 + list(np.linspace(0, 399, 4000)))
    kept = values[match(values, target).rows]
    assert (kept == 50).mean() == pytest.approx(0.6, abs=0.05)


def test_what_lies_beyond_the_target_or_is_no_number_goes():
    target = np.linspace(10, 20, 200)
    values = np.array([5.0, 25.0, np.nan, np.inf, 12.0, 15.0, 19.0] * 30)
    assert set(values[match(values, target).rows].tolist()) == {12.0, 15.0, 19.0}


def test_no_more_than_asked_stay_and_they_match_better():
    rng = np.random.default_rng(0)
    kept = match(rng.normal(0.5, 1, 3000), rng.normal(size=1000), keep=300)
    assert 285 <= len(kept.rows) <= 300


@given(NUMBERS, NUMBERS, st.integers(0, 3))
def test_rows_come_once_each_and_the_same_for_the_same_seed(values, target, seed):
    kept = match(values, target, seed=seed).rows
    assert len(set(kept.tolist())) == len(kept) and (np.diff(kept) > 0).all() and set(kept) <= set(range(len(values)))
    assert np.array_equal(kept, match(values, target, seed=seed).rows)


def test_few_real_rows_change_nothing_and_say_so():
    kept = match([1.0, 2.0, np.nan], [1.0] * 5)
    assert kept.rows.tolist() == [0, 1, 2] and "5 real rows are too few" in kept.says

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.test_time import coverage, fit_coverage, inference_for_training, rl_reward, sampling_flops

K = np.array([1, 4, 16, 64, 256])


def test_the_trade_of_training_for_inference():
    assert inference_for_training(1) == (1, 2) and inference_for_training(2) == (2, 3)
    assert inference_for_training(3, cheap_verification=True) == (5, 6) and inference_for_training(0) == (0, 0)
    with pytest.raises(UserError, match="cheap to verify"):
        inference_for_training(3)
    with pytest.raises(UserError):
        inference_for_training(5, cheap_verification=True)


@given(st.floats(-5, -0.01), st.floats(-1, -0.05), st.floats(1, 1e6))
def test_coverage_is_a_probability_that_rises_with_samples(a, b, k):
    assert 0 <= float(coverage(k, a, b)) <= float(coverage(2 * k, a, b)) <= 1


def test_a_fit_recovers_the_law_and_forecasts_more_samples():
    fit = fit_coverage(K, coverage(K, -2, -0.4), questions=10**6)
    assert fit.a == pytest.approx(-2, rel=1e-3) and fit.b == pytest.approx(-0.4, rel=1e-3)
    assert fit.predict(1024)[0] == pytest.approx(float(np.exp(-2 * 1024**-0.4)), rel=1e-3)


def test_its_interval_holds_measured_shares_and_narrows_with_questions():
    rng, held = np.random.default_rng(0), 0
    truth = float(coverage(1024, -2, -0.4))
    for seed in range(100):
        solved = rng.random(200)  # one difficulty a question, shared by every number of samples
        share = [(solved < coverage(k, -2, -0.4)).mean() for k in K]
        _, low, high = fit_coverage(K, share, 200, seed=seed).predict(1024)
        held += low <= truth <= high
    assert held >= 75
    few, many = (np.diff(fit_coverage(K, coverage(K, -2, -0.4), q).predict(1024)[1:])[0] for q in (50, 5000))
    assert many < few / 5


def test_a_reading_of_the_prompt_is_paid_once():
    assert sampling_flops(1e9, 10, 100, 500) == 2e9 * (500 + 1000)


def test_reinforcement_starts_where_it_starts_and_is_half_way_at_the_middle():
    assert float(rl_reward(1e22, 0.2, 0.8, 1e22, 1.5)) == pytest.approx(0.5)
    assert float(rl_reward(1e10, 0.2, 0.8, 1e22, 1.5)) == pytest.approx(0.2)


@pytest.mark.parametrize(
    "ask",
    [
        lambda: fit_coverage([1, 2], [0.1, 0.2], 100),
        lambda: fit_coverage(K, [0.1, 0.2, 0.3, 0.4, 1.5], 100),
        lambda: fit_coverage(K, [0.0] * 5, 100),
        lambda: fit_coverage(K, [0.5, 0.4, 0.3, 0.2, 0.1], 100),
        lambda: fit_coverage(K, coverage(K, -2, -0.4), 0),
        lambda: fit_coverage(K, coverage(K, -2, -0.4), 100).predict(1e6),
        lambda: sampling_flops(0, 1, 1),
        lambda: sampling_flops(1, 1, 1, -1),
        lambda: rl_reward(1e20, 0, 1, -1, 1),
    ],
)
def test_absurd_or_far_questions_are_refused(ask):
    with pytest.raises(UserError):
        ask()

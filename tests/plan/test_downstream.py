from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.plan.downstream import fit_accuracy

LOSS = np.linspace(2.2, 3.2, 12)


def true_score(loss, chance=0.25):
    return chance + 0.6 / (1 + np.exp(8 * (np.asarray(loss) - 2.6)))


def points(noise, seed=0):
    return np.clip(true_score(LOSS) + noise * np.random.default_rng(seed).standard_normal(len(LOSS)), 0, 1)


def test_a_clean_sigmoid_is_found_and_called_predictable():
    fit = fit_accuracy(LOSS, points(0.005), chance=0.25)
    assert fit.verdict == "yes" and not fit.warnings
    assert np.abs(fit.predict(LOSS) - true_score(LOSS)).max() < 0.02


def test_forecasts_hold_the_truth_a_little_past_the_points_and_widen_with_the_loss_interval():
    inside, wide = 0, []
    for seed in range(20):
        fit = fit_accuracy(LOSS, points(0.01, seed), chance=0.25, bootstrap=200)
        middle, low, high = fit.forecast(2.0, 1.97, 2.03)
        inside += low <= float(true_score(2.0)) <= high
        wide.append((high - low, np.diff(fit.forecast(2.4)[1:])[0], np.diff(fit.forecast(2.4, 2.3, 2.5)[1:])[0]))
    assert inside >= 15
    assert np.mean([b < c for _, b, c in wide]) == 1


def test_a_task_that_does_not_follow_its_loss_is_said_not_to():
    fit = fit_accuracy(LOSS, 0.5 + 0.1 * np.random.default_rng(3).standard_normal(12))
    assert fit.verdict == "no" and "39%" in fit.warnings[0]
    low, high = fit.forecast(2.5)[1:]
    assert high - low > 0.2


def test_a_task_at_chance_is_blind_and_one_at_its_top_saturated():
    assert "blind" in " ".join(fit_accuracy(LOSS, np.full(12, 0.25), chance=0.25).warnings)
    assert "saturated" in " ".join(fit_accuracy(LOSS, np.full(12, 0.99)).warnings)


def test_better_losses_never_score_worse():
    fit = fit_accuracy(LOSS, points(0.02), chance=0.25)
    assert (np.diff(fit.predict(np.linspace(1.8, 3.5, 50))) <= 1e-12).all()


@pytest.mark.parametrize(
    ("loss", "score", "chance"),
    [
        ([2.0, 2.1], [0.3, 0.2], 0.0),
        ([2.0] * 6, [0.3] * 6, 0.0),
        (LOSS, points(0) + 1, 0.0),
        (-LOSS, points(0), 0.0),
        (LOSS, points(0), 1.0),
        (LOSS, points(0)[:5], 0.0),
    ],
)
def test_tables_that_say_nothing_are_refused(loss, score, chance):
    with pytest.raises(UserError):
        fit_accuracy(loss, score, chance)


def test_a_loss_far_below_every_point_is_refused_unless_asked():
    fit = fit_accuracy(LOSS, points(0.01), chance=0.25, bootstrap=50)
    with pytest.raises(UserError, match="half"):
        fit.forecast(1.5)
    assert fit.forecast(1.5, extrapolate=True)[0] > 0.7
    with pytest.raises(UserError, match="interval"):
        fit.forecast(2.5, 2.6, 2.7)

import math

import numpy as np
import pytest

from orionlm.synth.measures.estimate import Estimate, unknown
from orionlm.synth.measures.two_sample import TwoSample, two_sample
from orionlm.synth.mending.density_ratio import reject, weights
from synth.measures.words import mixed


def found(probability, low=0.6):
    n = len(probability)
    auc = Estimate(0.7, low, 0.8, n)
    return TwoSample(auc, auc, np.asarray(probability, float), np.full(n, 0.5), n, n)


def test_a_weight_is_the_ratio_of_densities():
    """p_real = .3, p_synthetic = .1, 200 real and 600 synthetic rows: D = .3·200/(.3·200 + .1·600) = .5, w = 3."""
    assert weights(np.array([0.5]), 200, 600) == pytest.approx([3.0])
    assert weights(np.array([0.25, 1.0, 0.0]), 100, 100) == pytest.approx([1 / 3, math.inf, 0])


def test_rows_stay_in_proportion_to_their_weights():
    """D = .5 and .2: weights 1 and .25, and the ceiling is the larger."""
    n = 20_000
    kept = reject(found(np.where(np.arange(2 * n) < n, 0.5, 0.2)), seed=1).rows
    assert (kept < n).sum() == n
    assert (kept >= n).sum() == pytest.approx(n / 4, rel=0.05)


def test_where_the_classifier_cannot_tell_everything_stays():
    kept = reject(found([0.1, 0.9, 0.5], low=0.45))
    assert kept.rows.tolist() == [0, 1, 2] and "not credibly above .5" in kept.says
    few = TwoSample(unknown(3), unknown(3), np.full(3, math.nan), np.full(3, math.nan), 3, 3)
    assert len(reject(few).rows) == 3 and "too few" in reject(few).says


def test_rows_without_a_probability_go_and_certainties_are_capped():
    kept = reject(found([math.nan] + [0.5] * 98 + [1.0]), ceiling=0.9).rows
    assert kept.tolist() == list(range(1, 100))
    assert reject(found([1.0] * 5 + [0.5]), ceiling=0.5).rows.tolist() == [0, 1, 2, 3, 4]
    assert len(reject(found([0.0] * 5)).rows) == 5


def test_a_mixture_that_is_off_is_drawn_to_the_real_one():
    real, _ = mixed(800, (0.5, 0.5), 1)
    synthetic, topics = mixed(1600, (0.8, 0.2), 2)
    classifier = two_sample(real, synthetic)
    assert classifier.tells
    kept = reject(classifier, seed=1).rows
    assert (topics == "engine").mean() < 0.22
    assert 0.38 < (topics[kept] == "engine").mean() < 0.6

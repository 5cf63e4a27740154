"""Fréchet and MMD."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm

from orionlm.synth.measures.frechet import frechet, frechet_of
from orionlm.synth.measures.mmd import median_distance, mmd2

FEW = [np.zeros((0, 3)), np.zeros((1, 3))]
ODD = [np.zeros((2, 3)), np.ones((30, 3)), np.full((9, 3), np.nan)]


def test_frechet_of_normals_in_one_dimension_is_the_closed_form():
    """(μ₁ − μ₂)² + (σ₁ − σ₂)²."""
    assert frechet_of(np.array([1.0]), np.array([[4.0]]), np.array([3.0]), np.array([[9.0]])) == pytest.approx(5)


@settings(max_examples=20)
@given(st.integers(0, 1000))
def test_frechet_agrees_with_the_matrix_square_root(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.standard_normal((2, 5, 5))
    a, b = a @ a.T, b @ b.T
    means = rng.standard_normal((2, 5))
    exact = ((means[0] - means[1]) ** 2).sum() + np.trace(a + b - 2 * sqrtm(a @ b).real)
    assert frechet_of(means[0], a, means[1], b) == pytest.approx(exact, abs=1e-6)
    assert frechet_of(means[0], a, means[0], a) == pytest.approx(0, abs=1e-8)


def test_frechet_of_samples_nears_the_truth_and_its_interval_holds_repeats():
    rng = np.random.default_rng(0)
    found = [frechet(rng.standard_normal((400, 3)), rng.standard_normal((400, 3)) * 2 + 1, draws=50) for _ in range(30)]
    middle = np.mean([each.value for each in found])
    assert middle == pytest.approx(6, rel=0.05)  # 3·1 + 3·(2 − 1)²
    assert sum(each.low <= middle <= each.high for each in found) >= 26


def naive(x, y, sigma):
    def k(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / (2 * sigma**2))

    n, m = len(x), len(y)
    same_x, same_y = (k(a, a).sum() - len(a) for a in (x, y))
    return same_x / n / (n - 1) + same_y / m / (m - 1) - 2 * k(x, y).mean()


def test_mmd_is_the_unbiased_statistic_for_samples_of_any_size():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((700, 4)), rng.standard_normal((531, 4)) + 0.2
    assert mmd2(x, y, bandwidth=1.7).value == pytest.approx(naive(x, y, 1.7), abs=1e-12)


def test_mmd_of_normals_nears_the_closed_form():
    """Gaussian kernel, N(0, 1) against N(d, 1): 2s·(1 − e^{−d²/(2(σ² + 2))}), s = (σ²/(σ² + 2))^½."""
    rng = np.random.default_rng(0)
    found = mmd2(rng.standard_normal((4000, 1)), rng.standard_normal((4000, 1)) + 1, bandwidth=1.0)
    exact = 2 * np.sqrt(1 / 3) * (1 - np.exp(-1 / 6))
    assert found.low < exact < found.high and found.high - found.low < 0.05


def test_mmd_of_one_distribution_is_about_nothing_and_its_interval_is_never_too_narrow():
    rng = np.random.default_rng(0)
    found = [mmd2(*rng.standard_normal((2, 60, 3))) for _ in range(200)]
    values = np.array([each.value for each in found])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(200) and (values < 0).mean() > 0.3
    assert sum(each.low > 0 for each in found) <= 10


def test_the_median_distance_is_of_pairs():
    assert median_distance(np.array([[0.0], [1.0], [3.0]])) == 2
    assert median_distance(np.array([[0.0], [0.0], [0.0], [0.0], [2.0]])) == 2  # most are 0: those that are not
    assert median_distance(np.zeros((5, 2))) == 1


@pytest.mark.parametrize("measure", [mmd2, frechet])
def test_too_few_rows_have_no_value_and_odd_ones_raise_nothing(measure):
    for few in FEW:
        assert not measure(few, np.ones((5, 3))).known
    for odd in ODD:
        measure(odd, odd)
    assert measure(np.ones((30, 3)), np.ones((30, 3))).value == pytest.approx(0, abs=1e-9)

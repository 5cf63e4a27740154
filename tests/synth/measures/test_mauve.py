import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from scipy.special import gamma

from orionlm.synth.measures.mauve import curve_of, mauve, mauve_of

SHARES = st.lists(st.floats(0.01, 1), min_size=2, max_size=6)


def divergence(a, b):
    held = a > 0
    return float((a[held] * np.log(a[held] / b[held])).sum())


def published(p, q, c, points=100_001):
    """The area under equation 1's points, by trapezoids, with the axes' ends (1, 0) and (0, 1)."""
    p, q = np.array(p, float) / np.sum(p), np.array(q, float) / np.sum(q)
    curve = [(1.0, 0.0)]
    for share in np.linspace(1e-9, 1 - 1e-9, points):
        mixed = share * p + (1 - share) * q
        curve.append((math.exp(-c * divergence(q, mixed)), math.exp(-c * divergence(p, mixed))))
    x, y = np.array([*curve, (0.0, 1.0)]).T
    return float((-np.diff(x) * (y[1:] + y[:-1]) / 2).sum())


@given(SHARES, st.floats(0.1, 20))
def test_the_same_distribution_is_exactly_1_however_scaled(p, c):
    assert mauve_of(p, np.array(p) * 7, c) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("c", [0.5, 1, 2, 5, 10])
def test_distributions_that_share_nothing_have_the_beta_integral(c):
    """x = (1 − λ)^c, y = λ^c: ∫ y dx = c·B(c + 1, c)."""
    exact = gamma(c + 1) ** 2 / gamma(2 * c + 1)
    assert mauve_of([0.3, 0.7, 0, 0], [0, 0, 0.5, 0.5], c) == pytest.approx(exact, rel=1e-9)
    assert mauve_of([1, 0], [0, 1]) == pytest.approx(1 / 252, rel=1e-9)


@given(st.floats(1e-4, 1), st.floats(0.2, 20))
def test_where_a_share_is_each_sides_own_the_area_is_the_beta_integral_of_that_share(own, c):
    """P and Q agree but for mass a each: KL(Q‖R) = −a·ln(1 − λ), so the integral above with c·a for c."""
    exact = gamma(c * own + 1) ** 2 / gamma(2 * c * own + 1)
    assert mauve_of([1 - own, own, 0], [1 - own, 0, own], c) == pytest.approx(exact, abs=1e-6)


def test_a_distribution_inside_another_agrees_with_the_integral_in_closed_form():
    """P = (1, 0), Q = (1 − a, a): with m = 1 − λ, y = (1 − am)^c and x = ((1 − am)/(1 − a))^{c(1 − a)}·m^{ca}."""
    a, c = 0.4, 5.0

    def x(m):
        return ((1 - a * m) / (1 - a)) ** (c * (1 - a)) * m ** (c * a)

    def slope(m):
        return x(m) * (c * a / m - c * (1 - a) * a / (1 - a * m))

    exact = quad(lambda m: (1 - a * m) ** c * slope(m), 0, 1)[0]  # x is 0 at m = 0: nothing to the left of the curve
    assert mauve_of([1, 0], [1 - a, a], c) == pytest.approx(exact, abs=1e-8)


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.5, 0.5], [0.25, 0.75]),
        ([0.1, 0.2, 0.7], [0.6, 0.3, 0.1]),
        ([0.5, 0.5, 0], [0, 0.5, 0.5]),
        ([0.2, 0.2, 0.2, 0.4, 0], [0.3, 0, 0.1, 0.5, 0.1]),
    ],
)
@pytest.mark.parametrize("c", [1, 5])
def test_it_is_the_area_under_the_published_curve(p, q, c):
    assert mauve_of(p, q, c) == pytest.approx(published(p, q, c, 20_001), abs=1e-6)


@given(SHARES, SHARES, st.floats(0.2, 10))
def test_it_is_symmetric_between_0_and_1_and_falls_as_c_grows(p, q, c):
    k = min(len(p), len(q))
    value = mauve_of(p[:k], q[:k], c)
    assert 0 < value <= 1
    assert mauve_of(q[:k], p[:k], c) == pytest.approx(value, abs=1e-6)
    assert mauve_of(p[:k], q[:k], 2 * c) <= value + 1e-6


def test_bins_that_neither_has_do_not_count_and_order_does_not():
    assert mauve_of([1, 0, 2, 0], [2, 0, 1, 0]) == pytest.approx(mauve_of([2, 1], [1, 2]), abs=1e-12)


def test_histograms_of_nothing_have_no_value():
    assert math.isnan(mauve_of([0, 0], [1, 2]))
    assert math.isnan(mauve_of([], []))


def test_the_curve_falls_from_one_axis_to_the_other():
    x, y = curve_of([0.5, 0.5, 0], [0, 0.5, 0.5]).T
    assert (np.diff(x) <= 1e-12).all() and (np.diff(y) >= -1e-12).all()
    assert x[0] == pytest.approx(1) and y[-1] == pytest.approx(1)


def test_of_embedded_rows_it_falls_as_they_part_and_the_interval_holds_the_value():
    rng = np.random.default_rng(0)
    real = rng.standard_normal((600, 8))
    values = [mauve(real, rng.standard_normal((600, 8)) + shift, draws=50) for shift in (0, 0.4, 3)]
    assert values[0].value > 0.9 > values[1].value > 0.3 > values[2].value
    assert values[2].value < 0.02  # almost nothing in common: near 1/252
    assert all(each.low <= each.value <= each.high for each in values)


def test_the_interval_covers_what_other_samples_of_the_same_size_give():
    rng = np.random.default_rng(1)
    found = [mauve(rng.standard_normal((200, 4)), rng.standard_normal((200, 4)) + 0.5, draws=50) for _ in range(40)]
    middle = np.mean([each.value for each in found])
    assert sum(each.low <= middle <= each.high for each in found) >= 31  # clusters are drawn anew, so not the full 90%


def test_the_same_seed_gives_the_same_value():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2, 100, 3))
    assert mauve(x, y, seed=4, draws=20) == mauve(x, y, seed=4, draws=20)


def test_too_few_rows_have_no_value_and_rows_that_are_no_numbers_do_not_count():
    x = np.random.default_rng(0).standard_normal((50, 3))
    for few in (0, 1, 2, 9):
        assert not mauve(x[:few], x).known
    spoilt = np.vstack([x, np.full((5, 3), np.nan)])
    assert mauve(spoilt, x, draws=20) == mauve(x, x, draws=20)


def test_rows_that_are_all_the_same_overlap_fully():
    assert mauve(np.ones((30, 4)), np.ones((30, 4)), draws=20).value == 1

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.plan.laws import BESIROGLU, HOFFMANN, LAWS


@pytest.mark.parametrize("name", LAWS)
def test_gradient_is_the_slope_of_log_loss(name):
    law, rng = LAWS[name], np.random.default_rng(0)
    x, z = rng.normal(size=(2, 6))
    theta = rng.uniform(0.1, 0.6, len(law.parameters))
    _, gradient = law.log_loss(theta, x, z)
    step = 1e-6 * np.eye(len(theta))
    slope = (law.log_loss(theta + step, x, z)[0] - law.log_loss(theta - step, x, z)[0]).T / 2e-6
    np.testing.assert_allclose(gradient, slope, atol=1e-8)


@given(st.sampled_from(sorted(LAWS)), st.floats(-3, 3), st.floats(-3, 3), st.floats(-20, 20), st.floats(-20, 20))
def test_moving_the_origin_changes_no_prediction(name, x, z, x0, z0):
    law = LAWS[name]
    theta = np.linspace(0.2, 0.5, len(law.parameters))
    here, _ = law.log_loss(theta, np.array([x]), np.array([z]))
    there, _ = law.log_loss(law.moved(theta, x0, z0), np.array([x + x0]), np.array([z + z0]))
    np.testing.assert_allclose(here, there, rtol=1e-9, atol=1e-9)


@given(st.sampled_from(sorted(LAWS)), st.floats(6, 12), st.floats(6, 13))
def test_more_parameters_or_tokens_never_raise_the_loss(name, log_n, log_d):
    law = LAWS[name]
    table = {"a": 6.0, "b": 7.0, "e": 0.6, "k": 8.0, "alpha": 0.34, "beta": 0.3, "gamma": 0.17}
    theta = np.array([table[parameter] for parameter in law.parameters])
    here, more_n, more_d = law.predict(theta, 10**log_n * np.array([1, 2, 1]), 10**log_d * np.array([1, 1, 2]))
    assert more_n <= here * (1 + 1e-12) and more_d <= here * (1 + 1e-12)


def test_kaplan_in_its_published_form():
    n_c, d_c, alpha_n, alpha_d, n, d = 8.8e13, 5.4e13, 0.076, 0.095, 1e9, 1e11
    expected = ((n_c / n) ** (alpha_n / alpha_d) + d_c / d) ** alpha_d
    theta = [alpha_n * np.log(n_c), alpha_d * np.log(d_c), alpha_n, alpha_d]
    assert LAWS["kaplan"].predict(theta, n, d) == pytest.approx(expected, rel=1e-12)


def test_gadre_in_its_published_form():
    a, b, floor, eta, n, d = 30.0, 20.0, 1.8, 0.15, 1e9, 5e10
    m, c = d / n, 6 * n * d
    expected = floor + (a * m**eta + b * m**-eta) * c**-eta
    theta = [np.log(a) - eta * np.log(6), np.log(b) - eta * np.log(6), np.log(floor), 2 * eta]
    assert LAWS["gadre"].predict(theta, n, d) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("flops", "loss"), [(2.1e25, 1.9000), (1e26, 1.8799), (2e26, 1.8726)])
def test_published_constants_give_the_known_optimal_losses(flops, loss):
    n = np.geomspace(1e10, 1e14, 4001)
    assert BESIROGLU.predict(n, flops / 6 / n).min() == pytest.approx(loss, abs=6e-4)


def test_hoffmann_at_chinchilla_itself_is_not_the_rounded_table():
    assert HOFFMANN.predict(70e9, 1.4e12) == pytest.approx(1.9208, abs=1e-3)  # the paper's rounded constants give 1.937

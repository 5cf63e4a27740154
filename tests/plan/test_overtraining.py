from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.laws import BESIROGLU, HOFFMANN, KAPLAN, Published
from orionlm.plan.overtraining import compute_optimum, inference_optimum, on_path, overhead, tokens_for


def slopes(law, params, tokens):
    """Falls of the loss per e-fold of N and of D, by central differences."""
    h = 1e-4
    by_params = law.predict(params * np.exp(-h), tokens) - law.predict(params * np.exp(h), tokens)
    by_tokens = law.predict(params, tokens * np.exp(-h)) - law.predict(params, tokens * np.exp(h))
    return float(by_params / by_tokens)


@pytest.mark.parametrize(("law", "tokens"), [(BESIROGLU, 23e12), (HOFFMANN, 57e12)])
def test_at_2e26_the_published_laws_disagree_as_they_should(law, tokens):
    best = compute_optimum(law, 2e26)
    assert best.tokens == pytest.approx(tokens, rel=0.01)
    assert best.extrapolation_factor == pytest.approx(2e26 / 1.3e22)


@pytest.mark.parametrize(("flops", "loss"), [(2.1e25, 1.9000), (1e26, 1.8799), (2e26, 1.8726)])
def test_besiroglus_optimal_losses(flops, loss):
    assert compute_optimum(BESIROGLU, flops).loss == pytest.approx(loss, abs=1e-4)


@given(st.floats(1e19, 1e27))
def test_no_other_ratio_is_better_than_the_closed_form(flops):
    best = compute_optimum(HOFFMANN, flops)
    assert best.training_flops == pytest.approx(flops)
    assert all(on_path(HOFFMANN, flops, best.ratio * k).loss >= best.loss for k in (0.5, 0.9, 1.1, 2))


def test_without_inference_the_cheapest_way_to_a_loss_is_the_optimum_of_its_compute():
    best = compute_optimum(BESIROGLU, 1e22)
    found = inference_optimum(BESIROGLU, best.loss, 0)
    assert found.training_flops == pytest.approx(1e22, rel=1e-4)
    assert found.params == pytest.approx(best.params, rel=0.02)


@pytest.mark.parametrize("demand", [1e10, 1e12, 1e13])
def test_sardanas_condition_holds_at_the_optimum(demand):
    found = inference_optimum(BESIROGLU, 2.1, demand)
    assert slopes(BESIROGLU, found.params, found.tokens) == pytest.approx(1 + demand / (3 * found.tokens), rel=0.01)


def test_more_inference_means_a_smaller_model_on_more_tokens():
    found = [inference_optimum(BESIROGLU, 2.1, demand) for demand in (0, 1e11, 1e12, 1e13)]
    assert all(a.params > b.params and a.tokens < b.tokens for a, b in zip(found, found[1:], strict=False))
    assert all(one.loss == pytest.approx(2.1, abs=1e-6) for one in found)


def test_overtraining_costs_more_the_further_from_the_optimum():
    ratio = compute_optimum(BESIROGLU, 1e22).ratio
    assert overhead(BESIROGLU, 1e22, ratio) == pytest.approx(1, rel=1e-3)
    assert 1.01 < overhead(BESIROGLU, 1e22, 5 * ratio) < overhead(BESIROGLU, 1e22, 20 * ratio)


def test_tokens_for_a_loss_are_those_of_the_law_or_endless():
    assert tokens_for(BESIROGLU, 1e9, float(BESIROGLU.predict(1e9, 3e10)))[0] == pytest.approx(3e10, rel=1e-6)
    assert np.isinf(tokens_for(BESIROGLU, 1e6, 2.0)[0])


@pytest.mark.parametrize(
    "ask",
    [
        lambda: compute_optimum(BESIROGLU, -1),
        lambda: compute_optimum(Published("k", KAPLAN, (1.0, 1.0, 0.1, 0.1), "", (1e18, 1e20)), 1e21),
        lambda: inference_optimum(BESIROGLU, 1.0, 1e12),
        lambda: inference_optimum(BESIROGLU, 2.1, float("nan")),
        lambda: on_path(BESIROGLU, 1e22, 0),
    ],
)
def test_what_cannot_be_is_refused(ask):
    with pytest.raises(UserError):
        ask()

from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.plan.experts import clark_loss, compare, joint_loss, joint_optimum, krajewski_loss, saturated


def test_one_expert_saturates_to_the_start_and_many_to_the_most():
    assert float(saturated(1, 2.0732, 290.4521)) == pytest.approx(2.0732)
    assert 280 < float(saturated(1e5, 2.0732, 290.4521)) < 290.4521


def test_the_joint_law_by_hand():
    # N = 1e9, D = 1e11, E = 1: ln Ê = .72909
    e = np.log(2.0732)
    by_params = 35.91 * np.exp(-0.2285 * e) * 1e9 ** (-0.1889 + 0.0098 * e)
    by_tokens = 35.98 * np.exp(0.5529 * e) * 1e11 ** (-0.1775 - 0.0259 * e)
    assert float(joint_loss(1e9, 1e11, 1)) == pytest.approx(by_params + by_tokens + 1.3637)
    assert float(joint_loss(1e9, 1e11, 1)) == pytest.approx(2.44, abs=0.01)


def test_clarks_dense_model_of_a_billion_lies_where_dense_models_do():
    assert 2.1 < float(clark_loss(1.3e9, 1)) < 2.4
    assert float(clark_loss(1.3e9, 64)) < float(clark_loss(1.3e9, 1))


def test_finer_experts_are_better_by_krajewski():
    assert (
        float(krajewski_loss(1e9, 1e11, 64, 8))
        < float(krajewski_loss(1e9, 1e11, 64, 1))
        < float(krajewski_loss(1e9, 1e11, 1))
    )


def test_at_1e26_the_joint_law_wants_a_token_a_parameter_and_is_refused():
    with pytest.raises(UserError, match="joint law"):
        joint_optimum(1e26, 32)
    active, tokens = joint_optimum(1e26, 32, extrapolate=True)
    assert tokens / active == pytest.approx(1, abs=0.1)


def test_within_its_range_more_experts_want_fewer_active_parameters_and_more_tokens():
    found = [joint_optimum(1e21, experts) for experts in (1, 8, 32)]
    assert found[0][0] > found[1][0] > found[2][0] and found[0][1] < found[1][1] < found[2][1]
    assert all(6 * active * tokens == pytest.approx(1e21) for active, tokens in found)


def test_laws_that_disagree_give_an_interval():
    said = compare(1e9, 1e11, 32)
    assert set(said.by_law) == {"joint", "clark"} and "krajewski" in said.refused
    assert 1e9 < said.low < said.dense_equivalent < said.high < 32e9
    assert 0 < said.gain_low < said.gain_high < 0.2
    for law, row in said.by_law.items():
        dense = (
            joint_loss(row["dense_equivalent"], 1e11, 1) if law == "joint" else clark_loss(row["dense_equivalent"], 1)
        )
        assert float(dense) == pytest.approx(row["mixture"], rel=1e-6)


def test_a_mixture_of_one_is_the_dense_model():
    said = compare(1e9, 1e11, 1)
    assert said.dense_equivalent == pytest.approx(1e9, rel=1e-6) and said.gain == pytest.approx(0)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((1e11, 1e13, 64), "no law is in range"),
        ((1e9, 1e11, 3000), "no law is in range"),
        ((0, 1e11, 8), "active_params"),
        ((1e9, float("inf"), 8), "tokens"),
        ((1e9, 1e11, 1.5), "whole number"),
    ],
)
def test_out_of_range_and_absurd_mixtures_are_refused(arguments, why):
    with pytest.raises(UserError, match=why):
        compare(*arguments)


def test_asked_past_the_range_the_factor_stands_beside_the_law():
    said = compare(1e11, 1e13, 16, extrapolate=True)
    assert said.by_law["joint"]["extrapolation_factor"] == pytest.approx(6e24 / 2e21)

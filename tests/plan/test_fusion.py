from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.fusion import EARLY, EARLY_EXPERTS, LATE, split_tokens
from orionlm.plan.laws import BESIROGLU


def test_the_powers_agree_with_the_exponents_and_sum_to_one():
    assert EARLY.params_power == pytest.approx(EARLY.beta / (EARLY.alpha + EARLY.beta), abs=0.002)
    for law in (EARLY, EARLY_EXPERTS):
        assert law.params_power + law.tokens_power == pytest.approx(1, abs=0.02)


def test_an_optimum_is_carried_along_the_power():
    params, tokens = EARLY.optimum(1e22, 1e21, 1e9)
    assert params == pytest.approx(1e9 * 10**0.526) and 6 * params * tokens == pytest.approx(1e22)
    assert LATE.optimum(1e21, 1e21, 1e9)[0] == 1e9


@given(st.floats(0, 0.95), st.floats(0, 0.5))
def test_a_split_costs_text_its_share_and_a_gift_gives_some_back(share, transfer):
    said = split_tokens(BESIROGLU, 1e9, 1e11, share)
    assert said.text_tokens + said.other_tokens == pytest.approx(1e11)
    assert said.text_loss >= said.text_only_loss
    assert said.compute_share == pytest.approx(1 - share, rel=1e-4)
    assert split_tokens(BESIROGLU, 1e9, 1e11, share, transfer).text_loss <= said.text_loss
    assert split_tokens(BESIROGLU, 1e9, 1e11, 0.3, -0.2).text_loss > split_tokens(BESIROGLU, 1e9, 1e11, 0.3).text_loss


@pytest.mark.parametrize("arguments", [(1e9, 1e11, 1.0), (1e9, 1e11, -0.1), (0, 1e11, 0.1), (1e9, 1e11, 0.9, -1)])
def test_splits_that_leave_no_text_or_are_absurd_are_refused(arguments):
    with pytest.raises(UserError):
        split_tokens(BESIROGLU, *arguments)


def test_an_optimum_too_far_from_the_known_is_refused():
    with pytest.raises(UserError, match="100"):
        EARLY.optimum(1e26, 1e21, 1e9)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.laws import BESIROGLU
from orionlm.plan.precision import Bits, effective_params, kept, loss_at

bits = st.floats(3, 16)


def test_kumars_formula_by_hand():
    assert effective_params(1e9, Bits(weights=4, activations=64, cache=64)) == pytest.approx(
        1e9 * (1 - np.exp(-4 / 2.6745))
    )
    assert float(kept(Bits(8, 8, 8))) == pytest.approx(
        (1 - np.exp(-8 / 2.6745)) * (1 - np.exp(-8 / 2.21)) * (1 - np.exp(-8 / 0.96))
    )


@given(bits, bits, bits, st.floats(0, 4))
def test_more_bits_never_keep_less_and_never_more_than_all(weights, activations, cache, more):
    here = float(kept(Bits(weights, activations, cache)))
    assert 0 < here <= float(kept(Bits(weights + more, activations, cache))) <= 1


def test_a_run_at_16_bits_is_the_plain_run_and_fewer_bits_cost_loss_with_an_interval():
    assert loss_at(BESIROGLU, 1e9, 1e11, Bits()).loss == float(BESIROGLU.predict(1e9, 1e11))
    eight, four = (loss_at(BESIROGLU, 1e9, 1e11, Bits(b, b, b)) for b in (8, 4))
    assert eight.plain_loss < eight.low < eight.loss < eight.high < four.loss
    assert 1.02 < eight.params_factor < 1.2 and four.params_factor_low < four.params_factor < four.params_factor_high


@pytest.mark.parametrize("few", [2, 0, -4, float("nan"), 1000])
def test_bits_that_no_run_had_are_refused(few):
    with pytest.raises(UserError, match="bits"):
        Bits(weights=few)


def test_no_parameters_is_refused():
    with pytest.raises(UserError, match="params"):
        loss_at(BESIROGLU, 0, 1e11, Bits(8, 8, 8))

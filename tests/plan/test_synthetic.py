from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.repetition import effective_tokens as repeated
from orionlm.plan.synthetic import (
    LABEL,
    RECIPES,
    REPHRASED,
    TEXTBOOK,
    best_split,
    effective_interval,
    effective_tokens,
    generation_flops,
    repeat_until,
)


@pytest.mark.parametrize(("weight", "epoch"), [(0.8, 4.4), (0.5, 11.7), (0.3, 19.5), (1.2, 1.0)])
def test_repeat_until_the_epoch_where_synthesis_is_worth_more(weight, epoch):
    assert repeat_until(weight) == pytest.approx(epoch, abs=0.05)


@pytest.mark.parametrize("weight", [0.3, 0.5, 0.8])
def test_a_run_reads_its_text_until_that_epoch_and_then_synthesises(weight):
    epoch = repeat_until(weight)
    assert best_split(1e9, 0.9 * epoch * 1e9, weight) == (pytest.approx(0.9 * epoch * 1e9), 0)
    real, made = best_split(1e9, 1.2 * epoch * 1e9, weight)
    assert real == pytest.approx(epoch * 1e9, rel=0.03) and made > 0


@given(st.floats(1e8, 1e12), st.floats(1, 50), st.floats(0, 1e12), st.floats(0, 1.5))
def test_synthetic_text_never_counts_past_its_cap_or_plateau(unique, epochs, made, weight):
    real = unique * epochs
    gain = float(effective_tokens(unique, real, made, weight) - repeated(real, unique))
    assert -1e-6 * real <= gain <= weight * min(made, 300e9, real * 0.33 / 0.67) * (1 + 1e-6) + 1e-6 * real


def test_the_first_synthetic_tokens_are_worth_their_weight_and_300_billion_level_off():
    assert float(effective_tokens(1e12, 1e12, 1e9, 0.8) - 1e12) == pytest.approx(0.8e9, rel=0.01)
    assert float(effective_tokens(1e14, 1e14, 3e13, 0.8) - 1e14) == pytest.approx(0.8 * 300e9)


def test_the_recipes_carry_the_caps_and_the_label():
    assert (REPHRASED.cap, TEXTBOOK.cap, REPHRASED.weight.median, TEXTBOOK.weight.median) == (0.33, 0.05, 0.8, 0.3)
    assert all("not a published law" in recipe.source for recipe in RECIPES.values()) and "prior" in LABEL


def test_the_interval_carries_the_worth_and_is_reproducible():
    middle, low, high = effective_interval(1e10, 4e10, 1e10)
    assert low < middle < high and high - low > 0.5 * 0.9 * 1e10 * 0.9
    assert effective_interval(1e10, 4e10, 1e10) == (middle, low, high)


def test_writing_costs_two_flops_a_parameter_and_token():
    assert generation_flops(1e9, 8e9) == 1.6e19 and generation_flops(1e9, 8e9, 0.5) == 3.2e19


@pytest.mark.parametrize(
    "ask",
    [
        lambda: effective_tokens(1e9, 1e9, -1),
        lambda: effective_tokens(0, 1e9, 1),
        lambda: effective_tokens(1e9, 1e9, 1, weight=-0.1),
        lambda: effective_tokens(1e9, 1e9, 1, cap=1.0),
        lambda: effective_tokens(1e9, 1e9, np.nan),
        lambda: repeat_until(0),
        lambda: generation_flops(1, 1, 0),
    ],
)
def test_absurd_amounts_are_refused(ask):
    with pytest.raises(UserError):
        ask()

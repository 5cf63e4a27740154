"""Amounts are read as a person writes them; what is not clear is refused with the mend."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.plan.quantity import DEVICE_TIME, FLOPS, MONEY, POWER, SHARE, TIME, TOKENS, Quantity, parse


@pytest.mark.parametrize(
    ("dimension", "text", "amount"),
    [
        (MONEY, "$5M", 5e6),
        (MONEY, "$1,200", 1200),
        (MONEY, "3 dollars", 3),
        (TIME, "5 months", 5 * 365.25 / 12),
        (TIME, "90 min", 0.0625),
        (TIME, "1 day", 1),
        (TOKENS, "2T", 2e12),
        (TOKENS, "2T tokens", 2e12),
        (TOKENS, 10_000_000_000, 1e10),
        (FLOPS, "1e26 FLOP", 1e26),
        (SHARE, "38.5%", 0.385),
        (SHARE, 0.4, 0.4),
        (DEVICE_TIME, "2.8M GPU-hours", 2.8e6),
        (POWER, "150 MW", 1.5e8),
    ],
)
def test_amounts_as_people_write_them(dimension, text, amount):
    assert parse(dimension, text).median == pytest.approx(amount)


@pytest.mark.parametrize(
    ("dimension", "value", "said"),
    [
        (MONEY, 5, "the unit is missing"),
        (MONEY, "-$5M", "write money like"),
        (MONEY, "$5 tokens", "mixes units"),
        (TIME, "5 GPUs", "'GPUs' is no unit of time"),
        (TIME, "900 years", "check the unit"),
        (TOKENS, -1, "must be positive"),
        (TOKENS, 0, "must be positive"),
        (TOKENS, "lots", "is no amount"),
        (TOKENS, True, "write tokens like"),
        (TOKENS, [3, 2], "rising order"),
        (TOKENS, [1, 2, 3, 4], "[low, median, high]"),
        (TOKENS, float("inf"), "positive"),
        (SHARE, "140%", "check the unit"),
        (SHARE, ["0%", "10%"], "between 0 and 1"),
    ],
)
def test_unclear_amounts_are_refused_with_the_mend(dimension, value, said):
    with pytest.raises(ValueError, match=r".+") as failure:
        parse(dimension, value)
    assert said in str(failure.value)


def test_a_unit_given_once_holds_for_the_interval():
    time = parse(TIME, ["3", "6 months"])
    assert (time.low, time.high) == pytest.approx((3 * 365.25 / 12, 6 * 365.25 / 12))
    assert time.median == pytest.approx(np.sqrt(time.low * time.high))


@given(st.floats(1e-3, 1e12), st.floats(1.01, 50), st.floats(1.01, 50))
def test_draws_have_the_stated_median_and_interval(low, up, further):
    quantity = Quantity(low * up, low, low * up * further, TOKENS)
    draws = quantity.sample(20_001, np.random.default_rng(0))
    assert (draws > 0).all()
    wanted = np.log([quantity.low, quantity.median, quantity.high])
    assert np.log(np.quantile(draws, [0.05, 0.5, 0.95])) == pytest.approx(wanted, abs=0.05 * np.log(up * further))


def test_draws_of_a_share_stay_shares():
    draws = parse(SHARE, ["80%", "99%"]).sample(10_000, np.random.default_rng(0))
    assert ((draws > 0) & (draws < 1)).all()

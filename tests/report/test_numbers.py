from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.report import numbers


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (12, "12"), (999.6, "1 k"), (1234, "1.23 k"), (6.02e23, "602 Z"), (3e33, "3e+03 Q"), (0.25, "0.25")],
)
def test_counts_have_three_digits_and_a_prefix(value, text):
    assert numbers.si(value).replace(numbers.NARROW, " ") == text


@given(st.floats(1e-3, 1e32))
def test_a_count_reads_back_to_itself(value):
    number, _, prefix = numbers.si(value).partition(numbers.NARROW)
    assert float(number) * 1000.0 ** numbers.PREFIXES.index(prefix) == pytest.approx(value, rel=6e-3)


def test_what_is_missing_is_a_dash():
    for form in (numbers.si, numbers.bits, numbers.percent, numbers.times, numbers.seconds, numbers.dollars):
        assert form(None) == form(math.nan) == numbers.DASH
    assert numbers.between(None, 1.0) == numbers.DASH


def test_small_money_and_shares_keep_their_digits():
    assert (numbers.dollars(0.0046), numbers.dollars(1234.5)) == ("$0.0046", "$1,234.50")
    assert (numbers.percent(0.0123), numbers.percent(0.31)) == ("1.2%", "31%")
    assert numbers.seconds(3.2) == "3.2 s" and numbers.seconds(1e10).endswith("years")

from __future__ import annotations

import time
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.tasks.generators.expression import evaluate

NUMBERS = st.integers(0, 999)
TREES = st.recursive(
    NUMBERS.map(lambda n: (str(n), Fraction(n), (n,))),
    lambda inner: st.tuples(inner, st.sampled_from("+-*/×÷−"), inner).map(lambda t: join(*t)),
    max_leaves=12,
)


def join(left, operator, right):
    value = None
    if left[1] is not None and right[1] is not None:
        plain = {"×": "*", "÷": "/", "−": "-"}.get(operator, operator)
        if plain != "/" or right[1]:
            value = {"+": left[1].__add__, "-": left[1].__sub__, "*": left[1].__mul__, "/": left[1].__truediv__}[plain](
                right[1]
            )
    return f"({left[0]} {operator} {right[0]})", value, left[2] + right[2]


@given(TREES)
def test_the_value_is_exact_and_the_numbers_used_are_those_written(tree):
    text, value, used = tree
    if len(text) > 500:
        return
    if value is None:
        with pytest.raises(ValueError):
            evaluate(text)
    else:
        assert evaluate(text) == (value, used)


@pytest.mark.parametrize(
    ("text", "value"),
    [("2 + 3 * 4", 14), ("2 * 3 + 4", 10), ("8 / 4 / 2", 1), ("8 - 4 - 2", 2), ("-3 + 5", 2), ("2 * -3", -6),
     ("1 / 3", Fraction(1, 3))],
)  # fmt: skip
def test_products_go_before_sums_and_the_left_before_the_right(text, value):
    assert evaluate(text)[0] == value


@pytest.mark.parametrize(
    "text",
    ["", "+", "1 +", "1 2", "(1", "1)", "()", "99**98**97", "2^3", "1e5", "a", "1.5", "1/0", "1/(2-2)", "+1", "9" * 13,
     "(" * 60 + "1" + ")" * 60, "1+" * 400 + "1", "-" * 60 + "1", "__import__('os')", "١", "1 // 2", "1,000"],
)  # fmt: skip
def test_what_is_no_expression_within_bounds_is_refused_at_once(text):
    began = time.perf_counter()
    with pytest.raises(ValueError):
        evaluate(text)
    assert time.perf_counter() - began < 0.5

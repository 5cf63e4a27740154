"""Values cross as what they are; nothing else crosses."""

from __future__ import annotations

import json
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import ItemsView, KeysView, ValuesView
from enum import IntEnum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.tasks.sandbox.codec import DEEPEST, Unserialisable, check, decode, encode, equal, plain

SCALARS = (
    st.none() | st.booleans() | st.integers() | st.integers(-(2**200), 2**200) | st.floats() | st.complex_numbers()
    | st.text() | st.binary() | st.builds(bytearray, st.binary()) | st.builds(range, st.integers(), st.integers())
    | st.fractions() | st.decimals(allow_nan=False)
)  # fmt: skip
HASHABLE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=5,
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3) | st.lists(SCALARS, max_size=3).map(deque)
        | st.dictionaries(st.text(), SCALARS, max_size=3).flatmap(
            lambda given: st.sampled_from([given.keys(), given.values(), given.items()])
        )
    ),
    max_leaves=12,
)  # fmt: skip
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=12,
)


def shape(value: Any) -> str:
    """Type and value, NaN equal to itself."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{shape(k)}:{shape(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return type(value).__name__ + "(" + ",".join(map(shape, value)) + ")"
    if isinstance(value, KeysView | ValuesView | ItemsView | deque):
        return type(value).__name__ + "(" + ",".join(map(shape, value)) + ")"
    if isinstance(value, set | frozenset):
        return type(value).__name__ + "(" + ",".join(sorted(map(shape, value))) + ")"
    return f"{type(value).__name__}:{value!r}"


@given(VALUES)
def test_a_value_comes_back_as_itself(value: Any) -> None:
    node = json.loads(json.dumps(encode(value), allow_nan=False))
    check(node)
    assert shape(decode(node)) == shape(value)
    json.dumps(plain(node), allow_nan=False)


@given(JSON)
def test_what_json_can_say_equals_itself_and_no_other_type(value: Any) -> None:
    node = encode(value)
    check(node)
    assert equal(node, value)
    assert not equal(["list", node], value) or value == [value]
    assert not equal(encode(str(value) + "x"), value)


@given(JSON)
def test_any_json_is_refused_or_understood_and_never_breaks(value: Any) -> None:
    try:
        check(value)
    except ValueError:
        return
    plain(value)
    equal(value, value)


@given(st.floats(), st.floats(allow_nan=False, allow_infinity=False), st.floats(0, 1e300))
def test_tolerance_is_for_finite_floats(found: float, expected: float, tolerance: float) -> None:
    if equal(encode(found), expected, tolerance):
        assert math.isfinite(found)
        assert found == expected or abs(found - expected) <= max(tolerance, tolerance * abs(expected))


class Colour(IntEnum):
    RED = 3


class Text(str):
    def __str__(self) -> str:
        return "a lie"

    __repr__ = __str__


Point = namedtuple("Point", "x y")


@pytest.mark.parametrize(
    ("value", "base"),
    [
        (Colour.RED, 3),
        (Text("truth"), "truth"),
        (Point(1, 2), (1, 2)),
        (Counter("aab"), {"a": 2, "b": 1}),
        (OrderedDict(a=1), {"a": 1}),
        (defaultdict(list, a=[1]), {"a": [1]}),
    ],
)
def test_a_subclass_crosses_as_its_base(value: Any, base: Any) -> None:
    assert shape(decode(encode(value))) == shape(base)


@pytest.mark.parametrize("value", [object(), len, type, json, ..., NotImplemented, {1: object()}, memoryview(b"")])
def test_other_objects_do_not_cross(value: Any) -> None:
    with pytest.raises(Unserialisable):
        encode(value)


def test_what_is_too_deep_or_within_itself_does_not_cross() -> None:
    within: list[Any] = []
    within.append(within)
    with pytest.raises(RecursionError):
        encode(within)
    node: Any = 1
    for _ in range(DEEPEST + 2):
        node = ["list", node]
    with pytest.raises(ValueError):
        check(node)

"""How do Python's own values cross a boundary that objects must not cross? As JSON, lists tagged with their type.

None, booleans, strings, finite floats and integers below 2^63 are themselves; the rest is ["list", ...],
["tuple", ...], ["dict", key, value, ...], ["int", "0x…"], ["float", "nan"] and so on. What comes out of `decode` is
exactly one of Python's own types, so its `==` cannot lie. The untrusted side runs this code too and may have changed it
there: nothing is believed that `check` has not seen on our side.
"""

from __future__ import annotations

import math
import re
from collections import deque
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from decimal import Decimal
from fractions import Fraction
from itertools import islice
from typing import Any

LARGEST = 2**63
DEEPEST = 100
LONGEST = 100_000  # of an iterator, which may never end
_HEX = re.compile(r"-?0x[0-9a-f]+")
_FLOAT = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?|-?inf|nan")
_DECIMAL = re.compile(r"-?\d+(\.\d+)?(E[+-]?\d+)?|-?Infinity|NaN")
_BYTES = re.compile(r"([0-9a-f]{2})*")
_VIEWS = {"keys": KeysView, "values": ValuesView, "items": ItemsView}  # of a dict
_CONTAINERS: dict[str, Any] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque, "iterator": iter,
    "keys": lambda parts: dict.fromkeys(parts).keys(),
    "values": lambda parts: dict(enumerate(parts)).values(),
    "items": lambda parts: dict(parts).items(),
}  # fmt: skip


class Unserialisable(TypeError):
    """A value that is not made of Python's own types."""


def encode(value: Any, depth: int = 0) -> Any:
    """A value as tagged JSON. A subclass becomes its base. `Unserialisable` is for its kind; what is too deep or too
    long is another matter, since what a program returned can make a test's own arguments so."""
    if depth > DEEPEST:
        raise RecursionError(f"a value nested more than {DEEPEST} deep")
    kind = type(value)
    if value is None or kind is bool or kind is str:
        return value
    if kind is int:
        return value if -LARGEST < value < LARGEST else ["int", hex(value)]
    if kind is float:
        return value if math.isfinite(value) else ["float", repr(value)]
    if kind is complex:
        return ["complex", repr(value.real), repr(value.imag)]
    if kind is bytes or kind is bytearray:
        return [kind.__name__, value.hex()]
    if kind is range:
        return ["range", *(encode(part) for part in (value.start, value.stop, value.step))]
    if kind is dict:
        return ["dict", *(encode(part, depth + 1) for pair in value.items() for part in pair)]
    if kind is Fraction:
        return ["fraction", encode(value.numerator), encode(value.denominator)]
    if kind is Decimal:
        return ["decimal", str(value)]
    if kind in (list, tuple, set, frozenset, deque):
        return [kind.__name__, *(encode(part, depth + 1) for part in value)]
    if isinstance(value, Iterator):  # what a test will want to take apart
        parts = list(islice(value, LONGEST + 1))
        if len(parts) > LONGEST:
            raise OverflowError(f"an iterator over more than {LONGEST} values")
        return ["iterator", *(encode(part, depth + 1) for part in parts)]
    for name, view in _VIEWS.items():
        if isinstance(value, view):
            return [name, *(encode(part, depth + 1) for part in value)]
    for base in (int, float, complex, str, bytes, bytearray, dict, list, tuple, set, frozenset):
        if issubclass(kind, base):
            return encode(_as(base, value), depth)
    raise Unserialisable(f"a value of type {kind.__name__} is not made of Python's own types")


def _as(base: Any, value: Any) -> Any:
    """The plain value under a subclass, past the subclass's own methods."""
    if base is dict:
        return dict.copy(value)
    if base in (int, float, complex, str, bytes):
        return base(*base.__getnewargs__(value))
    return base(base.__iter__(value))


def decode(node: Any) -> Any:
    """The value of a node that passed `check`. Unhashable parts of sets and keys of dicts raise TypeError."""
    if not isinstance(node, list):
        return node
    tag, *parts = node
    if tag in _CONTAINERS:
        return _CONTAINERS[tag]([decode(part) for part in parts])
    if tag == "dict":
        return dict(zip(map(decode, parts[::2]), map(decode, parts[1::2]), strict=True))
    if tag == "int":
        return int(parts[0], 16)
    if tag == "float":
        return float(parts[0])
    if tag == "complex":
        return complex(float(parts[0]), float(parts[1]))
    if tag == "fraction":
        return Fraction(*map(decode, parts))
    if tag == "decimal":
        return Decimal(parts[0])
    if tag == "range":
        return range(*map(decode, parts))
    return bytes.fromhex(parts[0]) if tag == "bytes" else bytearray.fromhex(parts[0])


def check(node: Any, depth: int = 0) -> None:
    """ValueError unless this is what `encode` could have written; no value is built, so none can be made costly."""
    if node is None or isinstance(node, bool | str):
        return
    if isinstance(node, int):
        good = -LARGEST < node < LARGEST
    elif isinstance(node, float):
        good = math.isfinite(node)
    else:
        good = isinstance(node, list) and bool(node) and depth <= DEEPEST and _well_formed(node[0], node[1:])
        if good and node[0] in (*_CONTAINERS, "dict", "range", "fraction"):
            for part in node[1:]:
                check(part, depth + 1)
    if not good:
        raise ValueError("not a value in the protocol")


def _well_formed(tag: Any, parts: list[Any]) -> bool:
    match tag:
        case str() if tag in _CONTAINERS:
            return True
        case "dict":
            return len(parts) % 2 == 0
        case "int":
            return len(parts) == 1 and _text(_HEX, parts)
        case "float":
            return len(parts) == 1 and _text(_FLOAT, parts)
        case "complex":
            return len(parts) == 2 and _text(_FLOAT, parts)
        case "bytes" | "bytearray":
            return len(parts) == 1 and _text(_BYTES, parts)
        case "fraction":
            return len(parts) == 2 and parts[1] != 0 and all(map(_whole, parts))
        case "decimal":
            return len(parts) == 1 and _text(_DECIMAL, parts)
        case "range":
            return len(parts) == 3 and parts[2] != 0 and all(map(_whole, parts))
    return False


def _whole(part: Any) -> bool:
    return type(part) is int or (isinstance(part, list) and part[:1] == ["int"] and _well_formed("int", part[1:]))


def _text(pattern: re.Pattern[str], parts: list[Any]) -> bool:
    return all(isinstance(part, str) and pattern.fullmatch(part) for part in parts)


def plain(node: Any) -> Any:
    """A checked node as ordinary JSON, for reports: tuples and sets become lists, bytes hex, odd numbers text."""
    if not isinstance(node, list):
        return node
    tag, *parts = node
    if tag == "dict":
        keys = parts[::2]
        if all(isinstance(key, str) for key in keys):
            return dict(zip(keys, map(plain, parts[1::2]), strict=True))
        return [[plain(key), plain(value)] for key, value in zip(keys, parts[1::2], strict=True)]
    if tag in (*_CONTAINERS, "range", "fraction", "complex"):
        return [plain(part) for part in parts]
    return parts[0]


def equal(node: Any, expected: Any, tolerance: float = 0.0) -> bool:
    """Whether a checked node is the JSON value `expected`. A list may be a tuple; a boolean is no number; nothing
    equals NaN; `tolerance`, absolute or relative, whichever is wider, is for finite floats alone. Nothing untrusted is
    hashed but text, so no crafted value makes this slow."""
    if isinstance(expected, dict):
        if not (isinstance(node, list) and node[0] == "dict" and len(node) == 2 * len(expected) + 1):
            return False
        if not all(isinstance(key, str) for key in node[1::2]):
            return False
        found = dict(zip(node[1::2], node[2::2], strict=True))
        return found.keys() == expected.keys() and all(equal(found[k], expected[k], tolerance) for k in found)
    if isinstance(expected, list | tuple):
        if not (isinstance(node, list) and node[0] in ("list", "tuple") and len(node) == len(expected) + 1):
            return False
        return all(equal(part, wanted, tolerance) for part, wanted in zip(node[1:], expected, strict=True))
    if expected is None or isinstance(expected, bool | str):
        return type(node) is type(expected) and bool(node == expected)
    if isinstance(node, list):
        if node[0] not in ("int", "float"):
            return False
        node = decode(node)
    if isinstance(node, bool) or not isinstance(node, int | float):
        return False
    if tolerance and isinstance(node, float) | isinstance(expected, float):
        try:
            close = abs(node - expected) <= max(tolerance, tolerance * abs(expected))
        except OverflowError:  # an integer beyond every float
            return False
        return math.isfinite(node) and math.isfinite(expected) and close
    return bool(node == expected)

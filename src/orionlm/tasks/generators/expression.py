"""What is the value of an arithmetic expression, and which numbers does it use? Read by hand, within bounds.

Grammar: sum = product (("+" | "-") product)*; product = factor (("*" | "/") factor)*; factor = "-" factor | integer |
"(" sum ")". Nothing else is in it: no powers, no names. The bounds keep the exact value below some thousand digits.
"""

from __future__ import annotations

import re
from fractions import Fraction

MOST_CHARACTERS = 500
MOST_DIGITS = 12
MOST_DEPTH = 50

_TOKEN = re.compile(r"[0-9]+|[-+*/()]")
_SAME = str.maketrans({"×": "*", "·": "*", "⋅": "*", "∗": "*", "÷": "/", "∕": "/", "−": "-", "–": "-"})


def evaluate(text: str) -> tuple[Fraction, tuple[int, ...]]:
    """(value, the integers used, in order). Raises ValueError for all that is no expression within the bounds."""
    if len(text) > MOST_CHARACTERS:
        raise ValueError(f"longer than {MOST_CHARACTERS} characters")
    tokens = _tokens(text.translate(_SAME))
    position = 0
    used: list[int] = []

    def at(*wanted: str) -> bool:
        return position < len(tokens) and tokens[position] in wanted

    def take() -> str:
        nonlocal position
        if position == len(tokens):
            raise ValueError("ends too early")
        position += 1
        return tokens[position - 1]

    def total(depth: int) -> Fraction:
        value = product(depth)
        while at("+", "-"):
            sign = 1 if take() == "+" else -1
            value += sign * product(depth)
        return value

    def product(depth: int) -> Fraction:
        value = factor(depth)
        while at("*", "/"):
            if take() == "*":
                value *= factor(depth)
            else:
                divisor = factor(depth)
                if not divisor:
                    raise ValueError("divides by zero")
                value /= divisor
        return value

    def factor(depth: int) -> Fraction:
        if depth > MOST_DEPTH:
            raise ValueError("nested too deeply")
        token = take()
        if token == "-":
            return -factor(depth + 1)
        if token == "(":
            value = total(depth + 1)
            if not at(")"):
                raise ValueError("a bracket is not closed")
            take()
            return value
        if not token.isdigit():
            raise ValueError(f"{token!r} where a number is expected")
        used.append(int(token))
        return Fraction(used[-1])

    value = total(0)
    if position < len(tokens):
        raise ValueError(f"{tokens[position]!r} where an operator is expected")
    return value, tuple(used)


def _tokens(text: str) -> list[str]:
    tokens: list[str] = []
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        found = _TOKEN.match(text, position)
        if not found:
            raise ValueError(f"{text[position]!r} is not part of an expression")
        if len(found.group()) > MOST_DIGITS:
            raise ValueError(f"a number of more than {MOST_DIGITS} digits")
        tokens.append(found.group())
        position = found.end()
    return tokens

"""Sums of whole numbers, as long and with as many numbers as asked for."""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.tasks.generators.question import Family, Question


class Difficulty(BaseModel):
    """Numbers of at most `digits` digits, `operands` of them, joined by `operators` out of + - *."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    digits: int = Field(2, ge=1, le=12)
    operands: int = Field(2, ge=2, le=8)
    operators: str = "+-"

    @field_validator("operators")
    @classmethod
    def _known(cls, operators: str) -> str:
        if not operators or set(operators) - set("+-*"):
            raise ValueError("give one or more of + - *, like '+-'")
        return operators


def begin(difficulty: Difficulty, rng: Random) -> Callable[[], Question]:
    """The length of each number is drawn first, so that short ones are as frequent as long ones."""

    def draw() -> Question:
        numbers = [rng.randrange(10 ** rng.randint(1, difficulty.digits)) for _ in range(difficulty.operands)]
        operators = [rng.choice(difficulty.operators) for _ in numbers[1:]]
        text = str(numbers[0]) + "".join(f" {op} {n}" for op, n in zip(operators, numbers[1:], strict=True))
        return Question(f"{text} =", value(numbers, operators))

    return draw


def value(numbers: list[int], operators: list[str]) -> int:
    """Products before sums."""
    terms = [[numbers[0]]]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator == "*":
            terms[-1].append(number)
        else:
            terms.append([number if operator == "+" else -number])
    return sum(map(math.prod, terms))


FAMILY = Family(Difficulty, begin)

"""What a family of questions draws: one question and its answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from pydantic import BaseModel

from orionlm.tasks.task import Form


@dataclass(frozen=True)
class Question:
    """`answer` is what `form` compares with: a number, text, or {"numbers": […], "target": n} for an expression."""

    text: str
    answer: Any
    form: Form = "number"
    shown: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Family:
    """`begin(difficulty, rng)` gives a function that draws the next question each time it is called."""

    difficulty: type[BaseModel]
    begin: Callable[[Any, Random], Callable[[], Question]]

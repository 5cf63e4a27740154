"""Which n questions of a family does a split hold? The same for the same seed, and in no other split.

A question's split is drawn by the hash of its text and of nothing else, so no seed and no difficulty can bring a test
question into training; and it is random, not modular: a rule over the numbers would take whole combinations away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from orionlm.errors import UserError
from orionlm.settings import nearest
from orionlm.tasks.generators import arithmetic, programs, reasoning_gym, stories
from orionlm.tasks.generators.question import Family, Question
from orionlm.tasks.task import Form, Item

Split = Literal["train", "validation", "test"]
SHARES: Mapping[str, float] = {"train": 0.8, "validation": 0.1, "test": 0.1}
MOST_ITEMS = 1_000_000
PATIENCE = 20  # draws without anything new, for each question found, after which there is taken to be no more

OURS: Mapping[str, Family] = {"arithmetic": arithmetic.FAMILY, "programs": programs.FAMILY, "stories": stories.FAMILY}


def families() -> list[str]:
    """The names of all families."""
    return [*OURS, *(f"{reasoning_gym.PREFIX}{name}" for name in reasoning_gym.FORMS)]


def family(name: str) -> Family:
    """A family by its name; one that reasoning-gym has and that is graded by running text is refused."""
    if name in OURS:
        return OURS[name]
    if name.startswith(reasoning_gym.PREFIX):
        return reasoning_gym.family(name.removeprefix(reasoning_gym.PREFIX))
    raise UserError(f"generator {name!r}: no such family; {nearest(name, families())}")


def generate(
    name: str,
    split: Split,
    n: int,
    seed: int = 0,
    difficulty: Mapping[str, Any] | BaseModel | None = None,
    choices: int = 0,
) -> list[Item]:
    """`n` distinct items of the family's split; with `choices` each has so many, near misses beside the right one."""
    if split not in SHARES:
        raise UserError(f"split {split!r}: {nearest(split, SHARES)}")
    if not 1 <= n <= MOST_ITEMS:
        raise UserError(f"n = {n}: give between 1 and {MOST_ITEMS:,}")
    if choices and not 2 <= choices <= 8:
        raise UserError(f"choices = {choices}: give between 2 and 8, or 0 for none")
    chosen = family(name)
    draw = chosen.begin(_difficulty(chosen, name, difficulty), Random(f"{name} {seed}"))
    found: dict[str, Item] = {}
    since = 0  # draws since the last new question
    while len(found) < n:
        question = draw()
        since += 1
        if question.text not in found and split_of(question.text) == split:
            found[question.text] = _item(name, question, choices)
            since = 0
        elif since > PATIENCE * (len(found) + 10) / SHARES[split]:
            raise UserError(
                f"generator {name}: n = {n:,}, but there are only {len(found):,} distinct {split} questions of this "
                "difficulty; ask for fewer, or raise the difficulty"
            )
    return list(found.values())


def split_of(question: str) -> str:
    """The split that a question belongs to, by its hash."""
    at = int.from_bytes(hashlib.sha256(b"split\0" + question.encode()).digest()[:8]) / 2**64
    for split, share in SHARES.items():
        if at < share:
            return split
        at -= share
    return "test"  # the last sliver, lost to rounding


def form_of(items: list[Item]) -> Form:
    """How the answers of generated items are compared: each family has one form."""
    forms = {item.extra["form"] for item in items}
    assert len(forms) == 1, forms
    return forms.pop()


def _item(name: str, question: Question, choices: int) -> Item:
    digest = hashlib.sha256(question.text.encode()).hexdigest()
    extra = {**question.extra, "form": question.form}
    if question.shown:
        extra["shown"] = question.shown
    item = Item(f"{name}-{digest[:16]}", question.text, (), question.answer, extra=extra)
    if not choices:
        return item
    if question.form != "number" or not isinstance(question.answer, int):
        raise UserError(f"generator {name}: choices are made of whole numbers only; leave choices out")
    rng = Random(digest)
    options = [question.answer, *_near_misses(question.answer, choices - 1, rng)]
    rng.shuffle(options)
    return replace(item, choices=tuple(map(str, options)), answer=options.index(question.answer))


def _near_misses(answer: int, count: int, rng: Random) -> list[int]:
    """Wrong answers as long as the right one where there are such: one digit off, or two digits swapped."""
    digits = str(abs(answer))
    sign = -1 if answer < 0 else 1
    near = {answer + 1, answer - 1, answer + 2, answer - 2, answer + 10, answer - 10}
    for place in range(len(digits)):
        other = digits[:place] + rng.choice("123456789") + digits[place + 1 :]
        swapped = digits[:place] + digits[place : place + 2][::-1] + digits[place + 2 :]
        near |= {sign * int(other), sign * int(swapped)}
    near |= {answer + step for step in range(3, 3 + count)}
    near.discard(answer)
    first = sorted(near, key=lambda value: (len(str(value)) != len(str(answer)), rng.random()))
    return first[:count]


def _difficulty(chosen: Family, name: str, given: Mapping[str, Any] | BaseModel | None) -> BaseModel:
    if isinstance(given, BaseModel):
        return given
    try:
        return chosen.difficulty.model_validate(dict(given or {}))
    except ValidationError as failure:
        error = failure.errors(include_url=False)[0]
        key = ".".join(map(str, error["loc"])) or "difficulty"
        known = f"; {nearest(key, chosen.difficulty.model_fields)}" if error["type"] == "extra_forbidden" else ""
        raise UserError(f"generator {name}: {key}: {error['msg'].lower()}{known}") from None

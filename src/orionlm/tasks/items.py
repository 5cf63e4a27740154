"""How does a row of a user's own file become an item? By the names of its fields, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict

from orionlm.tasks import extract
from orionlm.tasks.task import LETTERS, Form, Item, Kind

MOST_CHOICES = len(LETTERS)


class Fields(BaseModel):
    """Which column holds what; a column that is not named has the name of what it holds."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: str | None = None
    question: str | None = None
    choices: str | None = None
    answer: str | None = None
    cluster: str | None = None
    shown: str | None = None


def own(row: Mapping[str, Any], number: int, kind: Kind, form: Form, fields: Fields, fixed: tuple[str, ...]) -> Item:
    """The item of a row; `fixed` choices stand for those of the row. ValueError says what is wrong with it."""

    def value(name: str, default: str) -> Any:
        column = getattr(fields, name)
        if column is not None and column not in row:
            raise ValueError(f"no field {column!r} (fields.{name}); the row has {', '.join(map(str, row)) or 'none'}")
        return row.get(column or default)

    question = value("question", "text" if kind == "text" and "question" not in row else "question")
    if not isinstance(question, str) or not question.strip():
        column = fields.question or ("text" if kind == "text" else "question")
        known = "" if column in row else f"; the row has {', '.join(map(str, row)) or 'no fields'}: map it with fields"
        raise ValueError(f"{column}: no text or empty{known}")
    choices = fixed or checked_choices(value("choices", "choices"))
    name = value("id", "id")
    if name is not None and (isinstance(name, bool) or not isinstance(name, (str, int)) or name == ""):
        raise ValueError(f"id: {name!r}: give text or a whole number")
    used = {"text" if kind == "text" else "question", *(getattr(fields, name) or name for name in Fields.model_fields)}
    extra = {str(key): inner for key, inner in row.items() if key not in used}
    shown = value("shown", "shown")
    if shown is not None:
        extra["shown"] = str(shown)
    return Item(
        str(number if name is None else name),
        question,
        choices,
        checked_answer(value("answer", "answer"), kind, form, choices),
        str(value("cluster", "cluster") or ""),
        extra,
    )


def checked_choices(value: Any) -> tuple[str, ...]:
    """A row's choices: at least two different texts, or none."""
    if value is None or value == [] or value == ():
        return ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(one, str) and one.strip() for one in value):
        raise ValueError("choices: give a list of texts that are not empty")
    if not 2 <= len(value) <= MOST_CHOICES:
        raise ValueError(f"choices: {len(value)}; give between 2 and {MOST_CHOICES}")
    if len(set(value)) < len(value):
        twice = next(one for n, one in enumerate(value) if one in value[:n])
        raise ValueError(f"choices: {twice[:40]!r} stands there twice")
    return tuple(value)


def checked_answer(value: Any, kind: Kind, form: Form, choices: tuple[str, ...]) -> Any:
    """What is right, as `Item.answer` holds it: of choices the index."""
    if kind == "text":
        return None
    if kind == "code":
        return _tests(value)
    if kind == "choice" and not choices:
        raise ValueError("choices: missing; a choice needs at least two")
    if value is None:
        raise ValueError("answer: missing")
    if choices:
        return _chosen(value, choices)
    many = tuple(value) if isinstance(value, (list, tuple)) else (value,)
    if not many:
        raise ValueError("answer: an empty list; give at least one right answer")
    checked = tuple(_answer(one, form) for one in many)
    return checked if isinstance(value, (list, tuple)) else checked[0]


def _chosen(value: Any, choices: tuple[str, ...]) -> int:
    letters = LETTERS[: len(choices)]
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < len(choices):
        return value
    if isinstance(value, str) and value in choices:
        return choices.index(value)
    if isinstance(value, str) and len(value.strip()) == 1 and value.strip().upper() in letters:
        return letters.index(value.strip().upper())
    raise ValueError(
        f"answer: {str(value)[:40]!r} is outside the choices; give an index from 0 to {len(choices) - 1}, a letter, or "
        "the choice's text"
    )


def _answer(value: Any, form: Form) -> Any:
    if form == "expression":
        numbers, target = (value.get("numbers"), value.get("target")) if isinstance(value, Mapping) else (None, None)
        whole = [*numbers, target] if isinstance(numbers, list) and numbers else [None]
        if not all(isinstance(one, int) and not isinstance(one, bool) for one in whole):
            raise ValueError("answer: give {numbers = [whole numbers], target = whole number} for an expression")
        return {"numbers": list(numbers or ()), "target": target}
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"answer: {str(value)[:40]!r}: give text or a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"answer: {value} is no usable number")
    if isinstance(value, int) and abs(value) >= 10**extract.MOST_DIGITS:
        raise ValueError(f"answer: a number of more than {extract.MOST_DIGITS} digits")
    if extract.canonical(str(value), form) is None:
        raise ValueError(f"answer: {str(value)[:40]!r} is no {form} (extract.form)")
    return value


def _tests(value: Any) -> dict[str, Any]:
    from orionlm.tasks.grading import Check

    if not isinstance(value, Mapping):
        raise ValueError('answer: give {"entry_point", "tests": [{"args", "expected"}, …]}, or "test" as Python')
    Check.of(value)
    return dict(value)

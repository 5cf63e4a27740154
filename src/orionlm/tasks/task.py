"""What is asked, and how? Items, the task that asks them, the suite of tasks."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from fractions import Fraction
from typing import Any, Literal

from orionlm.sampling import Sampling

Kind = Literal["choice", "generate", "code", "text"]
Normalisation = Literal["none", "characters", "bytes", "tokens", "unconditional"]
Form = Literal["exact", "text", "number", "letter", "words", "expression"]

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True)
class Item:
    """One question. `answer`: the index of the right choice; text, a number, or a tuple of answers that are all right;
    for code what `grading.Check.of` takes, whose "prompt" a program may go on from; None for text. Items of one
    `cluster` share a passage. `extra` holds the row's other columns; `extra["shown"]` is what stands as the answer
    where the item is an example.
    """

    id: str
    question: str
    choices: tuple[str, ...] = ()
    answer: Any = None
    cluster: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Extraction:
    """Where in a text the answer stands, and what makes two answers the same.

    `pattern`: its first group that matched, or all of it; None: the form's own rule. `form`: "exact" character by
    character; "text" without regard to case and space; "number" by value; "letter" of a choice; "words" a list;
    "expression" an arithmetic expression that must reach a target. `tolerance` is a share of the right number.
    """

    pattern: str | None = None
    take: Literal["first", "last"] = "last"
    ignore_case: bool = False
    form: Form = "text"
    tolerance: float = 0.0


@dataclass(frozen=True)
class Task:
    """Items of one kind, and how each is put before a model and read back.

    A base prompt is `description`, then `shots` examples of `examples` (question, `delimiter`, answer,
    `shot_delimiter`), then the question, each written by the template `prompt`. With `chat` they are messages after
    `system`. With `letters` the choices stand in the prompt and their letters are scored. `chance` is what guessing
    scores; `note` is a warning that goes with every number.
    """

    name: str
    kind: Kind
    items: tuple[Item, ...]
    examples: tuple[Item, ...] = ()
    shots: int = 0
    prompt: str = "{question}"
    description: str = ""
    delimiter: str = " "
    shot_delimiter: str = "\n\n"
    chat: bool = False
    system: str = ""
    letters: bool = False
    normalisation: Normalisation = "none"
    extraction: Extraction = Extraction()
    sampling: Sampling = Sampling(temperature=0.0)
    chance: float = 0.0
    note: str = ""

    @property
    def samples(self) -> int:
        """How many answers each item is given."""
        return self.sampling.n


@dataclass(frozen=True)
class Suite:
    """`digest` covers all that decides a score: items, examples, prompts, sampling, extraction; no paths."""

    name: str
    tasks: tuple[Task, ...]
    digest: str

    @classmethod
    def of(cls, name: str, tasks: tuple[Task, ...]) -> Suite:
        text = json.dumps([name, _plain(tasks)], sort_keys=True, ensure_ascii=True)
        return cls(name, tasks, hashlib.sha256(text.encode()).hexdigest())


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {part.name: _plain(getattr(value, part.name)) for part in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, Fraction):
        return str(value)
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)

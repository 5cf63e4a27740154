"""What is put before the model? A base prompt or messages, and for choices the texts whose likelihoods decide.

A base prompt is laid out as lm-eval does (its `fewshot_context` and `_encode_pair`), so that numbers can be compared:
question, delimiter, answer, delimiter of examples; white space at the end of a context belongs to the continuation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Any

from orionlm.tasks.task import LETTERS, Item, Task

Message = dict[str, str]
Render = Callable[[Sequence[Message]], str]  # a model's chat template, with the beginning of its answer

_PLACE = re.compile(r"\{\{|\}\}|\{([A-Za-z_]\w*)\}")


def question(task: Task, item: Item) -> str:
    """The item as the template `prompt` writes it."""
    return fill(task.prompt, values(item))


def fill(template: str, known: Mapping[str, Any]) -> str:
    """`template` with {name} replaced by known values, {{ and }} by braces; what is put in is not looked at again."""

    def replaced(found: re.Match[str]) -> str:
        name = found.group(1)
        return found.group()[0] if name is None else str(known[name])

    return _PLACE.sub(replaced, template)


def places(template: str) -> set[str]:
    """The names that `template` asks for."""
    return {name for name in _PLACE.findall(template) if name}


def values(item: Item) -> dict[str, Any]:
    """What a template may name: the row's own columns, the question, and its options with their letters."""
    options = "\n".join(f"{letter}. {choice}" for letter, choice in zip(LETTERS, item.choices, strict=False))
    return {**item.extra, "question": item.question, "options": options}


def examples(task: Task, item: Item) -> tuple[Item, ...]:
    """The first `shots` examples that do not ask the same; fewer only where there are no more."""
    asked = question(task, item) if task.shots else ""
    return tuple(islice((other for other in task.examples if question(task, other) != asked), task.shots))


def shown_answer(task: Task, item: Item) -> str:
    """The right answer as it stands in an example."""
    if "shown" in item.extra:
        return str(item.extra["shown"])
    if item.choices:
        return LETTERS[item.answer] if task.letters or task.kind == "generate" else item.choices[item.answer]
    return str(item.answer[0] if isinstance(item.answer, tuple) else item.answer)


def messages(task: Task, item: Item) -> list[Message]:
    """The conversation up to the model's turn."""
    system = task.system or task.description.rstrip()
    said = [{"role": "system", "content": system}] if system else []
    for example in examples(task, item):
        said.append({"role": "user", "content": question(task, example)})
        said.append({"role": "assistant", "content": shown_answer(task, example)})
    return [*said, {"role": "user", "content": question(task, item)}]


def context(task: Task, item: Item, render: Render | None = None) -> str:
    """The prompt as text; where the task is a chat, `render` applies the model's template."""
    if task.chat:
        assert render is not None, f"{task.name} is a chat: its messages need a template"
        return render(messages(task, item))
    parts = [task.description]
    for example in examples(task, item):
        parts += [question(task, example), task.delimiter, shown_answer(task, example), task.shot_delimiter]
    return "".join([*parts, question(task, item)])


def pairs(task: Task, item: Item, render: Render | None = None) -> list[tuple[str, str]]:
    """(context, continuation) whose log-likelihoods are wanted: of a choice each of its choices, then, where it is
    normalised by them, each without context; of a text ("", text). An empty context stands for a text's beginning."""
    if task.kind == "text":
        return [("", item.question)]
    assert task.kind == "choice", task.kind
    before = context(task, item, render)
    delimiter = "" if task.chat else task.delimiter
    choices = LETTERS[: len(item.choices)] if task.letters else item.choices
    asked = [split(before, delimiter + choice) for choice in choices]
    if task.normalisation == "unconditional":
        asked += [("", delimiter + choice) for choice in choices]
    return asked


def split(before: str, continuation: str) -> tuple[str, str]:
    """The same text, cut where the white space at the end of `before` begins: tokens begin with their space."""
    bare = before.rstrip()
    return bare, before[len(bare) :] + continuation

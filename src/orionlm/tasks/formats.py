"""How do the rows of the public test sets become items, and how are they asked?

Field names as published (openai/human-eval, google-research/mbpp, openai/gsm8k, cais/mmlu, allenai/ai2_arc,
rowanz/hellaswag); prompts, stop strings and HellaSwag's clean-up as lm-eval 0.4 has them, so that numbers compare.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from orionlm.tasks import extract, simplebench
from orionlm.tasks.task import LETTERS, Item

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Format:
    """`item` reads a row, ValueError says what is wrong with it; `settings` are the task's unless the suite says
    otherwise; `hub` is (data set, config, split) where no other place is named; `note` warns by the number of items."""

    item: Callable[[Row, int], Item]
    settings: Mapping[str, Any]
    hub: tuple[str, str | None, str] | None
    note: Callable[[int], str] | None = None


def humaneval(row: Row, number: int) -> Item:
    """task_id, prompt, entry_point, canonical_solution, test."""
    prompt, entry_point, test = (_text(row, name) for name in ("prompt", "entry_point", "test"))
    if not entry_point.isidentifier() or iskeyword(entry_point):
        raise ValueError(f"entry_point: {entry_point!r} is no name of a function")
    if "def check(" not in test:
        raise ValueError("test: defines no check(candidate)")
    solution = _optional(row, "canonical_solution")
    answer = {"prompt": prompt, "test": test, "entry_point": entry_point}
    return Item(_id(row, "task_id", number), prompt, (), answer, extra={"shown": solution} if solution else {})


def mbpp(row: Row, number: int) -> Item:
    """task_id, text (in the sanitized set: prompt), code, test_list, test_setup_code (sanitized: test_imports)."""
    name = "text" if "text" in row else "prompt"
    tests, imports, code = row.get("test_list"), row.get("test_imports") or [], _optional(row, "code")
    if not _texts(tests) or not tests:
        raise ValueError("test_list: give a list of assertions")
    if not _texts(imports):
        raise ValueError("test_imports: give a list of lines")
    extra = {"tests": "\n".join(tests[:3])}
    if code:
        extra["shown"] = code.replace("\r\n", "\n") + "\n[DONE]"
    setup = filter(None, [_optional(row, "test_setup_code"), *imports])
    answer = {"entry_point": _tested(tests, code), "test": "\n".join([*setup, *tests]).replace("\r\n", "\n")}
    return Item(_id(row, "task_id", number), _text(row, name), (), answer, extra=extra)


def _tested(tests: Sequence[str], code: str) -> str:
    """The function that all assertions call: the last that `code` defines, else the first that is no builtin."""
    called: list[set[str]] = []
    first: dict[str, None] = {}
    for test in tests:
        try:
            calls = [node.func for node in ast.walk(ast.parse(test)) if isinstance(node, ast.Call)]
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise ValueError(f"test_list: {test[:40]!r} is not Python") from None
        names = [call.id for call in calls if isinstance(call, ast.Name)]
        first |= dict.fromkeys(names)
        called.append(set(names))
    everywhere = set.intersection(*called)
    defined = [name for name in re.findall(r"^def[ \t]+(\w+)", code, re.MULTILINE) if name in everywhere]
    others = [name for name in first if name in everywhere and not hasattr(builtins, name)]
    if not defined and not others:
        raise ValueError("test_list: its assertions call no function in common")
    return defined[-1] if defined else others[0]


def gsm8k(row: Row, number: int) -> Item:
    """question, answer: the reasoning, and behind "####" the number."""
    solution = _text(row, "answer")
    value = solution.rpartition("####")[2].strip()
    if "####" not in solution or extract.number(value) is None:
        raise ValueError(f"answer: {solution[-40:]!r} ends in no '#### number'")
    return Item(_id(row, "id", number), _text(row, "question"), (), value, extra={"shown": solution})


def mmlu(row: Row, number: int) -> Item:
    """question, subject, choices, answer: an index or a letter."""
    choices, answer = _choices(row.get("choices"), "choices"), row.get("answer")
    if isinstance(answer, str) and len(answer.strip()) == 1 and answer.strip().upper() in LETTERS:
        answer = LETTERS.index(answer.strip().upper())
    subject = _optional(row, "subject")
    return Item(
        _id(row, "id", number), _text(row, "question").strip(), choices, _index(answer, choices, "answer"),
        extra={"subject": subject.replace("_", " ")},
    )  # fmt: skip


def arc(row: Row, number: int) -> Item:
    """id, question, choices {text, label}, answerKey: one of the labels, letters or digits."""
    given = row.get("choices")
    if not isinstance(given, Mapping) or not isinstance(given.get("label"), (list, tuple)):
        raise ValueError("choices: give an object with the lists text and label")
    choices, labels = _scored(_choices(given.get("text"), "choices.text")), [str(label) for label in given["label"]]
    if len(set(labels)) != len(choices) or len(labels) != len(choices):
        raise ValueError(f"choices: {len(choices)} texts but {len(set(labels))} different labels")
    key = str(row.get("answerKey"))
    if key not in labels:
        raise ValueError(f"answerKey: {key!r} is none of the labels {', '.join(labels)}")
    return Item(_id(row, "id", number), _text(row, "question"), choices, labels.index(key))


def hellaswag(row: Row, number: int) -> Item:
    """ind, activity_label, ctx_a, ctx_b, endings, label, source_id: items of one source share a passage."""
    before = _text(row, "activity_label"), _text(row, "ctx_a"), _optional(row, "ctx_b")
    choices = _scored(tuple(clean_hellaswag(ending) for ending in _choices(row.get("endings"), "endings")))
    label = row.get("label")
    if isinstance(label, str) and label.isascii() and label.isdigit():
        label = int(label) if len(label) < 3 else label
    question = clean_hellaswag(f"{before[0]}: {before[1]} {before[2].capitalize()}")
    return Item(
        _id(row, "ind", number), question, choices, _index(label, choices, "label"), str(row.get("source_id") or "")
    )


def clean_hellaswag(text: str) -> str:
    """Without the marks that its WikiHow part was published with: "[title]", "[step]", …"""
    *closed, rest = text.strip().replace(" [title]", ". ").split("]")
    kept = ""
    for part in closed:  # what re.sub(r"\[.*?\]", "", text) does, in linear time
        opened = part.find("[", part.rfind("\n") + 1)
        kept += part[:opened] if opened >= 0 else part + "]"
    return (kept + rest).replace("  ", " ")


_QUESTION = "Question: {question}\nAnswer:"

FORMATS: Mapping[str, Format] = {
    "humaneval": Format(
        humaneval,
        {
            "kind": "code",
            "delimiter": "",
            "sampling": {
                "temperature": 0.0,
                "max_tokens": 1024,
                "stop": ["\nclass", "\ndef", "\n#", "\nif", "\nprint"],
            },
        },
        ("openai/openai_humaneval", None, "test"),
    ),
    "mbpp": Format(
        mbpp,
        {
            "kind": "code",
            "delimiter": "",
            "prompt": "You are an expert Python programmer, and here is your task: {question} Your code should pass "
            "these tests:\n\n{tests}\n[BEGIN]\n",
            "sampling": {"temperature": 0.0, "max_tokens": 512, "stop": ["[DONE]"]},
        },
        ("google-research-datasets/mbpp", "full", "test"),
    ),
    "gsm8k": Format(
        gsm8k,
        {
            "kind": "generate",
            "prompt": _QUESTION,
            "extract": {"form": "number", "take": "last"},
            "sampling": {"temperature": 0.0, "max_tokens": 512, "stop": ["Question:", "</s>", "<|im_end|>"]},
        },
        ("openai/gsm8k", "main", "test"),
    ),
    "mmlu": Format(
        mmlu,
        {"kind": "choice", "letters": True, "prompt": "{question}\n{options}\nAnswer:"},
        ("cais/mmlu", "all", "test"),
    ),
    "arc": Format(
        arc,
        {"kind": "choice", "prompt": _QUESTION, "normalisation": "characters"},
        ("allenai/ai2_arc", "ARC-Challenge", "test"),
    ),
    "hellaswag": Format(
        hellaswag, {"kind": "choice", "normalisation": "characters"}, ("Rowan/hellaswag", None, "validation")
    ),
    "simplebench": Format(simplebench.item, simplebench.SETTINGS, None, simplebench.note),
}


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: {'missing' if name not in row else 'empty or no text'}")
    return value


def _optional(row: Row, name: str) -> str:
    value = row.get(name)
    if value is not None and not isinstance(value, str):
        raise ValueError(f"{name}: {str(value)[:40]!r} is no text")
    return value or ""


def _id(row: Row, name: str, number: int) -> str:
    """The number of the row where it has no id of its own."""
    value = row.get(name)
    if isinstance(value, bool) or not (value is None or isinstance(value, (str, int))):
        raise ValueError(f"{name}: {str(value)[:40]!r}: give text or a whole number")
    return str(number if value is None or value == "" else value)


def _texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)


def _choices(value: Any, name: str) -> tuple[str, ...]:
    if not _texts(value) or not 2 <= len(value) <= len(LETTERS):
        raise ValueError(f"{name}: give a list of 2 to {len(LETTERS)} texts")
    return tuple(value)


def _scored(choices: tuple[str, ...]) -> tuple[str, ...]:
    """Choices whose likelihoods are taken, and divided by their lengths."""
    if not all(choice.strip() for choice in choices):
        raise ValueError("one of the choices is empty")
    return choices


def _index(value: Any, choices: tuple[str, ...], name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < len(choices):
        raise ValueError(f"{name}: {value!r} is outside the {len(choices)} choices")
    return value

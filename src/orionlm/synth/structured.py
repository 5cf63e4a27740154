"""Is an answer what was asked for? Read strictly; where it cannot be read, asked again with the reason, or rejected.

Nothing is guessed: of JSON there must be exactly one value that fits, whole, without a key said twice; an element of a
list must stand in the text it is said to come from (Nemotron-4 340B, arXiv 2406.11704: lists are parsed to structure
in a second step, and what the original does not hold is rejected as hallucinated).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, RootModel, ValidationError

from orionlm.synth.desk import Ask, Desk, Reply
from orionlm.synth.methods import template

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
Lists = Literal["teacher", "strict"]

MOST_TEXT = 1 << 16
_OPENS = re.compile(r"[\[{]")
_MEANT = re.compile(r"[\[{]\s*[\"\[{]")  # what begins so is meant as JSON, and broken where it cannot be read
_ITEM = re.compile(r"^\s*(?:(\d{1,3})[.)]|[-*•–])\s+(?=\S)")
_EMPHASIS = re.compile(r"[*`]+|(?<!\w)_+|_+(?!\w)")
_QUOTES = str.maketrans("“”„‘’‚–—", "\"\"\"'''--")


class Unreadable(ValueError):
    """Why an answer is not what was asked for, in words that its writer can use."""


class Strings(RootModel[list[str]]):
    """A JSON list of strings."""


@dataclass(frozen=True)
class Read(Generic[T]):
    """What was read of the last `reply`, or why not. `repairs`: how often it had to be asked again."""

    value: T | None
    reply: Reply
    error: str = ""
    repairs: int = 0


async def ask_until(
    desk: Desk,
    ask: Ask,
    read: Callable[[str], T],
    *,
    teacher: str | None = None,
    repairs: int = 1,
    whole: Callable[[str], str] = lambda text: "",
) -> Read[T]:
    """Ask; what `read` cannot read goes back to the same teacher with the reason, at most `repairs` times. `whole` says
    what of an answer that was cut is whole nevertheless: nothing, if nobody says otherwise."""
    assert isinstance(ask.prompt, list), "only a chat can be told what is wrong"
    for done in range(repairs + 1):
        reply = await desk.ask(ask, teacher)
        if reply.error:
            return Read(None, reply, f"no answer: {reply.error}", done)
        try:
            text = whole(reply.text) if reply.finish == "length" else reply.text
            if reply.finish == "length" and not text.strip():
                raise Unreadable("it was cut at its longest; write less")
            return Read(read(text), reply, "", done)
        except Unreadable as problem:
            error = str(problem)
        mend = template("repair.txt").render(problem=error)
        messages = [*ask.prompt, {"role": "assistant", "content": reply.text}, {"role": "user", "content": mend}]
        ask, teacher = (
            replace(ask, prompt=messages),
            teacher or (reply.teacher if reply.teacher in desk.teachers else None),
        )
    return Read(None, reply, error, repairs)


async def structured(
    desk: Desk,
    ask: Ask,
    shape: type[M],
    *,
    teacher: str | None = None,
    repairs: int = 1,
    check: Callable[[M], str] = lambda value: "",
) -> Read[M]:
    """An answer in JSON of this shape. `check` says what else is wrong with a value that has it, or ""."""

    def read(text: str) -> M:
        value = from_json(text, shape)
        if problem := check(value):
            raise Unreadable(problem)
        return value

    return await ask_until(desk, ask, read, teacher=teacher, repairs=repairs)


def from_json(text: str, shape: type[M]) -> M:
    """The one JSON value in `text` that has the shape. Prose and fences around it are no matter."""
    text, fitting, problem, at = text[:MOST_TEXT], {}, "there is no JSON in it", 0
    decoder = json.JSONDecoder(object_pairs_hook=_once)
    while found := _OPENS.search(text, at):
        start = found.start()
        try:
            value, at = decoder.raw_decode(text, start)
        except Unreadable:
            raise
        except (ValueError, RecursionError) as error:
            if _MEANT.match(text, start):
                said = error.msg if isinstance(error, json.JSONDecodeError) else "nested too deeply"
                raise Unreadable(f"its JSON is broken: {said[:1].lower()}{said[1:]}") from None
            at = start + 1
            continue
        try:
            fitting[json.dumps(value, sort_keys=True)] = shape.model_validate_json(text[start:at], strict=True)
        except ValidationError as failure:
            error_ = failure.errors(include_url=False, include_context=False, include_input=False)[0]
            problem = ": ".join(filter(None, (".".join(map(str, error_["loc"])), error_["msg"].lower())))
        except (ValueError, RecursionError):
            problem = "nested too deeply"
    if len(fitting) == 1:
        return next(iter(fitting.values()))
    raise Unreadable(f"{len(fitting)} different JSON values in it fit; give one" if fitting else problem)


def yes_or_no(text: str) -> bool:
    """A classifier's answer. What says both, or neither at its beginning, is no answer."""
    words = re.findall(r"[^\W\d_]+", text.casefold())
    said = {"yes", "no"} & set(re.findall(r"[^\W\d_]+", re.split(r"[.\n!]", text.casefold().strip(), maxsplit=1)[0]))
    if not words or words[0] not in said or len(said) != 1:
        raise Unreadable("it is neither Yes nor No; answer with that one word")
    return words[0] == "yes"


@dataclass(frozen=True)
class Listed:
    """The elements of a list, in order, without duplicates; those that its text does not hold, apart."""

    items: tuple[str, ...]
    reply: Reply
    hallucinated: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()
    error: str = ""


async def listed(
    desk: Desk, ask: Ask, *, teacher: str | None = None, repairs: int = 1, how: Lists = "teacher"
) -> Listed:
    """Ask for a list, then parse it: by the teacher into JSON, in a second step; or `strict`, only where every line
    of it is marked as an element, which models too small for JSON can do."""
    if how == "strict":
        lines = await ask_until(
            desk, ask, marked_lines, teacher=teacher, repairs=repairs, whole=lambda text: text.rpartition("\n")[0]
        )
        return _kept(lines.value or [], lines.reply.text, lines.reply, lines.error)
    reply = await desk.ask(ask, teacher)
    if reply.error or not reply.text.strip():
        return Listed((), reply, error=f"no answer: {reply.error}" if reply.error else "the answer is empty")
    prompt = template("list.txt").render(text=reply.text)
    second = replace(ask, prompt=[{"role": "user", "content": prompt}], temperature=0.0)
    parsed = await structured(desk, second, Strings, teacher=teacher, repairs=repairs)
    return _kept(parsed.value.root if parsed.value else [], reply.text, reply, parsed.error)


def marked_lines(text: str) -> list[str]:
    """The elements of a text that is a list and nothing else: numbered from 1 in order, or under one kind of mark."""
    lines = [line for line in text.splitlines() if line.strip()]
    marks = [_ITEM.match(line) for line in lines]
    numbers = [mark.group(1) for mark in marks if mark]
    if not lines or not all(marks):
        raise Unreadable("not every line of it is an element; give a numbered list and nothing else")
    if any(numbers) and numbers != [str(n + 1) for n in range(len(lines))]:
        raise Unreadable("its numbers do not count from 1; give a numbered list and nothing else")
    return [_ITEM.sub("", line).strip() for line in lines]


def stands_in(element: str, text: str) -> bool:
    """Whether the words of `element` stand in `text` as they are, but for case, space and emphasis."""
    plain = _plain(element).strip(" .:;,")
    return bool(plain) and bool(re.search(rf"(?<!\w){re.escape(plain)}(?!\w)", _plain(text)))


def same_words(text: str) -> str:
    """One writing for all that differ in case, space and marks alone: duplicates have it in common."""
    return " ".join(re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())) or text.strip()


def _kept(elements: list[str], text: str, reply: Reply, error: str) -> Listed:
    items: dict[str, str] = {}
    absent, twice = [], []
    for element in (_ITEM.sub("", each).strip() for each in elements):
        if not stands_in(element, text):
            absent.append(element)
        elif (name := same_words(element)) in items:
            twice.append(element)
        else:
            items[name] = element
    if not error and not items:
        error = "none of its elements stands in the text" if absent else "an empty list"
    return Listed(tuple(items.values()), reply, tuple(absent), tuple(twice), error)


def _plain(text: str) -> str:
    text = _EMPHASIS.sub("", unicodedata.normalize("NFKC", text).translate(_QUOTES))
    return " ".join(text.casefold().split())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    said = dict(pairs)
    if len(said) != len(pairs):
        raise Unreadable("a key stands twice in an object of its JSON")
    return said

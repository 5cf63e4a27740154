"""Which of these lines was really written? Code beside corruptions of it, for models too small to write any.

"next_line": the line that follows a context. "middle": the lines between a context and what follows them, which is
rendered after each candidate, so that a model that reads forward can infill. Every item has one real candidate.
"""

from __future__ import annotations

import hashlib
import heapq
import keyword
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import Random
from typing import Literal

from orionlm.errors import UserError
from orionlm.tasks.task import Item

Make = Literal["next_line", "middle"]

CONTEXT = 600  # characters before what is asked: small models have small contexts
AFTER = 200
LINES = 3  # of a middle
A_DOCUMENT = 8  # items from one document at most, so that no document decides
TRIES = 40

_STRING = r"'(?:[^'\\\n]|\\.){0,200}'|\"(?:[^\"\\\n]|\\.){0,200}\"|#.*"
_WORD = re.compile(rf"{_STRING}|([A-Za-z_]\w*)")
_SWAPS = {
    "==": "!=", "!=": "==", "<=": ">", ">=": "<", "<": ">=", ">": "<=", "+=": "-=", "-=": "+=", "+": "-", "-": "+",
    "*": "+", "/": "*", "//": "/", "%": "//", "and": "or", "or": "and", "True": "False", "False": "True",
    "is": "is not", "in": "not in", "not": "",
}  # fmt: skip
_OPERATOR = re.compile(rf"{_STRING}|->|\*\*|(==|!=|<=|>=|\+=|-=|//|[<>+\-*/%]|\b(?:and|or|True|False|is|in|not)\b)")

_TRIPLE = re.compile(r"\"\"\"|'''")

Corruption = Callable[[list[str], Sequence[str], Random], "list[str] | None"]


def items(texts: Iterable[tuple[str, str]], make: Make, n: int, seed: int = 0, wrong: int = 3) -> list[Item]:
    """`n` items out of (name, text) of code, the documents drawn by hash; UserError where the texts hold fewer."""
    if not 1 <= n <= 100_000:
        raise UserError(f"n = {n}: give between 1 and 100,000")
    if not 1 <= wrong <= len(_CORRUPTIONS) * 2:
        raise UserError(f"wrong = {wrong}: give between 1 and {len(_CORRUPTIONS) * 2}")

    def order(document: tuple[str, str]) -> bytes:
        return hashlib.sha256(f"{seed} {document[0]}\0".encode() + document[1].encode()).digest()

    drawn = heapq.nsmallest(n, {text: (name, text) for name, text in texts}.values(), key=order)
    asked = deque(_of_document(name, text, make, seed, wrong) for name, text in drawn)
    found: list[Item] = []
    while asked and len(found) < n:  # one item of each document, then a second of each, …
        item = next(asked[0], None)
        if item is None:
            asked.popleft()
        else:
            found.append(item)
            asked.rotate(-1)
    if len(found) < n:
        raise UserError(
            f"corrupted code: n = {n:,}, but {len(drawn):,} texts give only {len(found):,} items (at most {A_DOCUMENT} "
            "each); give more code, or ask for fewer"
        )
    return found


def _of_document(name: str, text: str, make: Make, seed: int, wrong: int) -> Iterator[Item]:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    rng = Random(f"{seed} {name}")
    size = 1 if make == "next_line" else LINES
    prose = _prose(lines)
    places = [n for n in range(2, len(lines) - size) if lines[n].strip() and not prose & set(range(n, n + size))]
    rng.shuffle(places)
    given = 0
    taken: set[int] = set()
    for at in places:
        if given == A_DOCUMENT:
            return
        covered = set(range(at, at + size))
        if covered & taken:
            continue
        item = _item(f"{name}:{at + 1}", name, lines, at, size, make, wrong, rng)
        if item:
            given += 1
            taken |= covered
            yield item


def _prose(lines: list[str]) -> set[int]:
    """Lines that are comments, or touch a string of three quotes."""
    found = set()
    inside = ""
    for n, line in enumerate(lines):
        if inside or _TRIPLE.search(line) or line.lstrip().startswith("#"):
            found.add(n)
        for quotes in _TRIPLE.findall(line):
            if not inside:
                inside = quotes
            elif inside == quotes:
                inside = ""
    return found


def _item(
    id: str, cluster: str, lines: list[str], at: int, size: int, make: Make, wrong: int, rng: Random
) -> Item | None:
    before = ("\n".join(lines[:at]) + "\n")[-CONTEXT:]
    before = before[before.find("\n") + 1 :] if at and len(before) == CONTEXT else before
    real = lines[at : at + size]
    nearby = list(dict.fromkeys(_words("\n".join([before, *real]))))
    options = corruptions(real, nearby, wrong, rng)
    if options is None or not before.strip():
        return None
    after = ""
    if make == "middle":
        after = "\n" + "\n".join(lines[at + size :])[:AFTER]
        after = after[: after.rfind("\n") + 1] or "\n"
        if not after.strip():
            return None
    else:
        after = "\n"
    candidates = [(real, "real"), *options]
    rng.shuffle(candidates)
    texts = tuple("\n".join(candidate) + after for candidate, _ in candidates)
    kinds = [kind for _, kind in candidates]
    return Item(id, before, texts, kinds.index("real"), cluster, {"corruptions": kinds})


def corruptions(real: list[str], nearby: Sequence[str], count: int, rng: Random) -> list[tuple[list[str], str]] | None:
    """`count` distinct corruptions of lines with their kinds, as many kinds as can be; None where there are fewer."""
    found: list[tuple[list[str], str]] = []
    known = [real]
    kinds = list(_CORRUPTIONS)
    rng.shuffle(kinds)
    for turn in range(TRIES):
        kind = kinds[turn % len(kinds)]
        changed = _CORRUPTIONS[kind](real, nearby, rng)
        if changed is not None and changed not in known:
            known.append(changed)
            found.append((changed, kind))
        if len(found) == count:
            return found
    return None


def _swap_identifier(lines: list[str], nearby: Sequence[str], rng: Random) -> list[str] | None:
    """Another name of the neighbourhood stands in the place of one."""
    places = [(n, m) for n, line in enumerate(lines) for m in _WORD.finditer(line) if _is_name(m.group(1))]
    others = [name for name in nearby if name not in {m.group(1) for _, m in places}]
    if not places or not others:
        return None
    n, found = rng.choice(places)
    return _replaced(lines, n, found.start(), found.end(), rng.choice(others))


def _change_operator(lines: list[str], nearby: Sequence[str], rng: Random) -> list[str] | None:
    """An operator becomes its opposite."""
    places = [(n, m) for n, line in enumerate(lines) for m in _OPERATOR.finditer(line) if m.group(1)]
    if not places:
        return None
    n, found = rng.choice(places)
    end = found.end()
    new = _SWAPS[found.group(1)]
    if not new and lines[n][end : end + 1] == " ":
        end += 1
    return _replaced(lines, n, found.start(), end, new)


def _break_indentation(lines: list[str], nearby: Sequence[str], rng: Random) -> list[str] | None:
    """One line moves in or out by a step."""
    written = [n for n, line in enumerate(lines) if line.strip()]
    if not written:
        return None
    n = rng.choice(written)
    out = lines[n].startswith("    ") and rng.random() < 0.5
    moved = lines[n][4:] if out else "    " + lines[n]
    return [*lines[:n], moved, *lines[n + 1 :]]


def _shuffle(lines: list[str], nearby: Sequence[str], rng: Random) -> list[str] | None:
    """Lines change places; of a single line its words do."""
    if len(lines) > 1:
        return rng.sample(lines, len(lines))
    indent = lines[0][: len(lines[0]) - len(lines[0].lstrip())]
    words = re.findall(r"\w+|[^\w\s]+|\s+", lines[0].strip())
    places = [n for n, word in enumerate(words) if re.match(r"\w", word)]
    if len(places) < 2:
        return None
    one, other = rng.sample(places, 2)
    words[one], words[other] = words[other], words[one]
    return [indent + "".join(words)]


_CORRUPTIONS: dict[str, Corruption] = {
    "identifier": _swap_identifier,
    "operator": _change_operator,
    "indentation": _break_indentation,
    "order": _shuffle,
}


def _replaced(lines: list[str], n: int, start: int, end: int, new: str) -> list[str]:
    return [*lines[:n], lines[n][:start] + new + lines[n][end:], *lines[n + 1 :]]


def _words(text: str) -> list[str]:
    return [found.group(1) for found in _WORD.finditer(text) if _is_name(found.group(1))]


def _is_name(word: str | None) -> bool:
    return bool(word) and not keyword.iskeyword(word or "") and not keyword.issoftkeyword(word or "")

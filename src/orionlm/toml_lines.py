"""On which line each key of a TOML text stands, which tomllib does not tell (grammar: toml.io/en/v1.0.0)."""

from __future__ import annotations

import re
import tomllib
from bisect import bisect_left
from collections.abc import Iterator

KeyPath = tuple[str | int, ...]

_BLANK = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_STRING = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}(?!")' r"|'''.*?'{3,5}(?!')" r'|"(?:\\.|[^"\\\n])*"' r"|'[^'\n]*'", re.DOTALL
)
_SCALAR = re.compile(r"[^,\]}#\n]+")


def key_lines(text: str) -> Iterator[tuple[KeyPath, int]]:
    """(key path, line) of every key and table header in `text`, which must be valid TOML."""
    position = 0
    table: KeyPath = ()
    counts: dict[KeyPath, int] = {}

    breaks = [found.start() for found in re.finditer("\n", text)]

    def line() -> int:
        return bisect_left(breaks, position) + 1

    def match(pattern: re.Pattern[str]) -> str:
        nonlocal position
        found = pattern.match(text, position)
        assert found is not None, (position, pattern.pattern)
        position = found.end()
        return found.group()

    def take(token: str) -> bool:
        nonlocal position
        if not text.startswith(token, position):
            return False
        position += len(token)
        return True

    def key() -> tuple[str, ...]:
        parts = []
        while True:
            match(_SPACE)
            if text[position] in "\"'":
                parts.append(next(iter(tomllib.loads(match(_STRING) + " = 0"))))
            else:
                parts.append(match(_BARE))
            match(_SPACE)
            if not take("."):
                return tuple(parts)

    def resolve(path: tuple[str, ...]) -> KeyPath:
        """A header's path, with the number of the element it continues after each name of an array of tables."""
        resolved: KeyPath = ()
        for part in path:
            resolved = (*resolved, part)
            if resolved in counts:
                resolved = (*resolved, counts[resolved] - 1)
        return resolved

    def assignment(parent: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        number = line()
        parts = key()
        take("=")
        for n in range(1, len(parts) + 1):
            yield (*parent, *parts[:n]), number
        yield from value((*parent, *parts))

    def value(at: KeyPath) -> Iterator[tuple[KeyPath, int]]:
        match(_SPACE)
        if take("["):
            n = 0
            while not (match(_BLANK), take("]"))[1]:
                yield (*at, n), line()
                yield from value((*at, n))
                match(_BLANK)
                take(",")
                n += 1
        elif take("{"):
            while not (match(_BLANK), take("}"))[1]:
                yield from assignment(at)
                match(_BLANK)
                take(",")
        elif text[position] in "\"'":
            match(_STRING)
        else:
            match(_SCALAR)

    while match(_BLANK) is not None and position < len(text):
        if take("[["):
            path = key()
            number = line()
            array = (*resolve(path[:-1]), path[-1])
            counts[array] = counts.get(array, 0) + 1
            table = (*array, counts[array] - 1)
            take("]]")
            yield table, number
            if counts[array] == 1:
                yield array, number
        elif take("["):
            number = line()
            table = resolve(key())
            take("]")
            yield table, number
        else:
            yield from assignment(table)

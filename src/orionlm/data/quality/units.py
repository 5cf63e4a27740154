"""What do the prose rules take for a line, a paragraph, and the part of a very long text that they look at?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Literal

Unit = Literal["line", "paragraph"]
JUDGED = 1 << 24
_BLANK = re.compile(r"\n\s*\n")
_LINE = re.compile(r"[^\n]+")


def judged(text: str) -> str:
    """What ratios are taken from: the whole text, or the first 16M characters of a longer one."""
    return text if len(text) <= JUDGED else text[:JUDGED]


def lines(text: str) -> Iterable[str]:
    """The lines that hold something, without the white space around them."""
    if len(text) <= JUDGED:
        return [bare for line in text.split("\n") if (bare := line.strip())]
    return (bare for match in _LINE.finditer(text) if (bare := match.group().strip()))  # 10^8 lines are never held


def paragraphs(text: str) -> Iterator[str]:
    """What stands between blank lines, without the white space around it."""
    begin = 0
    for match in chain(_BLANK.finditer(text), [None]):
        if bare := text[begin : match.start() if match else None].strip():
            yield bare
        begin = match.end() if match else begin


def units(text: str, unit: Unit) -> Iterable[str]:
    return lines(text) if unit == "line" else paragraphs(text)

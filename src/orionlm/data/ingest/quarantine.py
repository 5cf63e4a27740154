"""What could not be used, and why? Counted by reason, with a look at the first of each."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from typing import Any

from orionlm.progress import visible

LONGEST = 1 << 28
KEPT = 1000
SHOWN = 1 << 10
FIRST = 3


class Quarantine:
    """What could not be used: how much of it by reason, where first, and what the first `KEPT` of each began with.

    `rows` that could be read as such, and how many of them lack a field that settings name. A line longer than
    `longest` bytes is not even read.
    """

    def __init__(self, longest: int = LONGEST) -> None:
        self.longest = longest
        self.counts: Counter[str] = Counter()
        self.first: dict[str, list[str]] = {}
        self.kept: dict[str, list[dict[str, str]]] = {}
        self.rows = 0
        self.lacking: Counter[str] = Counter()
        self.lacking_first: dict[str, str] = {}

    def add(self, reason: str, where: str, content: str | bytes = b"", count: int = 1) -> None:
        """`count` rows (one, where nobody can say how many) are lost at `where`."""
        first = self.first.setdefault(reason, [])
        if len(first) < FIRST:
            first.append(visible(where))
        kept = self.kept.setdefault(reason, [])
        if len(kept) < KEPT:
            kept.append({"where": where, "reason": reason, **_shown(content)})
        self.counts[reason] += count

    def lack(self, setting: str, where: str, row: Mapping[str, Any]) -> None:
        """The row does not have the field that `setting` names."""
        self.lacking[setting] += 1
        if setting not in self.lacking_first:
            self.lacking_first[setting] = (
                f"{visible(where)}, has {visible(printable(', '.join(map(str, row)))) or 'no fields'}"
            )

    def include(self, record: Mapping[str, Any]) -> None:
        """What another one found further on, given as its `vars`."""
        self.counts.update(record["counts"])
        self.lacking.update(record["lacking"])
        self.rows += record["rows"]
        for name, limit in (("first", FIRST), ("kept", KEPT)):
            for reason, found in record[name].items():
                held = getattr(self, name).setdefault(reason, [])
                held += found[: limit - len(held)]
        self.lacking_first = record["lacking_first"] | self.lacking_first


def _shown(content: str | bytes) -> dict[str, str]:
    head = content[:SHOWN]
    if isinstance(head, str):
        head = head.encode("utf-8", "surrogatepass")[:SHOWN]
    try:
        return {"text": head.decode()}
    except UnicodeDecodeError as error:
        if len(head) == SHOWN and error.start > SHOWN - 4 and error.reason == "unexpected end of data":
            return {"text": head[: error.start].decode()}  # cut within a character
        return {"base64": base64.b64encode(head).decode()}


def printable(name: str) -> str:
    """The same, or where it has no UTF-8 form (names of files may not) with backslashes."""
    return name.encode("utf-8", "backslashreplace").decode()

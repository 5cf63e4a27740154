"""Which format was asked for, and is it there? And rows that should look like real text: are they laid out as it is?

A declared format is a target: the rows need it, and are not held against the layout, the length or the phrases of real
text. `as real` is the default.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from orionlm.errors import UserError
from orionlm.settings import nearest
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often, ranks_higher
from orionlm.synth.rows import Row

Array = np.ndarray
FAULT = "other format"
AS_REAL, DECLARED = "as real", "declared"
MARGIN = 0.1  # of rows that lack what was declared
# Of Cliff's delta, between texts that are otherwise alike: a teacher's lines are never quite those of the real text,
# and only another format altogether is meant here. Real against held-out real reaches .1 (300 a side).
LAYOUT_MARGIN = 0.5
_BULLET = re.compile(r"^[ \t]*(?:[-*+•‣–]|\d{1,3}[.)])\s+\S", re.M)
_QUESTION = re.compile(r"^[#* \t]*(?:Q(?:uestion)?\s?\d*\s?[:.)]|.{3,300}\?\s*\**\s*$)", re.M | re.I)
_TURN = re.compile(r"^[ \t]*\**[A-Z][\w .]{0,30}\**:\**\s*\S", re.M)
_MATHS = re.compile(r"\d\s*[-+*/×÷=<>^]|[=≈]\s*[-$]?\d|\d+%|\\frac|\bsolv|\bcalculat|how (?:many|much)", re.I)


def _lines(text: str) -> int:
    return sum(bool(line.strip()) for line in text.splitlines())


FORMATS: dict[str, Callable[[str], bool]] = {
    "faq": lambda text: bool(_QUESTION.search(text)),
    "list": lambda text: 2 * len(_BULLET.findall(text)) >= max(2, _lines(text) - 3),
    "table": lambda text: sum("|" in line or "\t" in line for line in text.splitlines()) >= 2,
    "math": lambda text: bool(_MATHS.search(text)),
    "dialogue": lambda text: len(_TURN.findall(text)) >= 2,
    "tutorial": lambda text: _lines(text) >= 2,
    "code": lambda text: bool(re.search(r"[=(){}\[\];:]\s*$", text, re.M)),
    "prose": lambda text: 2 * len(_BULLET.findall(text)) <= _lines(text),
}


def formats(settings: str | Mapping[str, str], rows: Sequence[Row]) -> list[str]:
    """The format each row was asked for; `settings` names one, or one a method."""
    named = [settings] if isinstance(settings, str) else list(settings.values())
    for name in named:
        if name not in FORMATS and name not in (AS_REAL, DECLARED):
            raise UserError(f"format: there is no format {name!r}; {nearest(name, [AS_REAL, DECLARED, *FORMATS])}")
    if isinstance(settings, str):
        asked = [settings] * len(rows)
    else:
        methods = {name for row in rows for name in (row.method, row.method.split("/")[0])}
        if rows and (unused := [name for name in settings if name not in methods]):
            known = (
                f"methods are {', '.join(sorted(methods))}" if any(methods) else "rows name no method; give a format"
            )
            raise UserError(f"format: no row is of the method {unused[0]!r}; {known}")
        asked = [settings.get(row.method, settings.get(row.method.split("/")[0], AS_REAL)) for row in rows]
    return [_said_by(row) if format == DECLARED else format for row, format in zip(rows, asked, strict=True)]


def _said_by(row: Row) -> str:
    form = str(row.more.get("format", row.form))
    return form if form in FORMATS else AS_REAL


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    found = []
    lacks = np.zeros(len(sides.rows), bool)
    for number, (text, format) in enumerate(zip(sides.rows, sides.format, strict=True)):
        lacks[number] = format != "as real" and not FORMATS[format](text)
    if not sides.as_real.all():
        none, owners = np.zeros(len(sides.real), bool), sides.owners()
        found.append(more_often("without the declared format", FAULT, lacks, none, MARGIN, owners=owners))
    if sides.some_as_real:
        rows = _layout([text for text, real in zip(sides.inner_rows, sides.as_real, strict=True) if real])
        real = _layout(sides.bare_real)
        for column, name in enumerate(("characters a line", "share of signs", "lines with a mark")):
            sizes, owners = (rows[:, column], real[:, column]), sides.owners(sides.as_real)
            found.append(ranks_higher(name, FAULT, *sizes, LAYOUT_MARGIN, two_sided=True, owners=owners))
    return found, lacks


def _layout(texts: Sequence[str]) -> Array:
    return np.array(
        [
            (
                len(text) / max(1, _lines(text)),
                len(re.findall(r"[^\w\s]", text)) / max(1, len(text)),
                (len(_BULLET.findall(text)) + len(_TURN.findall(text))) / max(1, _lines(text)),
            )
            for text in texts
        ],
        float,
    ).reshape(len(texts), 3)

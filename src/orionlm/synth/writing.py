"""How do methods and teachers come to enough rows? Rounds over the seeds, side by side, in an order that stands.

The rows are the same for the same answers: methods yield in the order of their seeds, whoever answers first.
"""

from __future__ import annotations

import asyncio
import hashlib
import math
import time
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.synth.desk import Desk, Seed, Teacher
from orionlm.synth.methods import load
from orionlm.synth.rows import Row
from orionlm.synth.teachers import Asked, TeacherSettings, asked

HOPELESS = 100  # rows of one method that are rejected before any is kept: it would only go on so
UNCOUNTED = 10  # kept rows of no tokens, where tokens are wanted: the teacher does not count them
REASONS = 20  # that the report names


class _Hopeless(UserError):
    """One method keeps nothing; others may."""


@dataclass
class Generated:
    """The rows, rejected ones too (their `error` says why), in the order of methods and seeds; what it took; lines that
    a person should read."""

    rows: list[Row] = field(default_factory=list)
    teachers: dict[str, dict[str, Any]] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    @property
    def kept(self) -> list[Row]:
        return [row for row in self.rows if not row.error]

    def report(self) -> dict[str, Any]:
        """Counts by method and variant, why rows were rejected, who wrote."""
        methods = {}
        for name in dict.fromkeys(row.method for row in self.rows):
            own = [row for row in self.rows if row.method == name]
            reasons = Counter(row.error for row in own if row.error)
            methods[name] = {
                "rows": len(own),
                "kept": len(own) - reasons.total(),
                "kept_tokens": sum(row.tokens for row in own if not row.error),
                "kept_characters": sum(len(row.text) for row in own if not row.error),
                "rejected": dict(reasons.most_common(REASONS)),
            }
        kept = self.kept
        return {
            "rows": len(self.rows),
            "kept": len(kept),
            "kept_tokens": sum(row.tokens for row in kept),
            "methods": methods,
            "seeds": len({seed for row in self.rows for seed in row.seeds}),
            "licences": dict(Counter(row.licence for row in kept).most_common()),
            "terms": dict(Counter(row.terms for row in kept).most_common()),
            "depth": max((row.depth for row in kept), default=0),
            "teachers": self.teachers,
            "warnings": self.warnings,
        }


async def generate(
    seeds: Sequence[Seed],
    methods: Mapping[str, BaseModel],
    teachers: Sequence[TeacherSettings],
    store: Path,
    *,
    seed: int,
    rows: int | None = None,
    tokens: int | None = None,
    progress: Progress | None = None,
    record: Callable[..., None] = lambda purpose, **spent: None,
) -> Generated:
    """What `teachers` write by `methods`. `record(purpose, **spent)` is told what it took; `store` is a folder of what
    was answered, and a second call with it buys nothing again."""
    async with asked(teachers, store, record=record, progress=progress) as ready:
        found = await write(seeds, methods, ready, seed=seed, rows=rows, tokens=tokens, progress=progress)
        found.teachers = {name: about(teacher, found.rows) for name, teacher in ready.items()}
    return found


async def write(
    seeds: Sequence[Seed],
    methods: Mapping[str, BaseModel],
    teachers: Mapping[str, Teacher],
    *,
    seed: int,
    rows: int | None = None,
    tokens: int | None = None,
    progress: Progress | None = None,
) -> Generated:
    """The same with teachers that are open already. Methods work side by side, each for its share."""
    if not seeds:
        raise UserError("corpus: no document to write from; give one that has some")
    progress = progress or Progress(quiet=True)
    share = len(methods)
    parts = [
        _Part(name, settings, share_of(rows, share, place), share_of(tokens, share, place))
        for place, (name, settings) in enumerate(methods.items())
    ]
    with progress.task("writing", total=rows or tokens) as task:
        pace = _Pace(parts, teachers, rows is None and tokens is not None, task.update)
        work = [asyncio.ensure_future(part.write(seeds, teachers, seed, pace.show)) for part in parts]
        try:
            await asyncio.gather(*work)
        finally:
            for each in work:
                each.cancel()
            await asyncio.gather(*work, return_exceptions=True)
    if all(part.hopeless for part in parts):
        raise UserError(parts[0].hopeless)
    found = Generated([row for part in parts for row in part.rows])
    found.warnings = [warning for part in parts for warning in part.warnings] + _revisions(found.rows)
    for warning in found.warnings:
        progress.say(f"warning: {warning}")
    return found


class _Part:
    """One method's share of the work: rounds over the seeds until it has what it is to bring."""

    def __init__(self, name: str, settings: BaseModel, rows: int | None, tokens: int | None) -> None:
        self.name, self.settings, self.most_rows, self.most_tokens = name, settings, rows, tokens
        self.rows: list[Row] = []
        self.kept = self.tokens = 0
        self.warnings: list[str] = []
        self.hopeless = ""
        self._texts: set[bytes] = set()

    async def write(
        self, seeds: Sequence[Seed], teachers: Mapping[str, Teacher], seed: int, show: Callable[[], None]
    ) -> None:
        round = 0
        while True:
            before = self.kept
            desk = Desk(teachers, seed, self.name, round)
            desk.wanted = self._wanted(desk)
            rows: AsyncGenerator[Row, None] = load(self.name).write(self.settings, seeds, desk)
            try:
                async for row in rows:
                    self._take(row)
                    desk.wanted = self._wanted(desk)
                    show()
                    if self.enough:
                        return
            except _Hopeless as end:
                self.hopeless = str(end)
                self.warnings.append(self.hopeless)
                return
            finally:
                await rows.aclose()
            if self.most_rows is None and self.most_tokens is None:
                return
            if self.kept == before:  # another pass would bring nothing either
                self.warnings.append(
                    f"{self.name}: the seeds bring no more: {self.kept:,} rows kept of {self.most_rows:,} wanted"
                    if self.most_rows
                    else f"{self.name}: the seeds bring no more: {self.tokens:,} tokens of {self.most_tokens:,} wanted"
                )
                return
            round += 1

    @property
    def enough(self) -> bool:
        return (self.most_rows is not None and self.kept >= self.most_rows) or (
            self.most_tokens is not None and self.tokens >= self.most_tokens
        )

    def _take(self, row: Row) -> None:
        if not row.error:
            digest = hashlib.sha256(row.text.encode("utf-8", "replace")).digest()[:16]
            row = row.judged("again", "the same text as an earlier row" if digest in self._texts else "")
            self._texts.add(digest)
        self.rows.append(row)
        if not row.error:
            self.kept += 1
            self.tokens += row.tokens
            if self.most_rows is None and self.most_tokens and not self.tokens and self.kept >= UNCOUNTED:
                raise UserError(
                    f"tokens: teacher {row.teacher} does not say how many it writes (no usage); ask for rows, "
                    "what was answered is kept"
                )
        elif not self.kept and len(self.rows) >= HOPELESS:
            worst, count = Counter(row.error for row in self.rows).most_common(1)[0]
            raise _Hopeless(
                f"{self.name}: none of the first {len(self.rows)} rows can be kept ({count}: {worst}); mend that, "
                "what was answered is kept"
            )

    def _wanted(self, desk: Desk) -> int:
        """No more is asked at once than rows are missing: what comes after the last one is paid for in vain."""
        wanted = desk.at_once
        if self.most_rows is not None:
            wanted = min(wanted, self.most_rows - self.kept)
        if self.most_tokens is not None and self.kept:
            wanted = min(wanted, math.ceil((self.most_tokens - self.tokens) * self.kept / max(self.tokens, 1)))
        return max(1, wanted)


class _Pace:
    """What a person is told while it goes on."""

    def __init__(
        self, parts: Sequence[_Part], teachers: Mapping[str, Teacher], by_tokens: bool, update: Callable[..., None]
    ) -> None:
        self.parts, self.by_tokens, self.update = parts, by_tokens, update
        self.teachers = [teacher for teacher in teachers.values() if isinstance(teacher, Asked)]
        self.began = time.monotonic()

    def show(self) -> None:
        kept, tokens = sum(part.kept for part in self.parts), sum(part.tokens for part in self.parts)
        rejected = sum(len(part.rows) for part in self.parts) - kept
        tallies = [teacher.tally() for teacher in self.teachers]
        rate = sum(tally.completion_tokens for tally in tallies) / max(time.monotonic() - self.began, 1e-3)
        dollars = [spent for teacher in self.teachers if (spent := teacher.dollars) is not None]
        note = [f"{kept:,} rows", f"{rejected:,} rejected" if rejected else "", f"{rate:,.0f} tokens/s" if rate else ""]
        note.append(f"${sum(dollars):.4g}" if dollars else "")
        self.update(tokens if self.by_tokens else kept, " · ".join(filter(None, note)))


def share_of(whole: int | None, parts: int, place: int) -> int | None:
    return None if whole is None else whole // parts + (place < whole % parts)


def _revisions(rows: Iterable[Row]) -> list[str]:
    """One line for each teacher that changed while it was asked."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        if row.revision and not row.error:
            found.setdefault(row.teacher, Counter())[row.revision] += 1
    return [
        f"teacher {name} changed its revision: "
        + ", ".join(f"{count:,} rows by {revision}" for revision, count in counts.items())
        for name, counts in found.items()
        if len(counts) > 1
    ]


def about(teacher: Asked, rows: Sequence[Row]) -> dict[str, Any]:
    """What its rows took, the same in every run; the ledger has what was spent in all, on other answers too."""
    own = [row for row in rows if row.teacher == teacher.name]
    prompt_tokens, tokens = sum(row.more.get("prompt_tokens", 0) for row in own), sum(row.tokens for row in own)
    return {
        "model": teacher.model.name,
        "revisions": dict(Counter(row.revision for row in own if row.revision).most_common()),
        "terms": teacher.terms,
        "licence": teacher.settings.licence,
        "depth": teacher.depth,
        "rows": len(own),
        "kept": sum(not row.error for row in own),
        "thoughts": sum(bool(row.thoughts) for row in own),
        "flops_per_token": teacher.model.flops_per_token,
        "prompt_tokens": prompt_tokens,
        "tokens": tokens,
        **teacher.cost(prompt_tokens, tokens),
    }

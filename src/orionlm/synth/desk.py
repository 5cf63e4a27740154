"""What is a method given to write with? Seeds, somebody to ask, and chance that does not depend on who answers first.

A method is a module with `Settings`, NAME, PAPER, WORTH and `write(settings, seeds, desk)`, which yields rows in an
order that depends on its seeds alone. It is run again, in rounds, where more rows are wanted than one pass over the
seeds gives: each round asks anew, as other samples, with chance of its own.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import string
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from orionlm.errors import UserError
from orionlm.synth.rows import Row

T = TypeVar("T")
U = TypeVar("U")

PURPOSES = ("teacher", "verify", "reward")
SAMPLES = 1000  # that one round may ask of one prompt
_MARKS = {
    ord(mark): None for mark in string.punctuation + string.whitespace + "\u00a0\u2018\u2019\u201c\u201d\u2013\u2014"
}
COPIED = 60  # letters and digits: a shorter answer may stand in its seed by chance, or because it was asked for


@dataclass(frozen=True)
class Seed:
    """What a method writes from: a genuine document, or an earlier row. `depth`: generations of models since a person
    wrote it (0: a person did)."""

    id: str
    text: str
    licence: str = "unknown"
    domain: str = "text"
    source: str = ""
    depth: int = 0


@dataclass(frozen=True)
class Ask:
    """One answer wanted. A text is continued as it stands, messages are a chat. `sample` tells asks apart that are
    otherwise the same; `purpose` is what the ledger says it was for: teacher, verify or reward."""

    prompt: str | list[dict[str, str]]
    max_tokens: int = 1024
    temperature: float = 0.7
    top_p: float = 1.0
    stop: tuple[str, ...] = ()
    sample: int = 0
    purpose: str = "teacher"

    @property
    def text(self) -> str:
        """The prompt as JSON."""
        return json.dumps(self.prompt, ensure_ascii=False)


@dataclass(frozen=True)
class Reply:
    """What came back. `error` says why there is no answer; `thoughts` of a reasoning teacher are never in `text`.
    `finish` "length": it was cut. `tokens` were written, thoughts included."""

    text: str = ""
    thoughts: str = ""
    finish: str = ""
    error: str = ""
    teacher: str = ""
    revision: str = ""
    key: str = ""
    tokens: int = 0
    terms: str = ""
    depth: int = 0
    licence: str = ""
    prompt: str = ""
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Worst:
    """What a row takes at the most, where none is rejected: requests, and each one's prompt in characters and answer in
    tokens. A method's `worst(settings)` says so for the dry run."""

    requests: float
    prompt_characters: int
    max_tokens: int


class Teacher(Protocol):
    """Somebody who can be asked."""

    name: str
    purposes: tuple[str, ...]

    async def reply(self, ask: Ask, seed: int) -> Reply:
        """Never raises for what is wrong with one ask."""


class Desk:
    """Asks `teachers`, for the method and round named. `wanted`: items that `each` need not look further ahead than."""

    def __init__(
        self, teachers: Mapping[str, Teacher], seed: int, method: str = "", round: int = 0, at_once: int = 256
    ) -> None:
        self.teachers, self.seed, self.method, self.round = dict(teachers), seed, method, round
        self.at_once = at_once
        self.wanted = at_once

    async def ask(self, ask: Ask, teacher: str | None = None) -> Reply:
        """The answer of the `teacher` named; else those who serve its purpose take turns, by the ask's own digest, so
        that a rerun asks the same one."""
        assert ask.purpose in PURPOSES and 0 <= ask.sample < SAMPLES, ask
        if teacher is None:
            able = [name for name, each in self.teachers.items() if ask.purpose in each.purposes]
            if not able:
                raise UserError(f"teachers: none serves {ask.purpose!r}; add it to the purposes of one")
            draw = hashlib.sha256(f"{ask.sample} {self.round} {ask.text}".encode("utf-8", "replace")).digest()
            teacher = able[int.from_bytes(draw[:8], "big") % len(able)]
        elif teacher not in self.teachers:
            raise UserError(f"teacher {teacher!r}: no such teacher; there are {', '.join(self.teachers)}")
        numbered = Ask(**{**vars(ask), "sample": self.round * SAMPLES + ask.sample})
        return await self.teachers[teacher].reply(numbered, self.seed)

    async def each(self, work: Callable[[T], Awaitable[U]], items: Iterable[T]) -> AsyncIterator[U]:
        """`work` of each item, many at once; results in the order of the items."""
        source, under_way, more = iter(items), deque[asyncio.Future[U]](), True
        try:
            while True:
                while more and len(under_way) < max(1, min(self.at_once, self.wanted)):
                    try:
                        under_way.append(asyncio.ensure_future(work(next(source))))
                    except StopIteration:
                        more = False
                if not under_way:
                    return
                result = await under_way[0]
                under_way.popleft()
                yield result
        finally:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)

    def random(self, *names: Any) -> np.random.Generator:
        """Chance for what is named, the same in every run however work interleaves."""
        told = json.dumps([self.seed, self.method, self.round, *map(str, names)])
        return np.random.default_rng(np.frombuffer(hashlib.sha256(told.encode()).digest(), np.uint32))

    def sample(self, *names: Any) -> int:
        """Which sample an ask is for what is named: seeds that lead to the same prompt get answers of their own."""
        return int(self.random("sample", *names).integers(SAMPLES))

    def row(
        self,
        reply: Reply,
        seeds: Sequence[Seed],
        variant: str = "",
        text: str | None = None,
        *,
        cut: bool = False,
        **known: Any,
    ) -> Row:
        """A row with its lineage. `text`: what a student would read, where it is not the answer as it is. Rejected are
        no answer, an empty one, one that only repeats a seed, and, unless `cut` ones are wanted, one that was cut."""
        licences = sorted({seed.licence for seed in seeds if seed.licence} | ({reply.licence} - {""}))
        row = Row(
            text=reply.text if text is None else text,
            method=f"{self.method}/{variant}" if variant else self.method,
            **{
                "licence": joined(licences),
                "depth": 1 + max([reply.depth, *(seed.depth for seed in seeds)]),
                "seeds": tuple(dict.fromkeys(seed.id for seed in seeds)),
                "seed_text": "\n\n".join(seed.text for seed in seeds),
                "prompt": reply.prompt,
                "teacher": reply.teacher,
                "revision": reply.revision,
                "terms": reply.terms,
                "response": reply.text,
                "thoughts": reply.thoughts,
                "key": reply.key,
                "tokens": reply.tokens,
                **known,
                "more": {"prompt_tokens": reply.prompt_tokens} | known.get("more", {}),
            },
        )
        if reply.error:
            return row.judged("no answer", reply.error)
        if not (_visible(row.text) and _visible(reply.text)):
            return row.judged("empty", "the answer is empty" + (": all of it was thoughts" if reply.thoughts else ""))
        if reply.finish == "length" and not cut:
            return row.judged("cut", "the answer was cut at its longest")
        return row.judged("copy", copied(reply.text, [seed.text for seed in seeds], _last(reply.prompt)))


def joined(licences: Sequence[str]) -> str:
    """One SPDX expression that asks for all of them; `unknown` where any is."""
    if not licences or "unknown" in licences:
        return "unknown"
    return " AND ".join(f"({one})" if " OR " in one else one for one in licences) if len(licences) > 1 else licences[0]


def copied(text: str, seeds: Iterable[str], prompt: str = "") -> str:
    """Why `text` is no text of its own: it is a seed, stands in one, or is what was asked, but for space, case and
    marks; else ""."""
    plain = _plain(text)
    for seed in map(_plain, seeds):
        if plain and plain == seed:
            return "the answer is its seed, word for word"
        if len(plain) >= COPIED and plain in seed:
            return "the answer stands in its seed, word for word"
        if len(seed) >= max(COPIED, 0.8 * len(plain)) and seed in plain:
            return "the answer is its seed with a few words around it"
    asked = _plain(prompt)
    return "the answer is its prompt" if len(asked) >= max(COPIED, 0.8 * len(plain)) and asked in plain else ""


def _last(prompt: str) -> str:
    """The last that was said in a prompt (JSON)."""
    found = json.loads(prompt) if prompt else ""
    return found if isinstance(found, str) else str(found[-1]["content"])


def _visible(text: str) -> bool:
    """Whether a person sees any of it: marks of no width are no text."""
    return any(char.isprintable() and not char.isspace() for char in text)


def _plain(text: str) -> str:
    return text.translate(_MARKS).casefold()

"""Does a document hold an item of an evaluation? Then it goes, or the passage around it.

What is looked for is told in `overlap`. Whole documents go by default, as where a model is measured afterwards
(StarCoder 2305.06161, section 3.5; Qwen2.5 2412.15115; Tülu 3 2411.15124, section 3.2); GPT-3 cut 200 characters on
either side and dropped what was left in too many or too short pieces (2005.14165, appendix C): `remove = "passage"`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import json_digest
from orionlm.data.decontamination.overlap import Hit, Index, is_generated, parts
from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.errors import UserError
from orionlm.tasks.suite import load_suite
from orionlm.tasks.task import Suite, Task

FILE = "decontamination.json"
REASON = "holds an evaluation item"
WINDOW = 200  # characters cut on either side of an item
SHORTEST_PIECE = 200  # characters of what is left between two cuts
MOST_PIECES = 10  # GPT-3's: a document in more of them goes
NAMED = 100  # items of a document that are reported
_WORD = re.compile(r"\w+")
_ORDER = ("verbatim", "near copy", "renamed code")  # what is found in several ways is told by the first


class Given(BaseModel):
    """A suite that asks for files: `{ suite = "simplebench", given = { questions = "FILE" } }`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    suite: str
    given: dict[str, str] = Field(default_factory=dict)


class Settings(BaseModel):
    """`suites`: files, or names of published ones. `remove`: the document, or only the passage with the item in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    suites: tuple[str | Given, ...] = Field(min_length=1)
    remove: Literal["document", "passage"] = "document"
    domains: tuple[str, ...] = ()


class Finding(NamedTuple):
    """An item that stands in a document, how, and in how many words."""

    suite: str
    task: str
    item: str
    document: str
    source: str
    match: str
    words: int


def checker(settings: Settings) -> Check:
    index = _index(settings.model_dump_json())

    def check(documents: Sequence[Document]) -> list[Verdict]:
        texts = [document.text for document in documents]
        found = index.find(texts)
        verdicts = [_verdict(index, text, hits) if hits else KEPT for text, hits in zip(texts, found, strict=True)]
        if settings.remove == "document":
            return verdicts
        cut = {n: _without(text, hits) for n, (text, hits) in enumerate(zip(texts, found, strict=True)) if hits}
        left = {n: text for n, text in cut.items() if text}
        for (n, text), again in zip(left.items(), index.find(list(left.values())), strict=True):
            if not again:
                verdicts[n] = verdicts[n]._replace(reason="", text=text)
        return verdicts

    return check


def findings(document: Document, verdict: Verdict) -> list[Finding]:
    """What `checker`'s verdict on a document found."""
    return [
        Finding(suite, task, item, document.id, document.source, match, words)
        for suite, task, item, match, words in verdict.found
    ]


def identity(settings: Settings) -> list[dict[str, Any]]:
    """The suites as they are now: name, digest, number of items, and each task's contents."""
    return [
        {
            "name": suite.name,
            "digest": suite.digest,
            "items": sum(len(task.items) for task in suite.tasks),
            "tasks": {task.name: contents(task) for task in suite.tasks},
        }
        for suite in _suites(settings)
    ]


def contents(task: Task) -> str:
    """A digest of what is asked, however it is asked: shots, prompts and sampling do not change it."""
    return json_digest([[part.text for part in parts(task, item)] for item in task.items])


def report(settings: Settings, found: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """`decontamination.json`: what the corpus was cleaned of, and what was found where."""
    lines = sorted(Finding(*row) for row in found)
    items = Counter(suite for suite, *_ in {line[:3] for line in lines})
    return {
        "suites": [suite | {"found": items[suite["name"]]} for suite in identity(settings)],
        "remove": settings.remove,
        "documents": len({(line.source, line.document) for line in lines}),
        "matches": dict(sorted(Counter(line.match for line in lines).items())),
        "found": [line._asdict() for line in lines],
    }


def _suites(settings: Settings) -> list[Suite]:
    found: list[Suite] = []
    for entry in settings.suites:
        named = entry if isinstance(entry, Given) else Given(suite=entry)
        suite = load_suite(named.suite, named.given)
        if any(suite.name == other.name for other in found):
            raise UserError(f"suites: two are called {suite.name!r}; rename one, or name it once")
        # Questions that are drawn from a generator are anew for everyone: there is nothing to look for.
        tasks = tuple(task for task in suite.tasks if not all(map(is_generated, task.items)))
        if not tasks:
            raise UserError(f"suites: all questions of {suite.name!r} are generated; there is nothing to look for")
        found.append(Suite(suite.name, tasks, suite.digest))
    return found


@lru_cache(maxsize=2)
def _index(settings: str) -> Index:
    return Index(_suites(Settings.model_validate_json(settings)))


def _verdict(index: Index, text: str, hits: Sequence[Hit]) -> Verdict:
    best: dict[int, tuple[int, int]] = {}
    for hit in hits:
        words = len(_WORD.findall(text[hit.start : hit.end]))
        rank = (_ORDER.index(hit.match), -words)
        best[hit.item] = min(best.get(hit.item, rank), rank)
    lines = [[*index.items[item], _ORDER[order], -words] for item, (order, words) in sorted(best.items())]
    counts: Mapping[str, int] = Counter(f"{index.items[item][0]}: {_ORDER[order]}" for item, (order, _) in best.items())
    told = "; ".join(
        f"{suite}/{task} {item}: {match}, {words:,} words" for suite, task, item, match, words in lines[:3]
    )
    more = f"; and {len(lines) - 3:,} more" if len(lines) > 3 else ""
    return Verdict(REASON, told + more, None, dict(counts), lines[:NAMED])


def _without(text: str, hits: Sequence[Hit]) -> str:
    """What is left of a text, or "" where it is too little or in too many pieces."""
    pieces, at = [], 0
    for hit in sorted(hits, key=lambda hit: hit.start):
        pieces.append(text[at : max(at, hit.start - WINDOW)])
        at = max(at, hit.end + WINDOW)
    pieces.append(text[at:])
    kept = [piece for piece in pieces if len(piece) >= SHORTEST_PIECE]
    return "\n\n".join(kept) if len(kept) <= MOST_PIECES else ""

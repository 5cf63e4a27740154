"""Which questions stand in the text that a model was trained on, and what is its score without them?

Overlap of 13 words in a row, as in GPT-3 (Brown et al. 2005.14165, appendix C): lower case, without punctuation; what
stands in more than ten documents is a common phrase and does not count. A part of an item with fewer words must stand
in the text as a whole, of code with its signs; with fewer than 5 it cannot be told from chance.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from orionlm.evals.results import Results, Row, estimate, plain
from orionlm.processes import pool
from orionlm.tasks.task import Item, Suite, Task

WORDS = 13
SHORTEST = 5
COMMON = 10  # documents: a phrase in more of them is nobody's question
CACHED_WORDS = 1 << 20
A_PROCESS = 1 << 25  # bytes of text for which a process more is worth its start
_WORD = re.compile(r"\w+")
_SIGNS = re.compile(r"\w+|[^\w\s]+")
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴

Key = tuple[str, str]  # task, item


@dataclass(frozen=True)
class Overlap:
    """How many of an item's word sequences (`grams`) stand in the corpus; `grams` 0: too short to tell."""

    grams: int
    found: int

    @property
    def dirty(self) -> bool:
        return self.found > 0


class Grams:
    """The word sequences of all items, by length; `find` tells which of them a text holds."""

    def __init__(self, suite: Suite) -> None:
        self._hash = _WordHash()
        tables: dict[tuple[bool, int], list[tuple[np.ndarray, int]]] = {}
        self.keys: list[Key] = []
        for task in suite.tasks:
            for item in task.items:
                for part in parts(task, item):
                    words, signs = self._hash.of(part, False), False
                    if len(words) < WORDS and task.kind == "code":
                        words, signs = self._hash.of(part, True), True
                    n = len(words) if signs else min(WORDS, len(words))
                    if n >= SHORTEST:
                        tables.setdefault((signs, n), []).append((_Sequences(words).of(n), len(self.keys)))
                self.keys.append((task.name, item.id))
        self.tables: dict[tuple[bool, int], tuple[np.ndarray, np.ndarray]] = {}
        self.owners: list[tuple[np.ndarray, np.ndarray]] = []  # of each table: gram's place, item
        total = 0
        for form, rows in tables.items():
            grams = np.concatenate([gram for gram, _ in rows])
            owner = np.concatenate([np.full(len(gram), number) for gram, number in rows])
            distinct, place = np.unique(grams, return_inverse=True)
            self.tables[form] = (distinct, np.arange(total, total + len(distinct)))
            self.owners.append((place + total, owner))
            total += len(distinct)
        self.count = total

    def find(self, text: str) -> np.ndarray:
        """The numbers of the grams that stand in `text`, each once."""
        found = []
        known = {signs: _Sequences(self._hash.of(text, signs)) for signs in {signs for signs, _ in self.tables}}
        for (signs, n), (distinct, numbers) in self.tables.items():
            seen = known[signs].of(n)
            if not len(seen):
                continue
            place = np.searchsorted(distinct, seen)
            place[place == len(distinct)] = 0
            found.append(np.unique(numbers[place[distinct[place] == seen]]))
        return np.concatenate(found) if found else np.empty(0, np.int64)

    def overlaps(self, documents: np.ndarray) -> dict[Key, Overlap]:
        """Item → its overlap, from the number of documents (count,) that hold each gram."""
        hit = (documents > 0) & (documents <= COMMON)
        grams = np.zeros(len(self.keys), int)
        found = np.zeros(len(self.keys), int)
        for place, owner in self.owners:
            unlike = np.unique(np.stack([place, owner]), axis=1)
            np.add.at(grams, unlike[1], 1)
            np.add.at(found, unlike[1], hit[unlike[0]])
        return {key: Overlap(int(g), int(f)) for key, g, f in zip(self.keys, grams, found, strict=True)}


def parts(task: Task, item: Item) -> Iterator[str]:
    """The texts of an item that a corpus may hold: the question, and what is right, each by itself."""
    yield item.question
    if item.choices and isinstance(item.answer, int):
        yield item.choices[item.answer]
    elif isinstance(item.answer, Mapping):
        tests = item.answer.get("test") or "\n".join(map(str, item.answer.get("tests", ())))
        yield str(tests)
    if "shown" in item.extra:
        yield str(item.extra["shown"])


def join(suite: Suite, texts: Iterable[str]) -> dict[Key, Overlap]:
    """Item → how much of it stands in `texts`, which are read once and not held."""
    grams = Grams(suite)
    return grams.overlaps(_documents(grams, texts))


def join_corpus(suite: Suite, corpus: Path, processes: int = 1) -> dict[Key, Overlap]:
    """The same for a Parquet file with a column `text`, such as a corpus's `train.parquet`."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(corpus) as table:
        groups = table.metadata.num_row_groups
        size = sum(table.metadata.row_group(n).total_byte_size for n in range(groups))
    processes = max(1, min(processes, groups, size // A_PROCESS))
    shares = [list(range(n, groups, processes)) for n in range(processes)]
    if processes == 1:
        return join(suite, _texts(corpus, shares[0]))
    grams = Grams(suite)
    with pool(processes) as workers:
        counts = list(workers.map(_count, [suite] * processes, [corpus] * processes, shares))
    return grams.overlaps(np.sum(counts, axis=0))


def _count(suite: Suite, corpus: Path, groups: list[int]) -> np.ndarray:
    return _documents(Grams(suite), _texts(corpus, groups))


def _texts(corpus: Path, groups: Sequence[int]) -> Iterator[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(corpus) as table:
        for group in groups:
            yield from table.read_row_group(group, columns=["text"]).column("text").to_pylist()


def _documents(grams: Grams, texts: Iterable[str]) -> np.ndarray:
    documents = np.zeros(grams.count, np.int64)
    for text in texts:
        documents[grams.find(text)] += 1
    return documents


def clean(results: Results, overlaps: Mapping[Key, Overlap], level: float = 0.95) -> list[dict[str, Any]]:
    """For each task its score on the items that the corpus does not hold, and how many it holds."""
    lines = []
    for task in results.summary["tasks"]:
        rows = results.of(task["task"])

        def is_dirty(row: Row) -> bool:
            found = overlaps.get((row.task, row.item))
            return found is not None and found.dirty

        dirty = {row.item for row in rows if is_dirty(row)}
        items = {row.item for row in rows}
        short = {item for item in items if (o := overlaps.get((task["task"], item))) and not o.grams}
        lines.append(
            {
                "task": task["task"],
                "items": len(items),
                "dirty": len(dirty),
                "too_short": len(short),
                "clean": plain(estimate(task["kind"], [row for row in rows if row.item not in dirty], level)),
                "dirty_items": sorted(dirty),
            }
        )
    return lines


class _WordHash:
    """Words as 64-bit numbers, the same in every process."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def of(self, text: str, signs: bool) -> np.ndarray:
        words = (_SIGNS if signs else _WORD).findall(text.lower())
        if len(self._known) > CACHED_WORDS:
            self._known.clear()
        known = self._known
        for word in set(words):
            if word not in known:
                known[word] = int.from_bytes(hashlib.blake2b(word.encode(errors="replace"), digest_size=8).digest())
        return np.array([known[word] for word in words], np.uint64)


class _Sequences:
    """The numbers of all sequences of n words of a text, for any n: a polynomial in the words, modulo 2⁶⁴.

    With M's inverse, Σ wᵢ M⁻ⁱ summed once serves every n: the sum over n words, times Mᵏ, k the last one's place.
    """

    def __init__(self, words: np.ndarray) -> None:
        self.powers, inverse = _powers(len(words) + 1)
        self.sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(words * inverse[: len(words)], dtype=np.uint64)])

    def of(self, n: int) -> np.ndarray:
        if len(self.sums) <= n:
            return np.empty(0, np.uint64)
        count = len(self.sums) - n
        return (self.sums[n:] - self.sums[:-n]) * self.powers[n - 1 : n - 1 + count]


def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """At least `count` powers of M and of its inverse."""
    size = max(1 << 12, 1 << (count - 1).bit_length())
    return _tables(size)


@lru_cache(maxsize=4)
def _tables(size: int) -> tuple[np.ndarray, np.ndarray]:
    both = []
    for base in (_MULTIPLIER, pow(_MULTIPLIER, -1, 1 << 64)):
        table = np.full(size, base, np.uint64)
        table[0] = 1
        both.append(np.cumprod(table, dtype=np.uint64))
    return both[0], both[1]

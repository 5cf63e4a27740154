"""Where do a suite's items stand in a text: word for word, near enough, or as the same program with other names?

- *verbatim*: 50 letters and digits in a row, whatever stands between them, as in GPT-4's report (2303.08774, appendix
  C: there at three places of an item, here at any). Of a part with fewer than 100, half; of a short question all.
- *near copy*: 40% of a part's sequences of 3 words in a stretch half as long again (Tülu 3, 2411.15124: half of its
  words, in sequences of 8).
- *renamed code*: 40% of its sequences of 8 tokens, where a name is told by its last use alone (Baker 1997).

What more than ten items of a suite share is the suite's form, and no sign of an item; nor are the commonest words.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orionlm.data.decontamination.readings import Units
from orionlm.data.decontamination.search import Block, Near, Rows, Verbatim, blocks
from orionlm.data.documents import texts
from orionlm.processes import pool
from orionlm.tasks.task import LETTERS, Item, Suite, Task

PIECE, LAP = 4000, 200  # characters: a long item is looked for piece by piece
COMMON = 10  # documents: a phrase in more of them is nobody's question (GPT-3, 2005.14165, appendix C)
AT_ONCE = 64  # texts
A_PROCESS = 1 << 25  # bytes of text for which a process more is worth its start
SIGNS = 0.3  # of all tokens: prose has half as many, programs have more
_TOKEN, _SIGN = re.compile(r"\w+|[^\w\s]"), re.compile(r"[^\w\s]")

Key = tuple[str, str]  # task, item


class Part(NamedTuple):
    """A text of an item that a corpus may hold; `asked`: the question is in it, so that less of it is enough."""

    text: str
    asked: bool


class Hit(NamedTuple):
    """An item in a text, from character `start` to before `end`; `item`: its place in `Index.items`."""

    item: int
    match: str
    start: int
    end: int


def parts(task: Task, item: Item) -> Iterator[Part]:
    """The question, alone and with what follows it, and what is right, by itself."""
    yield Part(item.question, True)
    answers = []
    if "shown" in item.extra:
        answers.append(str(item.extra["shown"]))
    if item.choices:
        for signs in (LETTERS, "123456789" * 3, [""] * len(item.choices)):
            options = [f"{sign} {choice}" for sign, choice in zip(signs, item.choices, strict=False)]
            yield Part("\n".join([item.question, *options]), True)
        if isinstance(item.answer, int):
            answers.append(item.choices[item.answer])
    elif isinstance(item.answer, Mapping):
        yield Part(str(item.answer.get("test") or "\n".join(map(str, item.answer.get("tests", ())))), False)
    elif isinstance(item.answer, str):
        answers.append(item.answer)
    for answer in answers:
        yield Part(f"{item.question}\n{answer}", True)
        yield Part(answer, False)


def is_generated(item: Item) -> bool:
    """Whether it was drawn from a generator: its name is then a digest of its question."""
    return item.id.endswith("-" + hashlib.sha256(item.question.encode()).hexdigest()[:16])


class Index:
    """The items of some suites, to be looked for in any number of texts; `tellable`: which are long enough."""

    def __init__(self, suites: Sequence[Suite]) -> None:
        self.items: list[tuple[str, str, str]] = []  # suite, task, item
        owners: list[int] = []
        cluster: list[int] = []
        found: list[Part] = []
        clusters: dict[tuple[str, ...], int] = {}
        for suite in suites:
            for task in suite.tasks:
                for item in task.items:
                    shared = ("passage", item.cluster) if item.cluster else ("item", item.id)
                    group = clusters.setdefault((suite.name, task.name, *shared), len(clusters))
                    for part in parts(task, item):
                        pieces = list(_pieces(part))
                        found += pieces
                        owners += [len(self.items)] * len(pieces)
                        cluster += [group] * len(pieces)
                    self.items.append((suite.name, task.name, item.id))
        self.owner = np.array(owners, np.int64)
        written, asked = [part.text for part in found], np.array([part.asked for part in found], bool)
        groups = np.array(cluster, np.int64)
        self.searches: dict[str, Verbatim | Near] = {
            "verbatim": Verbatim(written, asked, groups),
            "near copy": Near(_words, written, asked, groups, n=3, telling=1, least=(6, 12), share=0.4),
        }
        programs = [text if _is_program(text) else "" for text in written]
        if any(programs):
            self.searches["renamed code"] = Near(
                _tokens, programs, asked, groups, n=8, telling=2, least=(12, 16), share=0.4
            )
        usable = np.any([search.usable for search in self.searches.values()], axis=0)
        self.tellable = np.bincount(self.owner, usable, len(self.items)) > 0

    def find(self, texts: Sequence[str]) -> list[list[Hit]]:
        """For each text what stands in it; what of an item and match overlaps is one hit."""
        hits: list[list[Hit]] = [[] for _ in texts]
        found: dict[str, list[np.ndarray]] = {}
        for match, rows in self._search(texts):
            found.setdefault(match, []).append(_merged(rows.text, self.owner[rows.part], rows.start, rows.end))
        for match, pieces in found.items():
            for text, item, start, end in zip(*_merged(*np.concatenate(pieces, axis=1)).tolist(), strict=True):
                hits[text].append(Hit(item, match, start, end))
        return hits

    def count(self, texts: Iterable[str]) -> np.ndarray:
        """How many texts hold each piece of an item (`places`); texts are read once and not held."""
        counts = np.zeros(sum(len(search.places) for search in self.searches.values()), np.int64)
        first = dict(zip(self.searches, np.cumsum([0, *(len(s.places) for s in self.searches.values())]), strict=False))
        texts = iter(texts)
        while some := list(islice(texts, AT_ONCE)):
            pairs = [np.stack([rows.text, rows.place + first[match]]) for match, rows in self._search(some)]
            if pairs:
                np.add.at(counts, np.unique(np.concatenate(pairs, axis=1), axis=1)[1], 1)
        return counts

    def overlaps(self, counts: np.ndarray) -> dict[Key, Overlap]:
        """Item → its overlap, from `count`."""
        owner = self.owner[np.concatenate([search.places for search in self.searches.values()])]
        held = np.zeros(len(self.items), np.int64)
        np.maximum.at(held, owner, np.where(counts <= COMMON, counts, 0))
        return {
            (task, item): Overlap(bool(tellable), int(documents))
            for (_, task, item), tellable, documents in zip(self.items, self.tellable, held, strict=True)
        }

    def _search(self, texts: Sequence[str]) -> Iterator[tuple[str, Rows]]:
        for block in blocks(texts):
            for match, search in self.searches.items():
                rows = search.find(block)
                if len(rows.text):
                    yield match, rows


def _words(block: Block) -> Units:
    return block.words


def _tokens(block: Block) -> Units:
    return block.tokens


@dataclass(frozen=True)
class Overlap:
    """Whether an item is long enough to tell, and in how many documents the same piece of it stands."""

    tellable: bool
    documents: int

    @property
    def dirty(self) -> bool:
        return self.documents > 0


def join(suite: Suite, texts: Iterable[str]) -> dict[Key, Overlap]:
    """Item → whether it stands in `texts`, which are read once and not held."""
    index = Index([suite])
    return index.overlaps(index.count(texts))


def join_corpus(suite: Suite, shards: Sequence[Path], processes: int = 1) -> dict[Key, Overlap]:
    """The same for Parquet files with a column `text`, such as a corpus's `train-*.parquet`."""
    import pyarrow.parquet as pq

    read = {path: pq.read_metadata(path) for path in shards}
    groups = [(path, group) for path, data in read.items() for group in range(data.num_row_groups)]
    size = sum(read[path].row_group(group).total_byte_size for path, group in groups)
    processes = max(1, min(processes, len(groups), size // A_PROCESS))
    if processes == 1:
        return join(suite, texts(shards))
    with pool(processes) as workers:
        counts = list(workers.map(_count, [suite] * processes, [groups[n::processes] for n in range(processes)]))
    return Index([suite]).overlaps(np.sum(counts, axis=0))


def _count(suite: Suite, groups: Sequence[tuple[Path, int]]) -> np.ndarray:
    return Index([suite]).count(_texts(groups))


def _texts(groups: Sequence[tuple[Path, int]]) -> Iterator[str]:
    import pyarrow.parquet as pq

    for path, group in groups:
        with pq.ParquetFile(path) as table:
            yield from table.read_row_group(group, columns=["text"]).column("text").to_pylist()


def _is_program(text: str) -> bool:
    return SIGNS * len(_TOKEN.findall(text)) <= len(_SIGN.findall(text))


def _pieces(part: Part) -> Iterator[Part]:
    for begin in range(0, max(1, len(part.text) - LAP), PIECE - LAP):
        yield Part(part.text[begin : begin + PIECE], part.asked)


def _merged(text: np.ndarray, item: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[4, n]: what overlaps of one text and item as one, in order."""
    order = np.lexsort((start, item, text))
    text, item, start, end = text[order], item[order], start[order], end[order]
    same = np.zeros(len(text), bool)
    same[1:] = (text[1:] == text[:-1]) & (item[1:] == item[:-1])
    apart = (np.cumsum(~same) - 1) * (int(end.max(initial=0)) + 1)  # so that no group reaches into the next
    reach = np.maximum.accumulate(end + apart)
    first = ~same
    first[1:] |= start[1:] + apart[1:] > reach[:-1]
    final = np.append(np.flatnonzero(first)[1:] - 1, len(text) - 1) if len(text) else np.zeros(0, np.int64)
    return np.stack([text[first], item[first], start[first], (reach - apart)[final]])

"""What can be seen of a model that cannot yet write a working program? Its bits, and whether it knows code from not.

Three kinds of task out of a corpus's held-out text: bits per byte by domain, the real next line among corruptions of
it, and the real lines between others (infilling, by likelihood). A task on which guessing would do as well is blind.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orionlm.data.documents import Document, read_documents
from orionlm.errors import UserError
from orionlm.tasks.generators import corrupted
from orionlm.tasks.task import Item, Suite, Task

READ_BYTES = 1 << 26
SPARE = 4  # times as many items are drawn as are wanted: some are too long for the characters allowed


class SightSettings(BaseModel):
    """`items` of each kind of choice; `characters` that an item may have, about two a token of the smallest context.

    `domain_bytes`: held-out text measured in each domain, at most `domains` of them, those with most text. A domain is
    a document's group (package), or where all have one its source, or its folder.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    items: int = Field(default=400, ge=10)
    characters: int = Field(default=256, ge=64)
    domains: int = Field(default=8, ge=1)
    domain_bytes: int = Field(default=50_000, ge=1000)
    document_bytes: int = Field(default=2000, ge=100)
    wrong: int = Field(default=3, ge=1, le=8)


def sight_suite(validation: Sequence[Path], settings: SightSettings, seed: int = 0) -> Suite:
    """The suite that a corpus's `validation-*.parquet` give; the same for every model measured on it."""
    documents = _read(validation)
    tasks = list(domain_tasks(documents, settings))
    texts = [(document.id, document.text) for document in documents]
    for make, name in (("next_line", "real-next-line"), ("middle", "real-middle")):
        try:
            items = corrupted.items(texts, make, SPARE * settings.items, seed, settings.wrong)  # type: ignore[arg-type]
        except UserError:
            items = _as_many(texts, make, settings, seed)
        short = [found for item in items if (found := shortened(item, settings.characters))][: settings.items]
        if short:
            chance = 1 / (1 + settings.wrong)
            tasks.append(Task(name, "choice", tuple(short), delimiter="", chance=chance))
    return Suite.of("sight", tuple(tasks))


def _read(validation: Sequence[Path]) -> list[Document]:
    """The first `READ_BYTES` of text: enough for any number of items, and no strain on the memory."""
    found, size = [], 0
    for document in read_documents(validation):
        found.append(document)
        size += len(document.text)
        if size > READ_BYTES:
            break
    return found


def _as_many(texts: Iterable[tuple[str, str]], make: str, settings: SightSettings, seed: int) -> list[Item]:
    """Where the text gives fewer: half as many, as often as needed."""
    count = SPARE * settings.items
    while count > 1:
        count //= 2
        try:
            return corrupted.items(texts, make, count, seed, settings.wrong)  # type: ignore[arg-type]
        except UserError:
            continue
    return []


def domain_tasks(documents: Iterable[Document], settings: SightSettings) -> Iterator[Task]:
    """Held-out text of each domain: the beginnings of documents drawn by hash, as many as fit the bytes asked for."""
    by: dict[str, list[Document]] = {}
    documents = list(documents)
    domain = next(of for of in (_group, _source, _folder) if of is _folder or len(set(map(of, documents))) > 1)
    for document in documents:
        by.setdefault(domain(document), []).append(document)
    largest = sorted(by, key=lambda name: (-sum(len(document.text) for document in by[name]), name))[: settings.domains]
    for name in sorted(largest):
        items, size = [], 0
        for document in sorted(by[name], key=_drawn):
            text = document.text.encode()[: settings.document_bytes].decode("utf-8", "ignore")
            if size >= settings.domain_bytes:
                break
            if text.strip():
                items.append(Item(document.id, text, cluster=document.id))
                size += len(text.encode())
        if items:
            yield Task(f"text-{re.sub(r'[^A-Za-z0-9._-]', '-', name) or 'all'}", "text", tuple(items))


def _group(document: Document) -> str:
    return document.group


def _source(document: Document) -> str:
    return document.source


def _folder(document: Document) -> str:
    """The first two folders of its place, such as networkx/algorithms."""
    return "/".join(document.id.split("/")[:-1][:2])


def _drawn(document: Document) -> bytes:
    return hashlib.sha256(document.id.encode()).digest()


def shortened(item: Item, characters: int) -> Item | None:
    """The item within so many characters: its context loses lines at its beginning, and what follows every choice
    alike loses some at its end. None where the choices alone are too long."""
    tail = os.path.commonprefix([choice[::-1] for choice in item.choices])[::-1]
    tail = tail[tail.find("\n") :] if "\n" in tail else ""
    kept = tail[: max(characters // 4, tail.find("\n", 1) + 1)]
    kept = kept[: kept.rfind("\n") + 1] if "\n" in kept[1:] else kept
    choices = tuple(choice[: len(choice) - len(tail)] + kept for choice in item.choices)
    room = characters - max(map(len, choices))
    if room < characters // 4 or len(set(choices)) < len(choices):
        return None
    before = item.question
    if len(before) > room:
        before = before[-room:]
        before = before[before.find("\n") + 1 :]
    return replace(item, question=before, choices=choices) if before.strip() else None

"""Which documents are trained on and which are held out? Stage `corpus`: read, deduplicate, split."""

from __future__ import annotations

import hashlib
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.sources import Document, Skipped, Source
from orionlm.errors import UserError
from orionlm.settings import nearest

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

ROW_GROUP_BYTES = 1 << 22
NAMED = 100


class Settings(BaseModel):
    """`sources`: tables of `data/sources.py`, the first one wins where two hold the same document.

    `validation_groups` names the groups (packages, files, …) to hold out; without it groups are drawn by the hash of
    their name until about `validation_fraction` of the bytes is held out. Documents outside
    [`min_document_bytes`, `max_document_bytes`] are dropped and counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: tuple[Source, ...] = Field(min_length=1)
    validation_fraction: float = Field(default=0.05, gt=0, lt=1)
    validation_groups: tuple[str, ...] = ()
    min_document_bytes: int = Field(default=1, ge=0)
    max_document_bytes: int | None = Field(default=None, gt=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `train.parquet`, `validation.parquet` (columns text, source, group, id) and `corpus.json`."""
    began = time.perf_counter()
    work = out / "work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    dropped: Counter[str] = Counter()
    sizes: dict[str, Counter[str]] = {"group": Counter(), "id": Counter()}
    documents = 0
    with context.progress.task("corpus") as task, _Writer(work / "all.parquet") as spool:
        for document, size in unique_documents(settings, dropped):
            spool.add(document, size)
            sizes["group"][document.group] += size
            sizes["id"][document.id] += size
            documents += 1
            if documents % 256 == 0:
                task.update(documents, note=f"{sum(sizes['group'].values()) / 1e6:,.0f} MB")
    if not documents:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(dropped.items())) or "nothing was there"
        raise UserError(f"the corpus is empty: {reasons}; name sources that hold text")
    unit = "group" if len(sizes["group"]) > 1 else "id"
    held_out = choose_held_out(sizes[unit], settings.validation_fraction, settings.validation_groups)
    splits = {"train": _Writer(out / "train.parquet"), "validation": _Writer(out / "validation.parquet")}
    with splits["train"], splits["validation"]:
        for document in read_documents(work / "all.parquet"):
            split = "validation" if getattr(document, unit) in held_out else "train"
            splits[split].add(document, len(document.text.encode()))
    write_json(
        out / "corpus.json",
        {
            "documents": documents,
            "bytes": sum(sizes["id"].values()),
            "groups": len(sizes["group"]),
            "dropped": dict(dropped),
            "split": "by group" if unit == "group" else "by document",
            "held_out": sorted(held_out)[:NAMED],
            "sources": [source.provenance() for source in settings.sources],
            **{name: {"documents": writer.documents, "bytes": writer.bytes} for name, writer in splits.items()},
        },
    )
    context.record("data", seconds=time.perf_counter() - began)


def unique_documents(settings: Settings, dropped: Counter[str]) -> Iterator[tuple[Document, int]]:
    """Documents to keep in source order with their UTF-8 bytes; `dropped` counts the others by reason."""
    known: set[bytes] = set()
    for source in settings.sources:
        skipped = Skipped()
        for document in source.documents(skipped):
            lines = document.text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
            bare = "\n".join([line.rstrip() for line in lines]).rstrip()
            try:
                size = len(document.text.encode())
            except UnicodeEncodeError:
                skipped.note("not UTF-8", document.id)
                continue
            key = hashlib.sha256(bare.encode()).digest()
            if not bare:
                dropped["empty"] += 1
            elif size < settings.min_document_bytes:
                dropped["too short"] += 1
            elif settings.max_document_bytes is not None and size > settings.max_document_bytes:
                dropped["too long"] += 1
            elif key in known:
                dropped["duplicate"] += 1
            else:
                known.add(key)
                yield document, size
        skipped.check(f"sources.{next(iter(source.provenance()))}")
        dropped.update(skipped.reasons)


def choose_held_out(sizes: Counter[str], fraction: float, named: tuple[str, ...] = ()) -> set[str]:
    """Names to hold out, given bytes by name: the named ones, or a draw by hash near `fraction`; never all."""
    if named:
        for name in named:
            if name not in sizes:
                raise UserError(f"validation_groups: no group {name!r} here; {nearest(name, sorted(sizes)[:NAMED])}")
        held_out = set(named)
    else:
        target = fraction * sum(sizes.values())
        total, held_out = 0, set()
        for name in sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest()):
            if abs(total + sizes[name] - target) < abs(total - target):
                held_out.add(name)
                total += sizes[name]
        if not held_out:
            held_out = {min(sizes, key=lambda name: (sizes[name], name))}
    if len(held_out) == len(sizes):
        raise UserError(f"nothing is left to train on: all {len(sizes)} of the corpus's parts are held out; add text")
    return held_out


class _Writer:
    """Documents → Parquet in row groups of about `ROW_GROUP_BYTES`; the same bytes for the same documents."""

    def __init__(self, path: Path):
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.schema = pa.schema([(name, pa.large_string()) for name in Document._fields])
        self.file = pq.ParquetWriter(path, self.schema, compression="zstd", use_dictionary=["source", "group"])
        self.held: list[Document] = []
        self.held_bytes = self.documents = self.bytes = 0

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: Any) -> None:
        if self.held:
            self._flush()
        self.file.close()

    def add(self, document: Document, size: int) -> None:
        self.held.append(document)
        self.held_bytes += size
        self.documents += 1
        self.bytes += size
        if self.held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        columns = dict(zip(Document._fields, zip(*self.held, strict=True), strict=True))
        self.file.write_table(pa.table(columns, schema=self.schema), row_group_size=len(self.held))
        self.held, self.held_bytes = [], 0


def read_documents(path: Path) -> Iterator[Document]:
    """The rows of a split, in order."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as table:
        for group in range(table.num_row_groups):
            columns = table.read_row_group(group).to_pydict()
            yield from map(Document, *(columns[name] for name in Document._fields))

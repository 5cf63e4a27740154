"""How do documents lie on disk? Parquet shards of whole documents, the same bytes for the same documents."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orionlm.artifact import fsync

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_BYTES = 1 << 22
ROW_GROUP_ROWS = 1 << 16
SHARD_BYTES = 1 << 28
SYNTHETIC = "synthetic: "  # how the source of text begins that a model wrote
UNIQUE = {"text", "id", "digest", "bytes", "kept", "copy_of"}  # columns that a dictionary would not make smaller


class Document(NamedTuple):
    """`source`: what of the recipe it came from; `group`: what must not be torn apart by the split; `id`: unique;
    `domain`: what a mixture weighs it by; `licence`: an SPDX expression, or "unknown"."""

    text: str
    source: str
    group: str
    id: str
    domain: str = "text"
    licence: str = "unknown"


def schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.large_string()) for name in Document._fields])


def shard_files(folder: Path, split: str) -> list[Path]:
    """The shards of a split, in order."""
    return sorted(folder.glob(f"{split}-[0-9]*.parquet"))


class TableFile:
    """A Parquet file with row groups of about `ROW_GROUP_BYTES` of text; it has its name only once it is whole."""

    def __init__(self, path: Path, schema: pa.Schema, compression: str = "zstd"):
        import pyarrow.parquet as pq

        # A process that outlives its parent for a moment may be writing the same file.
        self.path, self.unfinished = path, path.with_name(f"{path.name}.{os.getpid()}.tmp")
        repeated = [name for name in schema.names if name not in UNIQUE]
        self.file = pq.ParquetWriter(
            self.unfinished, schema, compression=compression, use_dictionary=repeated, write_statistics=False
        )
        self.held: list[pa.Table] = []
        self.held_bytes = self.held_rows = 0

    def __enter__(self) -> TableFile:
        return self

    def __exit__(self, failed: object, *_: Any) -> None:
        if not failed:
            self._flush()
        self.file.close()
        if failed:
            self.unfinished.unlink()
        else:
            fsync(self.unfinished)
            self.unfinished.replace(self.path)

    def add(self, table: pa.Table, sizes: np.ndarray) -> None:
        """`sizes`: bytes of each text. Where tables begin and end leaves no trace in the file."""
        totals, start = np.cumsum(sizes), 0
        while start < len(table):
            before = totals[start - 1] if start else 0
            full = int(np.searchsorted(totals, before + ROW_GROUP_BYTES - self.held_bytes)) + 1
            stop = min(full, start + ROW_GROUP_ROWS - self.held_rows, len(table))
            self.held.append(table.slice(start, stop - start))
            self.held_bytes += int(totals[stop - 1] - before)
            self.held_rows += stop - start
            start = stop
            if self.held_bytes >= ROW_GROUP_BYTES or self.held_rows >= ROW_GROUP_ROWS:
                self._flush()

    def _flush(self) -> None:
        import pyarrow as pa

        if self.held:
            table = pa.concat_tables(self.held).combine_chunks()
            self.held, self.held_bytes, self.held_rows = [], 0, 0
            self.file.write_table(table, row_group_size=len(table))


def read_documents(paths: Sequence[Path]) -> Iterator[Document]:
    """The rows of these shards, in order."""
    for table in row_groups(paths, Document._fields):
        columns = table.to_pydict()
        yield from map(Document, *(columns[name] for name in Document._fields))


def genuine(documents: Iterable[Document]) -> Iterator[Document]:
    """Those that people wrote."""
    return (document for document in documents if not document.source.startswith(SYNTHETIC))


def texts(paths: Sequence[Path]) -> Iterator[str]:
    for table in row_groups(paths, ("text",)):
        yield from table.column(0).to_pylist()


def row_groups(paths: Iterable[Path], columns: Sequence[str]) -> Iterator[pa.Table]:
    """The row groups of these shards, one at a time."""
    import pyarrow.parquet as pq

    for path in paths:
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                yield file.read_row_group(number, columns=list(columns))

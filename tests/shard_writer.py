"""Documents as shards on disk, as a corpus has them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from orionlm.data.documents import ROW_GROUP_BYTES, SHARD_BYTES, Document, schema


class Writer:
    """Documents → `SPLIT-00000.parquet`, … in `folder`; row groups of `ROW_GROUP_BYTES`, shards of `SHARD_BYTES`."""

    def __init__(self, folder: Path, split: str, shard_bytes: int = SHARD_BYTES):
        self.folder, self.split, self.shard_bytes = folder, split, shard_bytes
        self.file: Any = None
        self.held: list[Document] = []
        self.shards = self.held_bytes = self.shard_held = self.documents = self.bytes = 0

    def __enter__(self) -> Writer:
        self._open()  # a split without documents is a shard without rows
        return self

    def __exit__(self, *_: Any) -> None:
        if self.held:
            self._flush()
        self.file.close()

    def add(self, document: Document, size: int) -> None:
        """`size`: the text's UTF-8 bytes."""
        if self.shard_held >= self.shard_bytes:
            self._flush()
            self.file.close()
            self._open()
        self.held.append(document)
        self.held_bytes += size
        self.shard_held += size
        self.documents += 1
        self.bytes += size
        if self.held_bytes >= ROW_GROUP_BYTES:
            self._flush()

    def _open(self) -> None:
        path = self.folder / f"{self.split}-{self.shards:05d}.parquet"
        repeated = ["source", "group", "domain", "licence"]
        self.file = pq.ParquetWriter(path, schema(), compression="zstd", use_dictionary=repeated)
        self.shards += 1
        self.shard_held = 0

    def _flush(self) -> None:
        if self.held:
            columns = dict(zip(Document._fields, zip(*self.held, strict=True), strict=True))
            self.file.write_table(pa.table(columns, schema=schema()), row_group_size=len(self.held))
        self.held, self.held_bytes = [], 0

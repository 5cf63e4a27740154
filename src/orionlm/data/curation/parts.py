"""How is a corpus cut into parts that fit in memory, and how is one read?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orionlm.data.documents import ROW_GROUP_BYTES, Document, schema
from orionlm.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

PART_BYTES = 1 << 25
PART_ROWS = 1 << 18  # what is known of a document takes memory too: a signature is 512 bytes


@dataclass(frozen=True)
class Part:
    """Some row groups of a Parquet file; `protected`: its text stays as it is, and what copies it goes."""

    file: Path
    row_groups: tuple[int, ...]
    rows_before: int
    protected: bool = False


def parts(files: Sequence[Path], protected: bool = False, part_bytes: int = PART_BYTES) -> list[Part]:
    """Consecutive row groups of each file, a part closed once its text reaches `part_bytes`, or it has `PART_ROWS`."""
    import pyarrow.parquet as pq

    found = []
    for path in files:
        with pq.ParquetFile(path) as file:
            column = file.schema_arrow.get_field_index("text")
            if column < 0:
                raise UserError(f"{path}: no column 'text'; it has {', '.join(file.schema_arrow.names)}")
            groups: list[int] = []
            held = rows = before = 0
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                groups.append(number)
                held += group.column(column).total_uncompressed_size
                rows += group.num_rows
                full = held >= part_bytes or rows - before >= PART_ROWS
                if rows > before and (full or number + 1 == file.num_row_groups):
                    found.append(Part(path, tuple(groups), before, protected))
                    groups, held, before = [], 0, rows
    return found


def read(part: Part) -> Iterator[pa.Table]:
    """Its documents in tables of about `ROW_GROUP_BYTES`, all columns of `Document`.

    A table made elsewhere needs `text` alone: what it lacks is filled in, null text is empty.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(part.file) as file:
        names = file.schema_arrow.names
        held = [name for name in Document._fields if name in names]
        groups = [file.metadata.row_group(number) for number in part.row_groups]
        rows = sum(group.num_rows for group in groups)
        size = sum(group.column(names.index("text")).total_uncompressed_size for group in groups)
        batch = max(1, min(1 << 16, rows * ROW_GROUP_BYTES // max(size, 1)))
        first = part.rows_before
        for found in file.iter_batches(batch, row_groups=list(part.row_groups), columns=held):
            yield _whole(found, part.file, first)
            first += len(found)


def _whole(batch: pa.RecordBatch, path: Path, first: int) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    count = len(batch)
    made = {name: batch.column(name).cast(pa.large_string()) for name in batch.schema.names}
    if "id" not in made:
        made["id"] = pa.array([f"{path.as_posix()}:{first + row + 1}" for row in range(count)], pa.large_string())
    made.setdefault("group", made["id"])
    for name, value in (("source", path.as_posix()), *Document._field_defaults.items()):
        made.setdefault(name, pa.repeat(pa.scalar(value, pa.large_string()), count))
    made["text"] = pc.fill_null(made["text"], "")
    return pa.table([made[name] for name in Document._fields], schema=schema())

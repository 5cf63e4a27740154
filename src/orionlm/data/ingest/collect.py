"""How is a piece of input read into a file of documents, and how is a shard written from such files?

Both are pure functions of their arguments, for worker processes: they leave a whole file or none, and return a record.
A text is held once, whatever its length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from orionlm.data.documents import ROW_GROUP_BYTES, Document, TableFile, schema
from orionlm.data.ingest.exact import name_key, text_digest
from orionlm.data.ingest.quarantine import LONGEST, Quarantine
from orionlm.data.ingest.sources import Source
from orionlm.data.ingest.spans import Unit
from orionlm.data.shares import SHARES, share

if TYPE_CHECKING:
    import pyarrow as pa

KEYS = ("bytes", "text_key", "text_key_2", "id_key", "group_key")
ROWS = 1 << 12
NAMED = 100


class Part(NamedTuple):
    """Some rows of a unit file, ascending, and new ids for some of these."""

    file: Path
    rows: np.ndarray
    ids: Mapping[int, str]


def read_unit(source: Source, unit: Unit, smallest: int, largest: int | None, target: Path) -> dict[str, Any]:
    """The usable documents of a unit with their `KEYS` in `target`, and what was left out."""
    quarantine = Quarantine(max(LONGEST, 2 * (largest or 0)))
    dropped: Counter[str] = Counter()
    documents = 0
    with TableFile(target, _unit_schema(), "lz4") as file:
        held: list[tuple[Any, ...]] = []
        size = 0
        for document in source.documents(unit, quarantine):
            try:
                text = document.text.encode()
            except UnicodeEncodeError:  # JSON can spell half a character
                quarantine.add("not UTF-8", document.id, document.text)
                continue
            digest = text_digest(document.text)
            document = document._replace(text="")
            if digest is None:
                dropped["empty"] += 1
            elif len(text) < smallest:
                dropped["too short"] += 1
            elif largest is not None and len(text) > largest:
                quarantine.add("too long", document.id, text)
            else:
                halves = int.from_bytes(digest[:8]), int.from_bytes(digest[8:16])
                names = name_key(document.id), name_key(document.group)
                held.append((text, *document[1:], len(text), *halves, *names))
                documents += 1
                size += len(text)
                text = b""
                if size >= ROW_GROUP_BYTES or len(held) >= ROWS:
                    file.add(*_table(held))
                    held, size = [], 0
        if held:
            file.add(*_table(held))
    return {"documents": documents, "dropped": dict(dropped), "quarantine": vars(quarantine)}


def write_shard(parts: Sequence[Part], unit: str, target: Path) -> dict[str, Any]:
    """All parts in one shard, `target`. Returns what it holds by `SHARES`, and some names: of its groups, or its ids,
    whichever is the `unit` of the split."""
    shares: dict[str, dict[str, list[int]]] = {name: {} for name in SHARES}
    names: set[str] = set()
    documents = size = 0
    with TableFile(target, schema()) as file:
        for part in parts:
            for rows, table in rows_of(part.file, part.rows, [*Document._fields, "bytes"]):
                sizes = table.column("bytes").to_numpy()
                table = _renamed(table.drop_columns("bytes"), rows, part.ids)
                for name, counts in shares.items():
                    for value, count, held in share(table.column(name), sizes):
                        before = counts.setdefault(value, [0, 0])
                        counts[value] = [before[0] + count, before[1] + held]
                names.update(table.column(unit).unique().to_pylist())
                names = set(sorted(names)[:NAMED])
                documents += len(table)
                size += int(sizes.sum())
                file.add(table, sizes)
    return {"documents": documents, "bytes": size, "names": sorted(names), **shares}


def read_key(paths: Sequence[Path], counts: Sequence[int], name: str, kept: np.ndarray | None = None) -> np.ndarray:
    """One of `KEYS` for the documents of these unit files, in order; those that are `kept`, where that is given."""
    import pyarrow.parquet as pq

    total = sum(counts) if kept is None else int(kept.sum())
    found = np.empty(total, np.int64 if name == "bytes" else np.uint64)
    start = place = 0
    for path, count in zip(paths, counts, strict=True):
        values = pq.read_table(path, columns=[name]).column(0).to_numpy()
        values = values if kept is None else values[kept[start : start + count]]
        found[place : place + len(values)] = values
        start, place = start + count, place + len(values)
    return found


def rows_of(path: Path, rows: np.ndarray, columns: Sequence[str]) -> Iterator[tuple[np.ndarray, pa.Table]]:
    """These rows (ascending) of a unit file, a row group at a time."""
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            count = file.metadata.row_group(group).num_rows
            here = rows[slice(*np.searchsorted(rows, [first, first + count]))]
            if len(here):
                table = file.read_row_group(group, columns=list(columns))
                yield here, table if len(here) == count else table.take(here - first)
            first += count


def _unit_schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema([*schema(), (KEYS[0], pa.int64()), *((key, pa.uint64()) for key in KEYS[1:])])


def _table(rows: list[tuple[Any, ...]]) -> tuple[pa.Table, np.ndarray]:
    """Rows that begin with their text, as UTF-8, and the bytes of each text."""
    import pyarrow as pa

    texts, *columns = zip(*rows, strict=True)
    ends = np.cumsum([0, *map(len, texts)], dtype=np.int64)
    buffers = [None, pa.py_buffer(ends.tobytes()), pa.py_buffer(b"".join(texts))]
    made = [pa.LargeStringArray.from_buffers(len(texts), *buffers[1:])]
    fields = list(_unit_schema())[1:]
    made += [pa.array(values, field.type) for values, field in zip(columns, fields, strict=True)]
    return pa.table(made, schema=_unit_schema()), np.diff(ends)


def _renamed(table: pa.Table, rows: np.ndarray, ids: Mapping[int, str]) -> pa.Table:
    import pyarrow as pa

    if not ids:
        return table
    old = table.column("id").to_pylist()
    new = [ids.get(row, id) for row, id in zip(rows.tolist(), old, strict=True)]
    return table.set_column(table.schema.get_field_index("id"), "id", pa.array(new, pa.large_string()))

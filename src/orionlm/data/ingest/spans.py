"""Into which pieces is input cut, so that several processes read it and a killed one has little to do again?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from orionlm.data.ingest.reading import COMPRESSED, Span, column_bytes

UNIT_BYTES = 1 << 26
BLOCK = 1 << 22


class Unit(NamedTuple):
    """What is read by one process in one go; `size`: bytes of text, about."""

    spans: tuple[Span, ...]
    size: int


def together(pieces: Iterable[tuple[Span, int]]) -> list[Unit]:
    """Consecutive pieces of input in units of about `UNIT_BYTES`; pieces come with their bytes."""
    units: list[Unit] = []
    held: list[Span] = []
    size = 0
    for span, more in pieces:
        if held and size + more > UNIT_BYTES:
            units.append(Unit(tuple(held), size))
            held, size = [], 0
        held.append(span)
        size += more
    return [*units, Unit(tuple(held), size)] if held else units


def whole(path: Path) -> Span:
    about = path.stat()
    return Span(path.as_posix(), f"{about.st_size} {about.st_mtime_ns}")


def line_spans(path: Path) -> Iterator[tuple[Span, int]]:
    """A file of lines in pieces of about `UNIT_BYTES`, where it can be entered in the middle."""
    span, size = whole(path), path.stat().st_size
    if size <= UNIT_BYTES or path.suffix in COMPRESSED:
        yield span, size
        return
    start, at, first, lines = 0, 0, 1, 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            end = block.rfind(b"\n") + 1
            if at + end - start >= UNIT_BYTES and end:
                lines += block.count(b"\n")
                yield span._replace(start=start, stop=at + end, first=first), at + end - start
                start, first, lines = at + end, first + lines, 0
            else:
                lines += block.count(b"\n")
            at += len(block)
    if at > start:
        yield span._replace(start=start, stop=at, first=first), at - start


def table_spans(path: Path, fields: list[str]) -> tuple[list[tuple[Span, int]], set[str] | None]:
    """Row groups of about `UNIT_BYTES`, and which columns there are; None where the file cannot be read."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    span = whole(path)
    try:
        with pq.ParquetFile(path) as file:
            found: list[tuple[Span, int]] = []
            start = size = rows = 0
            first = 1
            for group in range(file.num_row_groups):
                size += column_bytes(file, group, fields)
                rows += file.metadata.row_group(group).num_rows
                if size >= UNIT_BYTES or group + 1 == file.num_row_groups:
                    found.append((span._replace(start=start, stop=group + 1, first=first), size))
                    start, size, first, rows = group + 1, 0, first + rows, 0
            return found, set(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError, MemoryError):
        return [(span, path.stat().st_size)], None  # the reading says so

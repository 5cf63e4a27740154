"""What can be read of a file that may be broken? Its rows, one at a time.

Nothing here holds more than one line, or `BATCH_BYTES` of a table, at once.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from orionlm.data.ingest.quarantine import SHOWN, Quarantine, printable
from orionlm.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES = 1 << 24

TABLES = (".parquet", ".pq")
COMPRESSED = (".gz", ".bz2", ".xz", ".zst")


class Span(NamedTuple):
    """A piece of input: `start` to `stop` (bytes, row groups or shards; None: the end), which begins with row `first`.

    `stamp` differs where the input does.
    """

    path: str
    stamp: str = ""
    start: int = 0
    stop: int | None = None
    first: int = 1


def json_rows(span: Span, quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of JSON lines with their line numbers."""
    number, at = span.first - 1, span.start
    path = printable(span.path)
    try:
        with _opened(span.path) as stream:
            if span.start:
                stream.seek(span.start)
            while (span.stop is None or at < span.stop) and (line := stream.readline(quarantine.longest)):
                number += 1
                at += len(line)
                head, where = line[:SHOWN], f"{path}:{number}"
                if len(line) == quarantine.longest and not line.endswith(b"\n"):
                    line = b""
                    at += _skip_line(stream)
                    quarantine.add("too long", where, head)
                elif not line.isspace():
                    text = decoded(line, where, quarantine)
                    line = b""  # a long line is held once, not in each of its forms
                    row = None if text is None else _parsed(text, where, head, quarantine)
                    text = None
                    if row is not None:
                        yield number, row
                        row = None
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        _unless_mendable(error, span.path)
        quarantine.add("compressed file cut short or corrupt", f"{path} after line {number}", _head(span.path))


def decoded(content: bytes, where: str, quarantine: Quarantine) -> str | None:
    """UTF-8, without a byte order mark."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        quarantine.add("not UTF-8", f"{where} at byte {error.start:,}", content)
        return None


def _parsed(text: str, where: str, head: bytes, quarantine: Quarantine) -> dict[str, Any] | None:
    try:
        row = json.loads(text)
    except (ValueError, RecursionError):  # a number of too many digits is a ValueError
        quarantine.add("broken JSON", where, head)
        return None
    if isinstance(row, dict):
        return row
    quarantine.add("not a JSON object", where, head)
    return None


def _skip_line(stream: IO[bytes]) -> int:
    size = 0
    while rest := stream.readline(1 << 20):
        size += len(rest)
        if rest.endswith(b"\n"):
            break
    return size


def _opened(path: str) -> IO[bytes]:
    kinds: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    suffix = Path(path).suffix
    if suffix in kinds:
        return kinds[suffix](path, "rb")
    if suffix == ".zst":
        import io

        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(path, compression="zstd"))  # type: ignore[type-var]
    return open(path, "rb")


def _unless_mendable(error: BaseException, path: str) -> None:
    """The machine's own faults, no permission or a disk that fails, are no property of the text."""
    if isinstance(error, OSError) and error.errno:
        raise UserError(
            f"{printable(path)} cannot be read ({error.strerror or error}); mend that, and run it again to go on"
        ) from error


def _head(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read(SHOWN)


def parquet_rows(span: Span, fields: Sequence[str], quarantine: Quarantine) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of Parquet with their numbers, `fields` only, text as bytes; without `fields[0]` all names, no values.

    Of a row group that cannot be read to its end, what comes before the damage is given.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    unreadable = (pa.ArrowException, OSError, ValueError, MemoryError)
    path = printable(span.path)
    try:
        file = pq.ParquetFile(span.path, buffer_size=1 << 20, page_checksum_verification=True)
    except unreadable as error:
        _unless_mendable(error, span.path)
        quarantine.add("unreadable Parquet file", path, _head(span.path))
        return
    with file:
        names, first = file.schema_arrow.names, span.first
        held = [name for name in dict.fromkeys(fields) if name in names]
        if twice := [name for name in held if names.count(name) > 1]:
            raise UserError(f"{path}: two columns are called {twice[0]!r}; rename one")
        for group in range(file.num_row_groups)[span.start : span.stop]:
            rows, given = file.metadata.row_group(group).num_rows, 0
            if fields[0] not in names:
                yield from ((first + row, dict.fromkeys(names)) for row in range(rows))
                given = rows
            else:
                batch = max(1, min(1 << 12, rows * BATCH_BYTES // (column_bytes(file, group, held) or 1)))
                try:
                    for found in file.iter_batches(batch, row_groups=[group], columns=held):
                        columns = [_values(found.column(name)) for name in held]
                        for row in zip(*columns, strict=True):
                            yield first + given, dict(zip(held, row, strict=True))
                            given += 1
                except unreadable as error:
                    _unless_mendable(error, span.path)
                    where = f"{path}:{first + given} to {first + rows - 1}, row group {group}"
                    quarantine.add("unreadable Parquet row group", where, printable(str(error)), rows - given)
            first += rows


def column_bytes(file: Any, group: int, names: Sequence[str]) -> int:
    """What these columns of a row group take up, uncompressed."""
    found = file.metadata.row_group(group)
    columns = (found.column(number) for number in range(found.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema.split(".")[0] in names)


def _values(array: pa.Array) -> list[Any]:
    """Text as bytes: what is no UTF-8 then costs one row, not its whole batch."""
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return (array.cast(pa.large_binary()) if any(kind(array.type) for kind in kinds) else array).to_pylist()

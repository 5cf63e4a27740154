"""A file of prompts in, a file of responses out: which rows are there, and how are the answers written?"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from orionlm.artifact import replacing
from orionlm.errors import UserError
from orionlm.inference.client.request import Request
from orionlm.sampling import Sampling

READABLE = (".jsonl", ".jsonl.gz", ".json", ".parquet", ".txt")
WRITABLE = (".parquet", ".jsonl")
OWN_SAMPLING = ("max_tokens", "temperature", "seed")
_ASKED = ("prompt", "messages", "id", *OWN_SAMPLING)
ROWS_AT_ONCE = 1000


@dataclass(frozen=True)
class Row:
    """One row of the prompts, `number` counted from 1. `error` says why it cannot be asked."""

    number: int
    id: Any = None
    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    carried: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Form:
    """How every row of a file is asked; a row's own max_tokens, temperature and seed go before `sampling`'s."""

    model: str
    sampling: Sampling
    revision: str = ""
    system: str | None = None
    raw: bool = False  # prompts go to /completions as they are, not as a user's message

    def request(self, row: Row, sample: int) -> Request:
        """Raises UserError where the row's own sampling is out of bounds."""
        sampling = replace(self.sampling, **row.sampling) if row.sampling else self.sampling
        if row.messages is None and self.raw:
            return Request(self.model, None, row.prompt, sampling, self.revision, sample)
        messages = row.messages or ({"role": "user", "content": row.prompt},)
        if self.system and not any(message["role"] == "system" for message in messages):
            messages = ({"role": "system", "content": self.system}, *messages)
        return Request(self.model, messages, None, sampling, self.revision, sample)


def check_readable(path: Path) -> None:
    """One line for a file that cannot be a file of prompts."""
    if not path.is_file():
        raise UserError(f"{path}: {'a directory' if path.is_dir() else 'no such file'}; give a file of prompts")
    if not path.name.endswith(READABLE):
        raise UserError(f"{path}: prompts are read from {', '.join(READABLE)}; convert it to .jsonl, one object a line")


def check_writable(path: Path) -> None:
    """Before anything is paid for: can the answers be written there?"""
    if not path.name.endswith(WRITABLE):
        raise UserError(f"--out {path}: responses are written as {' or '.join(WRITABLE)}; choose one of these endings")
    if path.is_dir():
        raise UserError(f"--out {path}: a directory; give a file's name")
    if not path.parent.is_dir():
        raise UserError(f"--out {path}: there is no directory {path.parent}; make it first")
    if path.suffix == ".parquet":
        import pyarrow.parquet  # noqa: F401


def read_prompts(path: Path) -> Iterator[Row]:
    """The rows in order; one that is wrong says so and stops no other."""
    check_readable(path)
    if path.suffix == ".parquet":
        yield from _parquet(path)
    elif path.suffix == ".txt":
        for number, line in _lines(path):
            yield _text(number, line)
    elif path.suffix == ".json":
        yield from _array(path)
    else:
        for number, line in _lines(path):
            if line.strip():
                yield _parse(number, line)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.removeprefix(b"\xef\xbb\xbf") if number == 1 else line
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); make it again") from None


def _parse(number: int, line: bytes) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return Row(number, number, error=f"row {number}: not JSON; write one JSON object a line")
    return _row(number, value)


def _text(number: int, line: bytes) -> Row:
    try:
        return _row(number, {"prompt": line.decode().rstrip("\r\n")})
    except UnicodeDecodeError:
        return Row(number, number, error=f"row {number}: not UTF-8 text; save the file as UTF-8")


def _array(path: Path) -> Iterator[Row]:
    try:
        values = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list):
        raise UserError(f"{path}: not a JSON list of objects; or is it .jsonl, one object a line?")
    for number, value in enumerate(values, start=1):
        yield _row(number, value)


def _parquet(path: Path) -> Iterator[Row]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE):
            for value in batch.to_pylist():
                number += 1
                yield _row(number, {name: item for name, item in value.items() if item is not None})
    except pyarrow.ArrowException as error:
        raise UserError(f"{path}: not a whole Parquet file: {str(error).splitlines()[0]}") from None


def _row(number: int, value: Any) -> Row:
    if not isinstance(value, dict):
        return Row(number, number, error=f"row {number}: a {type(value).__name__} where an object is expected")
    name = number if value.get("id") is None else value["id"]
    carried = {column: item for column, item in value.items() if column not in _ASKED}
    sampling = {column: value[column] for column in OWN_SAMPLING if value.get(column) is not None}
    prompt, messages = value.get("prompt"), value.get("messages")

    def wrong(problem: str) -> Row:
        return Row(number, name, carried=carried, error=f"row {number}: {problem}")

    if (prompt is None) == (messages is None):
        return wrong("give prompt or messages" + ("" if prompt is None else ", not both"))
    if prompt is not None and (not isinstance(prompt, str) or not prompt.strip()):
        return wrong("prompt is empty" if isinstance(prompt, str) else "prompt is not text")
    if messages is not None and not isinstance(messages, list):
        return wrong("messages is not a list")
    row = Row(number, name, prompt, tuple(messages) if messages is not None else None, sampling, carried)
    try:
        Form("", Sampling()).request(row, 0)
    except UserError as error:
        return wrong(str(error))
    return row


OURS = (
    "id", "sample", "response", "finish_reason", "error", "prompt_tokens", "completion_tokens", "dollars", "model",
    "revision", "key",
)  # fmt: skip
_OUR_TYPES = {
    "sample": "int", "prompt_tokens": "int", "completion_tokens": "int", "dollars": "float", "response": "str",
    "finish_reason": "str", "error": "str", "model": "str", "revision": "str", "key": "str",
}  # fmt: skip


class Columns:
    """Which columns are carried through, and of which type: seen once over all rows, before any is written."""

    def __init__(self) -> None:
        self.types: dict[str, str] = {"id": ""}

    def see(self, row: Row) -> None:
        for name, value in ({"id": row.id} | dict(row.carried)).items():
            self.types[name] = _joint(self.types.get(name, ""), _kind(value))

    def out(self, name: str) -> str:
        """A carried column that has the name of one of ours is called input_…"""
        return f"input_{name}" if name in OURS and name != "id" else name

    def schema(self) -> dict[str, str]:
        """Name in the output → type."""
        carried = {self.out(name): kind or "str" for name, kind in self.types.items() if name != "id"}
        return {name: _OUR_TYPES.get(name, self.types["id"] or "str") for name in OURS} | carried

    def carry(self, row: Row) -> dict[str, Any]:
        return {"id": row.id} | {self.out(name): value for name, value in row.carried.items()}


def write_responses(path: Path, columns: Columns, rows: Iterable[Mapping[str, Any]]) -> int:
    """Write `rows` so that `path` is always the old whole file or the new one; return how many there were."""
    schema = columns.schema()
    with replacing(path) as file:
        return (_write_parquet if path.suffix == ".parquet" else _write_lines)(file, schema, rows)


def _write_lines(file: BinaryIO, schema: dict[str, str], rows: Iterable[Mapping[str, Any]]) -> int:
    count = 0
    for row in rows:
        whole = {name: row.get(name) for name in OURS} | {name: row[name] for name in schema if name in row}
        file.write(json.dumps(whole, ensure_ascii=False, default=str).encode("utf-8", "replace") + b"\n")
        count += 1
    return count


def _write_parquet(file: BinaryIO, schema: dict[str, str], rows: Iterable[Mapping[str, Any]]) -> int:
    import pyarrow
    import pyarrow.parquet

    types = {
        "int": pyarrow.int64(),
        "float": pyarrow.float64(),
        "bool": pyarrow.bool_(),
        "str": pyarrow.string(),
        "json": pyarrow.string(),
    }
    table = pyarrow.schema([(name, types[kind]) for name, kind in schema.items()])
    count = 0
    with pyarrow.parquet.ParquetWriter(file, table) as writer:
        for some in _chunks(rows):
            listed = [{name: _as(kind, row.get(name)) for name, kind in schema.items()} for row in some]
            writer.write_table(pyarrow.Table.from_pylist(listed, table))
            count += len(some)
    return count


def _chunks(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    some: list[Mapping[str, Any]] = []
    for row in rows:
        some.append(row)
        if len(some) == ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _kind(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int" if -(2**63) <= value < 2**63 else "json"
    return {float: "float", str: "str"}.get(type(value), "json")


def _joint(one: str, other: str) -> str:
    if one == other or not one or not other:
        return one or other
    return "float" if {one, other} == {"int", "float"} else "json"


def _as(kind: str, value: Any) -> Any:
    """`value` in a column of `kind`; where kinds are mixed, text stays text and the rest is JSON."""
    if value is None:
        return None
    if kind == "json" and not isinstance(value, str):
        value = json.dumps(value, ensure_ascii=False, default=str)
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "replace").decode()
    return float(value) if kind == "float" else value

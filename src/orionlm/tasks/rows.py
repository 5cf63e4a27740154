"""Which rows does a file, or a data set of the hub, hold? Each with the place to name if it is wrong."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from orionlm.errors import UserError

READABLE = (".jsonl", ".jsonl.gz", ".json", ".parquet")
MOST_LINE = 4 << 20  # a longer line is a file that is not what its name says, not a question
MOST_DOCUMENT = 256 << 20  # of a .json file, which must be read whole
DEEPEST = 100


def read_rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row), in order. A .json file holds a list of rows, or an object with one list and nothing else."""
    if not path.name.lower().endswith(READABLE):
        raise UserError(f"{path}: rows are read from {', '.join(READABLE)}; convert it to .jsonl, one object a line")
    if problem := missing(path):
        raise UserError(f"{path}: {problem}; give a file of rows")
    suffix = path.name.lower()
    if suffix.endswith(".parquet"):
        yield from _parquet(path)
    elif suffix.endswith(".json"):
        yield from _document(path)
    else:
        yield from _lines(path)


def missing(path: Path) -> str:
    """Why there is no file to read at `path`; empty if there is one."""
    try:
        return "" if path.is_file() else "a directory" if path.is_dir() else "no such file"
    except OSError as error:
        return (error.strerror or str(error)).lower()


def read_hub(
    name: str, config: str | None, split: str, revision: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a split of a Hugging Face data set; extra `hf`."""
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(f"data set {name!r} needs the extra hf: pip install 'orion-lm[hf]'") from None
    try:
        rows = load_dataset(name, config, split=split, revision=revision, streaming=True)
        for number, row in enumerate(rows, start=1):
            yield f"{name} {split}:{number}", _checked(f"{name} {split}:{number}", dict(row))
    except UserError:
        raise
    except Exception as error:  # the hub's client raises a dozen types of its own and of its transports
        problem = next(iter(str(error).splitlines()), "") or type(error).__name__
        raise UserError(
            f"data set {name!r}, split {split!r}: {problem}; if there is no network here, save it and give the file"
        ) from None


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with gzip.open(path) if path.name.lower().endswith(".gz") else path.open("rb") as file:
            for number, line in enumerate(_bounded(file, path), start=1):
                if number == 1:
                    line = line.removeprefix(b"\xef\xbb\xbf")
                if line.strip():
                    yield f"{path}:{number}", _parse(f"{path}:{number}", line)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise UserError(f"{path}: not a whole gzip file ({error}); make it again") from None
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None


def _bounded(file: Any, path: Path) -> Iterator[bytes]:
    number = 0
    while line := file.readline(MOST_LINE + 1):
        number += 1
        if len(line) > MOST_LINE:
            raise UserError(f"{path}:{number}: a line of more than {MOST_LINE >> 20} MiB; write one item a line")
        yield line


def _parse(where: str, line: bytes) -> dict[str, Any]:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        raise UserError(f"{where}: not UTF-8 text: save the file as UTF-8") from None
    try:
        value = json.loads(text, parse_constant=_not_a_number)
    except RecursionError:
        raise UserError(f"{where}: nested too deeply; write one flat object a line") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{where}: not JSON ({error.msg.lower()}); write one object a line") from None
    except ValueError as error:
        raise UserError(f"{where}: {_line(error)}") from None
    return _checked(where, value)


def _not_a_number(name: str) -> float:
    raise ValueError(f"{name} is no usable number; write a finite one, or text in quotes")


def _line(error: Exception) -> str:
    text = next(iter(str(error).splitlines()), "")
    return "a number of thousands of digits; write it as text in quotes" if "digits" in text else text


def _checked(where: str, row: Any) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(f"{where}: a {type(row).__name__} where an object is expected; write one object a line")
    if _deeper(row, DEEPEST):
        raise UserError(f"{where}: nested more than {DEEPEST} deep; write one flat object a line")
    try:
        size = len(json.dumps(row, ensure_ascii=False, default=str).encode())
    except UnicodeEncodeError:
        raise UserError(f"{where}: half of a surrogate pair (\\ud800…\\udfff), which is no text; take it out") from None
    if size > MOST_LINE:
        raise UserError(f"{where}: a row of more than {MOST_LINE >> 20} MiB; write one item a row")
    return row


def _deeper(value: Any, depth: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return depth == 0 or any(_deeper(each, depth - 1) for each in inner)


def _document(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        if path.stat().st_size > MOST_DOCUMENT:
            raise UserError(f"{path}: more than {MOST_DOCUMENT >> 20} MiB; convert it to .jsonl, one object a line")
        value = json.loads(path.read_bytes().decode("utf-8-sig"), parse_constant=_not_a_number)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text: save the file as UTF-8") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}:{error.lineno}: not JSON ({error.msg.lower()})") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply; write one flat object a row") from None
    except ValueError as error:
        raise UserError(f"{path}: not usable JSON: {_line(error)}") from None
    if isinstance(value, dict) and len(value) == 1:
        value = next(iter(value.values()))
    if not isinstance(value, list):
        raise UserError(f"{path}: neither a list of rows nor an object that holds one list; or is it .jsonl?")
    for number, row in enumerate(value, start=1):
        where = f"{path} row {number}"
        yield where, _checked(where, row)


def _parquet(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise UserError(f"{path}: Parquet needs the extra data: pip install 'orion-lm[data]'") from None
    try:
        number = 0
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=1000):
            for row in batch.to_pylist():
                number += 1
                yield f"{path} row {number}", _checked(f"{path} row {number}", row)
    except (pyarrow.ArrowException, OSError) as error:
        raise UserError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0]}); make it again") from None

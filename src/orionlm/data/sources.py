"""Where does text come from? Installed packages, files, rows of JSONL or Parquet, and Hugging Face data sets.

Every source streams its documents in an order that depends on its content alone. What cannot be read is counted in
`Skipped` by reason; a source that loses more than `TOLERATED` of what it holds is an error.
"""

from __future__ import annotations

import base64
import bz2
import glob
import gzip
import hashlib
import json
import lzma
import re
from collections import Counter
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import IO, Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError

TOLERATED = 0.01
BUILT = re.compile(r"(^|/)(__config__|_distributor_init\w*)\.py$")


class Document(NamedTuple):
    """`source`: what of the recipe it came from; `group`: what must not be torn apart by the split; `id`: unique."""

    text: str
    source: str
    group: str
    id: str


class Skipped:
    """What one source held and could not give: `seen`, `reasons` (reason → count), `first` (reason → where)."""

    def __init__(self) -> None:
        self.seen = 0
        self.reasons: Counter[str] = Counter()
        self.first: dict[str, str] = {}

    def note(self, reason: str, where: str) -> None:
        self.reasons[reason] += 1
        self.first.setdefault(reason, where)

    def check(self, name: str) -> None:
        """UserError where one reason took more than `TOLERATED` of the source."""
        for reason, count in self.reasons.items():
            if count > TOLERATED * self.seen:
                raise UserError(
                    f"{name}: {count:,} of {self.seen:,} documents are unusable ({reason}), first "
                    f"{self.first[reason]}; at most {TOLERATED:.0%} may be: mend or exclude them"
                )


class _Source(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Packages(_Source):
    """Python sources of installed packages: `packages = ["sympy==1.14.0", …]`. Group: the package.

    Files are checked against the hashes written at installation. Left out: files that the package's build generates.
    """

    packages: tuple[str, ...] = Field(min_length=1)

    def documents(self, skipped: Skipped) -> Iterator[Document]:
        for requirement in self.packages:
            package, version, distribution = _installed(requirement)
            files = {str(file): file for file in distribution.files or () if file.suffix == ".py"}
            if not files:
                raise UserError(
                    f"packages: {package} lists no Python files (installed editable?); "
                    f"pip install --force-reinstall {package}=={version}"
                )
            for name, file in sorted(files.items()):
                if name.startswith("..") or BUILT.search(name):
                    continue
                skipped.seen += 1
                text = _decoded(_verified(file, package, version), name, skipped)
                if text is not None:
                    yield Document(text, f"{package}=={version}", package, name)

    def provenance(self) -> dict[str, Any]:
        return {"packages": {name: version for name, version, _ in map(_installed, self.packages)}}


class Files(_Source):
    """Whole text files: `files = ["docs/**/*.md", "notes.txt"]`, relative to the working directory. Group: the file."""

    files: tuple[str, ...] = Field(min_length=1)

    def documents(self, skipped: Skipped) -> Iterator[Document]:
        for path in _matches("files", self.files):
            skipped.seen += 1
            text = _decoded(path.read_bytes(), path.as_posix(), skipped)
            if text is None and path in map(Path, self.files):
                raise UserError(f"files: {skipped.first['not UTF-8']} is not UTF-8; convert it, or take it out")
            if text is not None:
                yield Document(text, "files", path.as_posix(), path.as_posix())

    def provenance(self) -> dict[str, Any]:
        return {"files": list(self.files)}


class Rows(_Source):
    """Rows of JSONL (.jsonl, .ndjson, .json; plain, .gz, .zst, .bz2, .xz) or Parquet: `rows = ["part-*.parquet"]`.

    `text_field` holds the text; `group_field`, where given, what must stay together; otherwise each row is a group.
    """

    rows: tuple[str, ...] = Field(min_length=1)
    text_field: str = "text"
    group_field: str | None = None

    def documents(self, skipped: Skipped) -> Iterator[Document]:
        for path in _matches("rows", self.rows):
            read = _parquet_rows if path.suffix in (".parquet", ".pq") else _json_rows
            for number, row in read(path, [name for name in (self.text_field, self.group_field) if name], skipped):
                document = _row_document(row, f"{path.as_posix()}:{number}", self, path.as_posix(), skipped)
                if document:
                    yield document

    def provenance(self) -> dict[str, Any]:
        return {"rows": list(self.rows), "text_field": self.text_field}


class Dataset(_Source):
    """A Hugging Face data set, streamed: `dataset = "owner/name"`; extra `hf`. Pin `revision` to repeat it."""

    dataset: str
    split: str = "train"
    config: str | None = None
    revision: str | None = None
    text_field: str = "text"
    group_field: str | None = None

    def documents(self, skipped: Skipped) -> Iterator[Document]:
        try:
            from datasets import load_dataset
        except ImportError:
            raise UserError(f"dataset {self.dataset!r} needs the extra hf: pip install 'orion-lm[hf]'") from None
        try:
            rows = load_dataset(self.dataset, self.config, split=self.split, revision=self.revision, streaming=True)
        except (OSError, ValueError) as error:
            raise UserError(f"dataset {self.dataset!r}: {str(error).splitlines()[0]}") from error
        for number, row in enumerate(rows):
            skipped.seen += 1
            document = _row_document(row, f"{self.dataset}:{number}", self, self.dataset, skipped)
            if document:
                yield document

    def provenance(self) -> dict[str, Any]:
        return self.model_dump()


Source = Packages | Files | Rows | Dataset


def _installed(requirement: str) -> tuple[str, str, metadata.Distribution]:
    match = re.fullmatch(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:==\s*([A-Za-z0-9.+!_-]+)\s*)?", requirement)
    if not match:
        raise UserError(f"packages: {requirement!r} is neither a name nor name==version; write e.g. sympy==1.14.0")
    name, pinned = match.groups()
    try:
        distribution = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        raise UserError(f"packages: {name} is not installed; pip install {requirement.strip()}") from None
    version = distribution.version
    if pinned and version != pinned:
        raise UserError(
            f"packages: {name} {version} is installed where the recipe pins {pinned}; pip install {name}=={pinned}"
        )
    return re.sub(r"[-_.]+", "-", name).lower(), version, distribution


def _verified(file: metadata.PackagePath, package: str, version: str) -> bytes:
    try:
        content = Path(str(file.locate())).read_bytes()
    except FileNotFoundError:
        content = b""
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
    if file.hash and file.hash.mode == "sha256" and file.hash.value != digest:
        raise UserError(
            f"packages: {file} is not the file that was installed; pip install --force-reinstall {package}=={version}"
        )
    return content


def _matches(field: str, patterns: tuple[str, ...]) -> Iterator[Path]:
    given: set[str] = set()
    for pattern in patterns:
        found = sorted(name for name in glob.glob(pattern, recursive=True) if Path(name).is_file())
        if not found:
            raise UserError(f"{field}: {pattern!r} matches no file; mend the path (relative to the working directory)")
        for name in found:
            if name not in given:
                given.add(name)
                yield Path(name)


def _decoded(content: bytes, where: str, skipped: Skipped) -> str | None:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        skipped.note("not UTF-8", f"{where} at byte {error.start:,}")
        return None


def _row_document(
    row: dict[str, Any], id: str, fields: Rows | Dataset, source: str, skipped: Skipped
) -> Document | None:
    if fields.text_field not in row:
        skipped.note(f"no field {fields.text_field!r}", f"{id} with {', '.join(map(str, row)) or 'no fields'}")
        return None
    text = row[fields.text_field]
    if not isinstance(text, str):
        skipped.note(f"{fields.text_field!r} is no text", id)
        return None
    group = id
    if fields.group_field:
        if row.get(fields.group_field) is None:
            skipped.note(f"no field {fields.group_field!r}", id)
            return None
        group = str(row[fields.group_field])
    return Document(text, source, group, id)


def _json_rows(path: Path, fields: list[str], skipped: Skipped) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        skipped.seen += 1
        text = _decoded(line, f"{path}:{number}", skipped)
        if text is None:
            continue
        try:
            row = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            skipped.note("broken JSON", f"{path}:{number}")
            continue
        if isinstance(row, dict):
            yield number, row
        else:
            skipped.note("not a JSON object", f"{path}:{number}")


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with _opened(path) as stream:
            yield from stream
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        raise UserError(f"rows: {path} cannot be read to its end ({error}); is the file complete?") from error


def _opened(path: Path) -> IO[bytes]:
    kinds: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if path.suffix in kinds:
        return kinds[path.suffix](path, "rb")
    if path.suffix == ".zst":
        import io

        import pyarrow as pa

        return io.BufferedReader(pa.input_stream(str(path), compression="zstd"))  # type: ignore[type-var]
    return path.open("rb")


def _parquet_rows(path: Path, fields: list[str], skipped: Skipped) -> Iterator[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as table:
            for name in fields:
                held = table.schema_arrow.names
                if name not in held:
                    raise UserError(f"rows: {path} has no column {name!r}; it has {', '.join(held)}")
            number = 0
            for batch in table.iter_batches(batch_size=512, columns=fields):
                for row in batch.to_pylist():
                    skipped.seen += 1
                    number += 1
                    yield number, row
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"rows: {path} is no readable Parquet ({str(error).splitlines()[0]})") from error

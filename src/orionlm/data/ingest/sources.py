"""Where does text come from? Installed packages, files, rows of JSONL or Parquet, and Hugging Face data sets.

Every source names its `units`, pieces that can be read apart from each other, in an order that depends on its content
alone; `documents` reads one. What cannot be read goes to the `Quarantine`, by reason; it never ends the reading.
"""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.data.documents import Document
from orionlm.data.ingest.packages import installed, licence_of, python_files, verified
from orionlm.data.ingest.quarantine import Quarantine, printable
from orionlm.data.ingest.reading import TABLES, Span, decoded, json_rows, parquet_rows
from orionlm.data.ingest.spans import UNIT_BYTES, Unit, line_spans, table_spans, together, whole
from orionlm.data.licences.names import spdx
from orionlm.data.licences.policy import UNKNOWN
from orionlm.errors import UserError


class _Source(BaseModel):
    """`domain`: what a mixture weighs this text by; `licence`: its name or SPDX expression, where you know it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    domain: str = Field(default="text", min_length=1)
    licence: str | None = Field(default=None, min_length=1)

    @field_validator("licence")
    @classmethod
    def _by_identifier(cls, licence: str | None) -> str | None:
        return (spdx(licence) or licence) if licence else None


class Packages(_Source):
    """Python sources of installed packages: `packages = ["sympy==1.14.0", …]`. Group: the package.

    Files are checked against the hashes written at installation. Left out: files that the package's build generates.
    The licence is the one that the package states, unless `licence` is given.
    """

    packages: tuple[str, ...] = Field(min_length=1)
    domain: str = Field(default="code", min_length=1)

    def units(self) -> list[Unit]:
        units = []
        for requirement in self.packages:
            package, version, distribution = installed(requirement)
            files = python_files(package, version, distribution)
            stamp = hashlib.sha256((distribution.read_text("RECORD") or "").encode()).hexdigest()
            size = sum(file.size or 0 for file in files.values())
            units.append(Unit((Span(requirement, f"{package}=={version} {stamp}"),), size))
        return units

    def documents(self, unit: Unit, quarantine: Quarantine) -> Iterator[Document]:
        for span in unit.spans:
            package, version, distribution = installed(span.path)
            licence = self.licence or licence_of(distribution)
            for name, file in python_files(package, version, distribution).items():
                text = decoded(verified(file, package, version), name, quarantine)
                if text is not None:
                    yield Document(text, f"{package}=={version}", package, printable(name), self.domain, licence)

    def provenance(self) -> dict[str, Any]:
        found = [installed(requirement) for requirement in self.packages]
        return {
            "packages": {name: version for name, version, _ in found},
            "domain": self.domain,
            "licences": {name: self.licence or licence_of(package) for name, _, package in found},
        }


class Files(_Source):
    """Whole text files: `files = ["docs/**/*.md", "notes.txt"]`, relative to the working directory. Group: the file."""

    files: tuple[str, ...] = Field(min_length=1)

    def units(self) -> list[Unit]:
        return together((whole(path), path.stat().st_size) for path in _matches("files", self.files))

    def documents(self, unit: Unit, quarantine: Quarantine) -> Iterator[Document]:
        for span in unit.spans:
            name = printable(span.path)
            with open(span.path, "rb") as file:
                content = file.read(quarantine.longest + 1)
            if len(content) > quarantine.longest:
                quarantine.add("too long", name, content)
                continue
            text = decoded(content, name, quarantine)
            if text is not None:
                yield Document(text, "files", name, name, self.domain, self.licence or UNKNOWN)

    def provenance(self) -> dict[str, Any]:
        return {"files": list(self.files), "domain": self.domain, "licence": self.licence or UNKNOWN}


class _Table(_Source):
    """`text_field` holds the text, `group_field` what must stay together (else a row is a group, or the rows of one
    `id_field`). `domain_field`, `licence_field` and `source_field` say it for each row; what a row leaves out is the
    source's own. Without `id_field` a row is named by its place.
    """

    text_field: str = "text"
    id_field: str | None = None
    group_field: str | None = None
    source_field: str | None = None
    domain_field: str | None = None
    licence_field: str | None = None

    def fields(self) -> dict[str, str]:
        """Setting → the field it names; the text's first."""
        named = ("text_field", "id_field", "group_field", "source_field", "domain_field", "licence_field")
        return {setting: field for setting in named if (field := getattr(self, setting))}

    def rows_as_documents(
        self, rows: Iterable[tuple[str, dict[str, Any]]], source: str, quarantine: Quarantine
    ) -> Iterator[Document]:
        """`rows`: each with its place; they give up their text, so that nothing holds it but the document."""
        fields = self.fields()
        yield from filter(None, (self._document(row, fields, place, source, quarantine) for place, row in rows))

    def _document(
        self, row: dict[str, Any], fields: dict[str, str], place: str, source: str, quarantine: Quarantine
    ) -> Document | None:
        quarantine.rows += 1
        for setting, field in fields.items():
            if field not in row:
                quarantine.lack(setting, place, row)
        if self.text_field not in row:
            quarantine.add(f"no field {self.text_field!r}", place, ", ".join(map(str, row)))
            return None
        said = {setting: _label(row.get(field)) for setting, field in fields.items() if setting != "text_field"}
        text = row.pop(self.text_field)
        if isinstance(text, bytes):
            text = decoded(text, place, quarantine)
            if text is None:
                return None
        if not isinstance(text, str):
            quarantine.add(f"{self.text_field!r} is no text", place, shortened(text))
            return None
        id = said.get("id_field") or place
        group = said.get("group_field", id)
        if group is None:
            quarantine.add(f"no field {self.group_field!r}", place, text)
            return None
        stated = said.get("licence_field")
        return Document(
            text,
            said.get("source_field") or source,
            group,
            id,
            said.get("domain_field") or self.domain,
            (spdx(stated) or stated) if stated else self.licence or UNKNOWN,
        )


class Rows(_Table):
    """Rows of JSONL (.jsonl, .ndjson, .json; plain, .gz, .zst, .bz2, .xz) or Parquet: `rows = ["part-*.parquet"]`."""

    rows: tuple[str, ...] = Field(min_length=1)

    def units(self) -> list[Unit]:
        """UserError where no Parquet file has a column that is named here."""
        columns: set[str] | None = set()
        pieces: list[tuple[Span, int]] = []
        for path in _matches("rows", self.rows):
            if path.suffix in TABLES:
                found, held = table_spans(path, list(self.fields().values()))
                columns = columns | held if columns is not None and held is not None else None
            else:
                found, columns = list(line_spans(path)), None
            pieces += found
        for setting, field in self.fields().items():
            if columns is not None and field not in columns:
                raise UserError(f"rows: no column {field!r} ({setting}) here; there are {', '.join(sorted(columns))}")
        return together(pieces)

    def documents(self, unit: Unit, quarantine: Quarantine) -> Iterator[Document]:
        for span in unit.spans:
            name = printable(span.path)
            if span.path.endswith(TABLES):
                rows = parquet_rows(span, list(self.fields().values()), quarantine)
            else:
                rows = json_rows(span, quarantine)
            yield from self.rows_as_documents(((f"{name}:{number}", row) for number, row in rows), name, quarantine)

    def provenance(self) -> dict[str, Any]:
        own = {"rows": list(self.rows), "domain": self.domain, "licence": self.licence or UNKNOWN}
        return own | self.fields()


class Dataset(_Table):
    """A Hugging Face data set, streamed: `dataset = "owner/name"`; extra `hf`. Pin `revision` to repeat it."""

    dataset: str
    split: str = "train"
    config: str | None = None
    revision: str | None = None

    def units(self) -> list[Unit]:
        shards = _streamed(self).num_shards
        return [Unit((Span(self.dataset, "", shard, shards),), UNIT_BYTES) for shard in range(shards)]

    def documents(self, unit: Unit, quarantine: Quarantine) -> Iterator[Document]:
        for span in unit.spans:
            yield from self.rows_as_documents(self._shard(span, quarantine), self.dataset, quarantine)

    def _shard(self, span: Span, quarantine: Quarantine) -> Iterator[tuple[str, dict[str, Any]]]:
        shards = span.stop or 1
        data, number = _streamed(self), 0
        try:
            for row in data.shard(num_shards=shards, index=span.start) if shards > 1 else data:
                number += 1
                yield f"{self.dataset}:{span.start}:{number}", row
        except ValueError as error:  # of what is written there; whatever else ends a stream may be gone next time
            where = f"{self.dataset}:{span.start} after row {number}"
            quarantine.add("unreadable shard of a data set", where, printable(str(error)))
        except Exception as error:
            raise UserError(
                f"dataset {self.dataset!r}: shard {span.start} of {shards} broke off after row {number:,} "
                f"({_line(error)}); run it again to go on"
            ) from error

    def provenance(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("dataset", "split", "config", "revision", "domain")}
        return own | {"licence": self.licence or UNKNOWN} | self.fields()


Source = Packages | Files | Rows | Dataset


def _label(value: Any) -> str | None:
    """What a row says of itself, as text; None where it says nothing. The licences of a list all hold."""
    if isinstance(value, list | tuple):
        value = " AND ".join(str(item) for item in value)
    if value is None or value == "" or value == b"":
        return None
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else printable(str(value))


@lru_cache(maxsize=4)
def _streamed(source: Dataset) -> Any:
    try:
        from datasets import load_dataset
    except ImportError:
        raise UserError(f"dataset {source.dataset!r} needs the extra hf: pip install 'orion-lm[hf]'") from None
    try:
        return load_dataset(source.dataset, source.config, split=source.split, revision=source.revision, streaming=True)
    except (OSError, ValueError) as error:
        raise UserError(f"dataset {source.dataset!r}: {_line(error)}") from error


def _line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


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

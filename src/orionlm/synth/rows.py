"""What is known of a synthetic row, from its seed to what was found of it, and how do rows lie on disk?"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orionlm.artifact import json_digest
from orionlm.data.documents import TableFile, row_groups
from orionlm.errors import UserError

if TYPE_CHECKING:
    import pyarrow as pa

SHARD_ROWS = 1 << 17


@dataclass(frozen=True)
class Row:
    """One text that a model wrote.

    `text` is what a student would read; `error` says why nobody may ("" where they may). `method` is the method and
    its variant ("rephrase/faq"), `domain` what a mixture weighs it by. `seeds` are the ids of the genuine documents
    (or earlier rows) it came from, `seed_text` what of them the teacher was shown. `prompt` is the request's messages
    or text as JSON, `key` its address in the store of responses. `depth` counts generations of models since a person
    wrote: 1 + the largest depth among its seeds and its teacher. `terms`: what the teacher's terms say of training on
    its answers. `scores` are numbers by name, `verdicts` what each check said ("" passed). `more` holds what a form has
    beside its text: the two sides of a preference pair, tests, a checked answer.
    """

    text: str
    method: str
    form: str = "document"
    domain: str = "synthetic"
    licence: str = "unknown"
    depth: int = 1
    seeds: tuple[str, ...] = ()
    seed_text: str = ""
    prompt: str = ""
    teacher: str = ""
    revision: str = ""
    terms: str = ""
    response: str = ""
    thoughts: str = ""
    key: str = ""
    tokens: int = 0
    scores: Mapping[str, float] = field(default_factory=dict)
    verdicts: Mapping[str, str] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""

    @cached_property
    def id(self) -> str:
        """What it came from and what became of it, in one digest: another seed, prompt, revision or answer is another
        row. Verdicts and scores, which may come later, do not count."""
        return json_digest(
            [self.method, self.seeds, self.prompt, self.teacher, self.revision, self.response, self.text]
        )[:24]

    def judged(self, check: str, found: str = "", **scores: float) -> Row:
        """With one more verdict; the first that is not "" is why the row goes."""
        return replace(
            self,
            verdicts={**self.verdicts, check: found},
            scores={**self.scores, **scores},
            error=self.error or (f"{check}: {found}" if found else ""),
        )


_JSON = ("seeds", "scores", "verdicts", "more")


def schema() -> pa.Schema:
    import pyarrow as pa

    whole = {"depth", "tokens"}
    return pa.schema(
        [("id", pa.large_string())]
        + [(each.name, pa.int64() if each.name in whole else pa.large_string()) for each in fields(Row)]
    )


def write_rows(folder: Path, rows: Iterable[Row], name: str = "rows") -> int:
    """`name`-00000.parquet …; how many there were. The same bytes for the same rows."""
    import pyarrow as pa

    held: list[Row] = []
    count = shard = 0

    def flush() -> None:
        nonlocal shard
        columns = [[row.id for row in held]]
        for each in fields(Row):
            values = [getattr(row, each.name) for row in held]
            columns.append([json.dumps(v, sort_keys=True) for v in values] if each.name in _JSON else values)
        table = pa.Table.from_arrays(
            [pa.array(c, f.type) for c, f in zip(columns, schema(), strict=True)], schema=schema()
        )
        with TableFile(folder / f"{name}-{shard:05d}.parquet", schema()) as file:
            file.add(table, np.array([len(row.text) + len(row.prompt) + len(row.response) for row in held], np.int64))
        held.clear()
        shard += 1

    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        held.append(row)
        count += 1
        if len(held) == SHARD_ROWS:
            flush()
    if held or not shard:
        flush()
    return count


def row_files(folder: Path, name: str = "rows") -> list[Path]:
    return sorted(folder.glob(f"{name}-[0-9]*.parquet"))


def read_rows(paths: Sequence[Path]) -> Iterator[Row]:
    """The rows of these files. UserError where one was not written by `write_rows`."""
    import pyarrow.parquet as pq

    names = [each.name for each in fields(Row)]
    for path in paths:
        if absent := sorted({*names} - {*pq.read_schema(path).names}):
            raise UserError(f"{path}: not rows as Orion writes them: no column {absent[0]!r}; make them again")
        for table in row_groups([path], names):
            columns = [table.column(name).to_pylist() for name in names]
            for values in zip(*columns, strict=True):
                yield _row(dict(zip(names, values, strict=True)), path)


def _row(given: dict[str, Any], path: Path) -> Row:
    for name in _JSON:
        try:
            given[name] = json.loads(given[name])
        except (TypeError, ValueError, RecursionError):
            given[name] = None
    wanted = {"seeds": list, **dict.fromkeys(("depth", "tokens"), int), **dict.fromkeys(_JSON[1:], dict)}
    for name, value in given.items():
        if not isinstance(value, wanted.get(name, str)):
            raise UserError(f"{path}: not rows as Orion writes them: see its column {name!r}; make them again")
    return Row(**given | {"seeds": tuple(given["seeds"])})

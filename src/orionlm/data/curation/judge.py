"""What do the filters say of one part, and what must be known of it to compare it with the others?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from orionlm.artifact import fsync, write_json
from orionlm.data import filters
from orionlm.data.curation.parts import Part, read
from orionlm.data.curation.steps import Steps
from orionlm.data.curation.tally import Tally
from orionlm.data.dedup import lines, minhash
from orionlm.data.documents import Document, TableFile, schema
from orionlm.data.filters import Check, Verdict

if TYPE_CHECKING:
    import pyarrow as pa

ROW_BYTES = 256  # about what a verdict takes
EMPTY = Verdict("nothing is left of it")


def judge(part: Part, steps: Steps, work: Path, name: str) -> None:
    """Leaves in `work`, and NAME.json last:

    NAME.verdicts.parquet: a row for each document, a column for each filter; NAME.kept.parquet: the documents that
    stay, where filters were asked; of these NAME.keys.npy (uint64 [kept, 2]: digests), NAME.sizes.npy, and as far as
    later steps need them NAME.places.npy with NAME.signatures.npy, and NAME.lines.npy with NAME.line_counts.npy.
    """
    import pyarrow as pa

    checks = {} if part.protected else {f: filters.load(f).checker(s) for f, s in steps.filters.items()}
    tally, known = Tally(), Known(steps)
    judged = judged_schema(steps)
    with (
        TableFile(work / f"{name}.verdicts.parquet", judged) as verdict_file,
        TableFile(work / f"{name}.kept.parquet", schema()) if checks else nullcontext() as kept_file,
    ):
        for table in read(part):
            sizes, digests = text_sizes(table), text_digests(table)
            chosen = np.ones(len(table), bool)
            columns: dict[str, list[str | None]] = {}
            kept = table
            if kept_file is not None:
                documents = list(map(Document, *(table.column(field).to_pylist() for field in Document._fields)))
                columns = ask(documents, sizes, digests, checks, steps, tally, chosen)
                kept = _table([documents[row] for row in np.flatnonzero(chosen)])
                kept_file.add(kept, text_sizes(kept))
            tally.see(table, sizes)
            now = text_digests(kept) if checks else digests
            known.add(kept, now)
            edited = np.zeros(len(table), bool)
            edited[chosen] = [
                before != after for before, after in zip(np.array(digests, object)[chosen], now, strict=True)
            ]
            rows = {field: table.column(field) for field in ("id", "source", "domain", "licence")}
            rows |= {"digest": digests, "bytes": sizes, "kept": chosen, "edited": edited}
            rows |= {step: columns.get(step, [None] * len(table)) for step in steps.filters}
            verdicts = pa.table([rows[field] for field in judged.names], schema=judged)
            verdict_file.add(verdicts, np.full(len(verdicts), ROW_BYTES))
    known.save(work, name)
    write_json(work / f"{name}.json", {"documents": known.documents, "tally": tally.as_json()})


def judged_schema(steps: Steps) -> pa.Schema:
    """What is known of each document once its part is judged."""
    import pyarrow as pa

    facts = [schema().field(name) for name in ("id", "source", "domain", "licence")]
    facts += [pa.field("digest", pa.binary(32)), pa.field("bytes", pa.int64()), pa.field("kept", pa.bool_())]
    facts.append(pa.field("edited", pa.bool_()))
    return pa.schema([*facts, *(pa.field(step, pa.string()) for step in steps.filters)])


def _table(documents: Sequence[Document]) -> pa.Table:
    import pyarrow as pa

    return pa.table([[getattr(d, field) for d in documents] for field in Document._fields], schema=schema())


def ask(
    documents: list[Document],
    sizes: np.ndarray,
    digests: Sequence[bytes],
    checks: Mapping[str, Check],
    steps: Steps,
    tally: Tally,
    alive: np.ndarray,
) -> dict[str, list[str | None]]:
    """Every filter's reasons (None: not asked, "": kept). Clears `alive` of what goes, changes `documents`' texts."""
    columns: dict[str, list[str | None]] = {}
    for filter, check in checks.items():
        domains, exempt = (getattr(steps.filters[filter], name, ()) for name in ("domains", "exempt"))
        rows = [
            row
            for row in np.flatnonzero(alive).tolist()
            if (not domains or documents[row].domain in domains) and documents[row].domain not in exempt
        ]
        column: list[str | None] = [None] * len(documents)
        columns[filter] = column
        verdicts = check([documents[row] for row in rows])
        report = getattr(filters.load(filter), "findings", None)
        assert len(verdicts) == len(rows)
        for row, verdict in zip(rows, verdicts, strict=True):
            if verdict.counts:
                tally.note(filter, verdict.counts)
            if report is not None and verdict != filters.KEPT:
                tally.findings.setdefault(filter, []).extend(report(documents[row], verdict))
            if not verdict.reason and verdict.text is not None:
                if verdict.text.strip():
                    tally.change(filter, documents[row], verdict.text, digests[row])
                    documents[row] = documents[row]._replace(text=verdict.text)
                else:
                    verdict = EMPTY
            column[row] = verdict.reason
            if verdict.reason:
                alive[row] = False
                tally.remove(filter, documents[row], int(sizes[row]), verdict, digests[row])
    return columns


class Known:
    """What the comparison of all documents needs to know of a part's."""

    def __init__(self, steps: Steps):
        self.steps = steps
        self.documents = 0
        self.arrays: dict[str, list[np.ndarray]] = {
            "keys": [],
            "sizes": [],
            "places": [],
            "signatures": [],
            "lines": [],
            "line_counts": [],
        }

    def add(self, table: pa.Table, digests: Sequence[bytes]) -> None:
        self.arrays["keys"].append(np.frombuffer(b"".join(d[:16] for d in digests), "<u8").reshape(-1, 2))
        self.arrays["sizes"].append(text_sizes(table))
        if self.steps.near_copies is not None:
            rows = eligible(table, self.steps.near_copies)
            self.arrays["places"].append(rows + self.documents)
            text = table.column("text").combine_chunks()
            self.arrays["signatures"].append(
                minhash.signatures(text if len(rows) == len(table) else text.take(rows), self.steps.near_copies)
            )
        if self.steps.lines is not None:
            rows = eligible(table, self.steps.lines)
            hashed, counts = lines.hashes(table.column("text").take(rows).to_pylist(), self.steps.lines)
            of_each = np.zeros(len(table), np.int64)
            of_each[rows] = counts
            self.arrays["lines"].append(hashed)
            self.arrays["line_counts"].append(of_each)
        self.documents += len(table)

    def save(self, work: Path, name: str) -> None:
        for kind, arrays in self.arrays.items():
            if arrays:
                path = work / f"{name}.{kind}.npy"
                np.save(path, np.concatenate(arrays), allow_pickle=False)
                fsync(path)


def eligible(table: pa.Table, settings: Any) -> np.ndarray:
    """The rows whose domain a step is meant for."""
    domains = getattr(settings, "domains", ())
    if not domains:
        return np.arange(len(table))
    return np.flatnonzero([domain in domains for domain in table.column("domain").to_pylist()])


def text_sizes(table: pa.Table) -> np.ndarray:
    """UTF-8 bytes of each text, int64."""
    import pyarrow.compute as pc

    return pc.binary_length(table.column("text")).to_numpy().astype(np.int64)


def text_digests(table: pa.Table) -> list[bytes]:
    """SHA-256 of each text."""
    return [hashlib.sha256(text).digest() for text in _views(table)]


def _views(table: pa.Table) -> Iterator[memoryview]:
    for chunk in table.column("text").chunks:
        _, offsets, data = chunk.buffers()
        places = np.frombuffer(offsets, np.int64)[chunk.offset : chunk.offset + len(chunk) + 1].tolist()
        view = memoryview(data or b"")
        yield from (view[start:stop] for start, stop in zip(places, places[1:], strict=False))

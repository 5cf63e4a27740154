"""What of a part stays once all parts were compared? Its documents and its verdicts, as they are published."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from orionlm.artifact import write_json
from orionlm.data.curation.judge import ROW_BYTES, eligible, text_digests, text_sizes
from orionlm.data.curation.parts import Part, read
from orionlm.data.curation.steps import EXACT, LINES, NEAR, Steps
from orionlm.data.curation.tally import Tally
from orionlm.data.dedup import lines
from orionlm.data.documents import Document, TableFile, row_groups, schema
from orionlm.data.filters import Verdict

if TYPE_CHECKING:
    import pyarrow as pa

EMPTIED = "nothing but repeated lines"
REASONS = {EXACT: "exact copy", NEAR: "near copy"}
OF_PROTECTED = " of held-out text"


def write(part: Part, steps: Steps, work: Path, name: str, out: Path, number: int) -> None:
    """Writes `train-NUMBER.parquet` and `verdicts-NUMBER.parquet` into `out`, and last NAME.written.json in `work`."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    tally = Tally()
    verdicts = pq.read_table(work / f"{name}.verdicts.parquet")
    passed = np.flatnonzero(verdicts.column("kept").to_numpy())
    later = [step for step in steps.names() if step not in steps.filters]
    columns = {step: np.full(len(passed), "", object) for step in later}
    columns["copy_of"] = np.full(len(passed), None, object)
    columns["edited"] = np.zeros(len(passed), bool)
    copies = pq.read_table(work / f"{name}.copies.parquet")
    copied = copies.column("place").to_numpy()
    repeated = np.load(work / "lines.npy") if steps.lines is not None else None
    kept = work / f"{name}.kept.parquet"
    seen = 0
    with TableFile(out / f"train-{number:05d}.parquet", schema()) as file:
        for table in row_groups([kept], Document._fields) if kept.exists() else read(part):
            low, high = np.searchsorted(copied, [seen, seen + len(table)])
            stays = np.ones(len(table), bool)
            stays[copied[low:high] - seen] = False
            if low < high:
                _copies(table.filter(~stays), copies.slice(low, high - low).to_pylist(), columns, later, tally)
                table = table.filter(stays)
            if repeated is not None:
                table = _without_lines(table, np.flatnonzero(stays) + seen, repeated, steps, columns, tally)
            sizes = text_sizes(table)
            tally.keep(table, sizes)
            file.add(table, sizes)
            seen += len(stays)
    edited = verdicts.column("edited").to_numpy().copy()
    edited[passed] |= columns.pop("edited")
    verdicts = verdicts.set_column(verdicts.schema.get_field_index("edited"), "edited", pa.array(edited))
    for step, values in columns.items():
        whole = np.full(len(verdicts), None, object)
        whole[passed] = values
        verdicts = verdicts.append_column(step, pa.array(whole, pa.large_string()))
    verdicts = verdicts.drop_columns(["kept"])
    with TableFile(out / f"verdicts-{number:05d}.parquet", verdicts.schema) as file:
        file.add(verdicts, np.full(len(verdicts), ROW_BYTES))
    write_json(work / f"{name}.written.json", {"tally": tally.as_json()})


def _copies(table: pa.Table, found: list[dict], columns: dict[str, np.ndarray], later: list[str], tally: Tally) -> None:
    sizes, digests = text_sizes(table).tolist(), text_digests(table)
    for document, size, digest, copy in zip(_documents(table), sizes, digests, found, strict=True):
        place, how = copy["place"], copy["how"]
        reason = REASONS[how] + (OF_PROTECTED if copy["protected"] else "")
        columns[how][place] = reason
        columns["copy_of"][place] = copy["of"]
        for step in later[later.index(how) + 1 :]:
            columns[step][place] = None
        tally.remove(how, document, size, Verdict(reason, f"of {copy['of']}"), digest)


def _without_lines(
    table: pa.Table,
    places: np.ndarray,
    repeated: np.ndarray,
    steps: Steps,
    columns: dict[str, np.ndarray],
    tally: Tally,
) -> pa.Table:
    import pyarrow as pa

    rows = eligible(table, steps.lines)
    before = table.column("text").take(rows).to_pylist()
    after = lines.without_each(before, repeated, steps.lines)
    changed = [n for n, text in enumerate(after) if text is not before[n]]
    if not changed:
        return table
    tally.note(LINES, {"lines": sum(before[n].count("\n") - after[n].count("\n") for n in changed)})
    texts = table.column("text").to_pylist()
    chosen = rows[changed]
    columns["edited"][places[chosen]] = True
    for n, document, digest in zip(
        changed, _documents(table.take(chosen)), text_digests(table.take(chosen)), strict=True
    ):
        texts[rows[n]] = after[n]
        if after[n].strip():
            tally.change(LINES, document, after[n], digest)
    emptied = np.array([rows[n] for n in changed if not after[n].strip()], np.int64)
    whole, stays = table, np.ones(len(table), bool)
    stays[emptied] = False
    for row, document in zip(emptied, _documents(whole.take(emptied)), strict=True):
        columns[LINES][places[row]] = EMPTIED
        size, digest = len(document.text.encode()), hashlib.sha256(document.text.encode()).digest()
        tally.remove(LINES, document, size, Verdict(EMPTIED), digest)
    place = table.schema.get_field_index("text")
    return table.set_column(place, table.schema.field(place), pa.array(texts, pa.large_string())).filter(stays)


def _documents(table: pa.Table) -> Iterator[Document]:
    return map(Document, *(table.column(name).to_pylist() for name in Document._fields))

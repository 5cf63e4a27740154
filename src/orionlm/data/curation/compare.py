"""Which documents copy another one, and which lines stand in too many of them?"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from orionlm.artifact import fsync, write_json
from orionlm.data.curation.judge import ROW_BYTES
from orionlm.data.curation.steps import EXACT, NEAR, Steps
from orionlm.data.dedup import lines, lsh
from orionlm.data.documents import TableFile


def compare(names: Sequence[str], protected: Sequence[bool], steps: Steps, work: Path) -> None:
    """From all parts' arrays (`judge`), protected ones first: NAME.copies.parquet (place, of, how), lines.npy."""
    assert sorted(protected, reverse=True) == list(protected)
    counts = [json.loads((work / f"{name}.json").read_text())["documents"] for name in names]
    starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])
    safe = int(starts[sum(protected)])
    sizes = np.concatenate([np.load(work / f"{name}.sizes.npy") for name in names])
    keeper = exact(np.concatenate([np.load(work / f"{name}.keys.npy") for name in names]))
    keeper[:safe] = np.arange(safe)
    how = np.where(keeper == np.arange(len(keeper)), 0, 1).astype(np.int8)
    if steps.near_copies is not None:
        places = np.concatenate(
            [np.load(work / f"{name}.places.npy") + start for name, start in zip(names, starts[:-1], strict=True)]
        )
        near = places[
            lsh.near_copies(
                [work / f"{name}.signatures.npy" for name in names],
                sizes[places],
                int(np.searchsorted(places, safe)),
                steps.near_copies,
            )
        ]
        moved = near != places
        how[places[moved & (how[places] == 0)]] = 2
        keeper[places[moved]] = near[moved]
        while (keeper[keeper] != keeper).any():  # an exact copy of a near copy: what stays is that one's own
            keeper = keeper[keeper]
    _write_copies(names, starts, keeper, how, safe, work)
    if steps.lines is not None:
        for name, start in zip(names, starts[:-1], strict=True):
            counts_of = np.load(work / f"{name}.line_counts.npy")
            stays = np.repeat(how[start : start + len(counts_of)] == 0, counts_of)  # a page's copies are one page
            np.save(work / f"{name}.kept_lines.npy", np.load(work / f"{name}.lines.npy")[stays], allow_pickle=False)
        repeated = lines.repeated([work / f"{name}.kept_lines.npy" for name in names], steps.lines)
        np.save(work / "lines.npy", repeated, allow_pickle=False)
        fsync(work / "lines.npy")
    write_json(work / "compared.json", {"documents": int(starts[-1])})


def exact(keys: np.ndarray) -> np.ndarray:
    """The first place of each key; `keys` uint64 [n, 2] → int64 [n]."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in order of place
    ordered = keys[order]
    new = np.ones(len(keys), bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    first = np.empty(len(keys), np.int64)
    first[order] = order[np.flatnonzero(new)][np.cumsum(new) - 1]
    return first


def _write_copies(
    names: Sequence[str], starts: np.ndarray, keeper: np.ndarray, how: np.ndarray, safe: int, work: Path
) -> None:
    """A part's copies by their place in it, with the id of what is kept in their stead."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = pa.schema({"place": pa.int64(), "of": pa.large_string(), "how": pa.string(), "protected": pa.bool_()})
    copies = np.flatnonzero(how)
    kept = np.unique(keeper[copies])
    ids: list[str] = []
    for part, name in enumerate(names):
        low, high = np.searchsorted(kept, starts[part : part + 2])
        if low < high:
            table = pq.read_table(work / f"{name}.verdicts.parquet", columns=["id", "kept"])
            column = table.filter(table.column("kept")).column("id")
            ids += column.take(kept[low:high] - starts[part]).to_pylist()
    for part, name in enumerate(names):
        low, high = np.searchsorted(copies, starts[part : part + 2])
        places = copies[low:high]
        rows = {
            "place": places - starts[part],
            "of": [ids[i] for i in np.searchsorted(kept, keeper[places])],
            "how": [(EXACT, NEAR)[h - 1] for h in how[places].tolist()],
            "protected": keeper[places] < safe,
        }
        with TableFile(work / f"{name}.copies.parquet", columns) as file:
            file.add(pa.table(rows, schema=columns), np.full(len(places), ROW_BYTES))

"""Which documents stay, under which id, on which side of the split, in which shard? Settled on keys alone.

`files` are those that `collect.read_unit` wrote, `counts` their documents; a row is a document's place in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from orionlm.data.ingest.collect import Part, read_key, rows_of
from orionlm.data.ingest.exact import copies, name_key, occurrences
from orionlm.errors import UserError
from orionlm.settings import nearest

SUGGESTED = 10_000  # names to look for a similar one among


class Shard(NamedTuple):
    """`bytes` of text in these rows of unit files."""

    split: str
    number: int
    bytes: int
    parts: list[Part]


class Plan(NamedTuple):
    """`unit`: what the split keeps together, group or id; `renamed`: documents that get an id of their own."""

    duplicates: int
    renamed: int
    groups: int
    unit: str
    shards: list[Shard]


def settle(
    files: Sequence[Path], counts: Sequence[int], fraction: float, named: tuple[str, ...], shard_bytes: int
) -> Plan:
    kept = ~copies(*(read_key(files, counts, name) for name in ("text_key", "text_key_2")))
    ids, groups, sizes = (read_key(files, counts, name, kept) for name in ("id_key", "group_key", "bytes"))
    rows = np.flatnonzero(kept)
    starts = np.concatenate([[0], np.cumsum(counts)])
    renamed = _new_ids(files, starts, rows, ids)
    distinct = len(np.unique(groups))
    unit, keys = ("group", groups) if distinct > 1 else ("id", ids)
    for name in named:
        if not (keys == np.uint64(name_key(name))).any():
            known = _names(files, unit)
            raise UserError(f"validation_groups: no group {name!r} here; {nearest(name, known)}")
    held_out = choose_held_out(keys, sizes, fraction, named)
    new = np.array(sorted(renamed), np.int64)
    shards = []
    for split, side in (("train", ~held_out), ("validation", held_out)):
        chosen = np.flatnonzero(side)
        for number, (first, last) in enumerate(_cuts(sizes[chosen], shard_bytes)):
            here = chosen[first:last]
            parts = _parts(files, starts, rows[here], new, renamed)
            shards.append(Shard(split, number, int(sizes[here].sum()), parts))
    return Plan(len(kept) - len(rows), len(renamed), distinct, unit, shards)


def choose_held_out(keys: np.ndarray, sizes: np.ndarray, fraction: float, named: Sequence[str] = ()) -> np.ndarray:
    """Which documents to hold out, given the key of each one's group (or id) and its bytes.

    Those of the named groups, or of groups drawn in the order of their keys until near `fraction`; never all.
    """
    parts, places = np.unique(keys, return_inverse=True)
    totals = np.bincount(places, weights=sizes, minlength=len(parts))
    if named:
        chosen = np.isin(parts, np.array([name_key(name) for name in named], np.uint64))
    else:
        chosen = np.zeros(len(parts), bool)
        target, total = fraction * totals.sum(), 0.0
        for place, size in enumerate(totals):
            if total >= target:
                break
            if abs(total + size - target) < abs(total - target):
                chosen[place] = True
                total += size
        if not chosen.any():
            chosen[np.argmin(totals)] = True
    if chosen.all():
        raise UserError(f"nothing is left to train on: all {len(parts)} of the corpus's parts are held out; add text")
    return chosen[places]


def _new_ids(files: Sequence[Path], starts: np.ndarray, rows: np.ndarray, ids: np.ndarray) -> dict[int, str]:
    """Row → a name that no other document has: the id with the number of its occurrence. Keys change in `ids`."""
    again = list(occurrences(ids))
    if not again:
        return {}
    places, times = map(np.array, zip(*again, strict=True))
    wanted, known = rows[places], np.sort(ids)
    found: dict[int, str] = {}
    for number, path in enumerate(files):
        here = slice(*np.searchsorted(wanted, starts[number : number + 2]).tolist())
        if here.start == here.stop:
            continue
        count = iter(times[here].tolist())
        for local, table in rows_of(path, wanted[here] - starts[number], ["id"]):
            for row, id in zip(local.tolist(), table.column("id").to_pylist(), strict=True):
                name = f"{id}#{next(count) + 1}"
                while _holds(known, name_key(name)):
                    name += "#"
                found[row + int(starts[number])] = name
    ids[places] = np.array([name_key(found[row]) for row in wanted.tolist()], np.uint64)
    return found


def _holds(ordered: np.ndarray, key: int) -> bool:
    place = np.searchsorted(ordered, np.uint64(key))
    return bool(place < len(ordered) and ordered[place] == np.uint64(key))


def _cuts(sizes: np.ndarray, shard_bytes: int) -> list[tuple[int, int]]:
    """Consecutive documents for each shard, closed once their text reaches `shard_bytes`."""
    totals, cuts, start = np.cumsum(sizes), [], 0
    while start < len(sizes):
        before = totals[start - 1] if start else 0
        stop = min(int(np.searchsorted(totals, before + shard_bytes)) + 1, len(sizes))
        cuts.append((start, stop))
        start = stop
    return cuts


def _parts(
    files: Sequence[Path], starts: np.ndarray, rows: np.ndarray, new: np.ndarray, renamed: dict[int, str]
) -> list[Part]:
    """`new`: the rows of `renamed`, in order."""
    parts = []
    bounds = np.searchsorted(rows, starts)
    for number in np.flatnonzero(np.diff(bounds)).tolist():
        start = int(starts[number])
        here = rows[bounds[number] : bounds[number + 1]]
        others = new[slice(*np.searchsorted(new, [here[0], here[-1] + 1]))].tolist()
        parts.append(Part(files[number], here - start, {row - start: renamed[row] for row in others}))
    return parts


def _names(files: Sequence[Path], unit: str) -> set[str]:
    import pyarrow.parquet as pq

    names: set[str] = set()
    for path in files:
        for value in pq.read_table(path, columns=[unit]).column(0).to_pylist():
            if len(names) < SUGGESTED:
                names.add(value)
    return names

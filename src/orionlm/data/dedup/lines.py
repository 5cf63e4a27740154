"""Which lines are boilerplate: menus, notices and footers that stand in many documents?"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.data.dedup import kernels

if TYPE_CHECKING:
    import pyarrow as pa

HELD = 1 << 24  # hashes sorted at once


class Settings(BaseModel):
    """A line of at least `characters`, white space around it aside, goes from every document where it stands in more
    than `documents` of them.

    Six as in Llama 3 (Dubey et al. 2024, §3.1.1: more than 6 times in 30M documents), which follows CCNet. C4, CCNet
    and Dolma let one copy of every three sentences, paragraph or line live: that takes quotations, refrains and
    definitions from all documents but one. Shorter lines are dialogue, list items and headings as often as menus.
    `domains`: which lose lines, all if empty. Code is left out: without its common lines it would not parse.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    documents: int = Field(default=6, ge=1)
    characters: int = Field(default=30, ge=1)
    domains: tuple[str, ...] = ("text",)


def hashes(texts: Sequence[str] | pa.Array, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The 64-bit hashes of each document's long lines, once for each document they stand in; uint64. And how many there
    are of each document, int64 [texts]."""
    document, hashed, _ = _long_lines(texts, settings)
    order = np.lexsort((hashed, document))
    document, hashed = document[order], hashed[order]
    new = np.ones(len(hashed), bool)
    new[1:] = (document[1:] != document[:-1]) | (hashed[1:] != hashed[:-1])
    return hashed[new], np.bincount(document[new], minlength=len(texts))


def repeated(files: Sequence[Path], settings: Settings) -> np.ndarray:
    """The hashes that stand in more documents than they may, in rising order; `files` hold what `hashes` gave."""
    found = [np.empty(0, np.uint64)]
    for part in _parts([Path(file) for file in files]):
        part.sort()
        # In a sorted row, a hash that comes more than n times equals the one n places on.
        often = part[settings.documents :][part[settings.documents :] == part[: -settings.documents]]
        found.append(often[np.diff(often, prepend=~often[:1]) != 0])
    return np.concatenate(found)


def without_each(texts: Sequence[str], repeated: np.ndarray, settings: Settings) -> list[str]:
    """The texts less their repeated lines, those that have none as they were; many at once is several times faster."""
    left = list(texts)
    if not len(repeated):
        return left
    document, hashed, place = _long_lines(texts, settings)
    gone = repeated[np.searchsorted(repeated[:-1], hashed)] == hashed
    document, place = document[gone], place[gone]
    for rows in np.split(np.arange(len(place)), np.flatnonzero(np.diff(document)) + 1):
        if len(rows):
            lines = texts[document[rows[0]]].split("\n")
            for line in place[rows][::-1].tolist():
                del lines[line]
            left[document[rows[0]]] = "\n".join(lines)
    return left


def _long_lines(texts: Sequence[str] | pa.Array, settings: Settings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each long line: the number of its document, its hash, its place in it."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not isinstance(texts, pa.Array):
        texts = pa.array(texts, pa.large_string())
    split = pc.split_pattern(texts, "\n")
    document = pc.list_parent_indices(split).to_numpy()
    bare = pc.utf8_trim_whitespace(split.flatten())
    long = np.flatnonzero(pc.utf8_length(bare).to_numpy() >= settings.characters)
    hashed = kernels.hashes(bare.take(long))
    starts = np.searchsorted(document, np.arange(len(texts)))
    return document[long], hashed, long - starts[document[long]]


def _parts(files: list[Path]) -> Iterator[np.ndarray]:
    """All hashes, in as many parts by their highest bits as keep each to about `HELD`."""
    arrays = [np.load(file, mmap_mode="r") for file in files]
    bits = max(0, (sum(map(len, arrays)) - 1).bit_length() - HELD.bit_length() + 1)
    if not bits:
        yield np.concatenate([np.empty(0, np.uint64), *arrays])
        return
    folder = files[0].with_name("lines.parts")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        for array in arrays:
            ordered = np.sort(array)
            cuts = np.searchsorted(ordered >> np.uint64(64 - bits), np.arange(1, 1 << bits, dtype=np.uint64))
            for number, part in enumerate(np.split(ordered, cuts)):
                with (folder / str(number)).open("ab") as file:
                    part.tofile(file)
        for number in range(1 << bits):
            yield np.fromfile(folder / str(number), np.uint64)
    finally:
        shutil.rmtree(folder)

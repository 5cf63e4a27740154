"""Which documents are near copies of which, and which one stays? Locality-sensitive hashing of MinHash signatures.

A signature is cut into bands; documents that agree on a whole band are candidates, so a pair of similarity s is one
with probability 1 - (1 - s^rows)^bands (Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, ch. 3.4). A
candidate is a copy where the whole signatures say so. Copies of copies are copies (union-find), and of each such family
one document stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

KEY_BYTES = 1 << 28  # of band hashes held at once
CHUNK = 1 << 14  # signatures looked at together
ROUNDS = 16  # how many of those that agree on a band are compared with the others
FOUND = 0.5  # the least share of pairs at the threshold that the bands must find


class Settings(BaseModel):
    """`threshold`: the estimated similarity from which on two documents are copies. FineWeb aims at .75, with word
    5-grams too (Penedo et al. 2024, 14 bands of 8 rows, no look at the whole signature).

    `keep`: of each family, the `first` document or the `longest`. `domains`: which are compared, all if empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    threshold: float = Field(default=0.75, gt=0, le=1)
    bands: int = Field(default=16, ge=1, le=1024)
    rows: int = Field(default=8, ge=1, le=64)
    ngram: int = Field(default=5, ge=1, le=100)
    keep: Literal["first", "longest"] = "first"
    domains: tuple[str, ...] = ()

    @property
    def permutations(self) -> int:
        return self.bands * self.rows

    @model_validator(mode="after")
    def _finds(self) -> Settings:
        found = 1 - (1 - self.threshold**self.rows) ** self.bands
        if found < FOUND:
            rows = self.rows
            while rows > 1 and 1 - (1 - self.threshold**rows) ** (self.permutations // rows) < 0.9:
                rows -= 1
            raise ValueError(
                f"{self.bands} bands of {self.rows} rows find {found:.0%} of pairs at threshold {self.threshold:g}; "
                f"use bands = {self.permutations // rows}, rows = {rows}, or a higher threshold"
            )
        return self


def near_copies(files: Sequence[Path], sizes: np.ndarray, protected: int, settings: Settings) -> np.ndarray:
    """For each document the number of the one that stays in its stead, its own where it stays itself; int64.

    `files`: signatures, uint32 [documents, permutations] each, in the order of the documents; `sizes`: bytes of each
    document. The first `protected` documents stay whatever they are, and what copies them goes.
    """
    signatures = _Signatures(files)
    count = len(signatures)
    assert len(sizes) == count
    best_first = _best_first(signatures, sizes, protected, settings)
    place = np.empty(count, np.int64)
    place[best_first] = np.arange(count)
    family = _Families(count)
    at_once = max(1, min(settings.bands, KEY_BYTES // max(1, 8 * count)))
    for band in range(0, settings.bands, at_once):
        bands = range(band, min(band + at_once, settings.bands))
        for keys in _keys(signatures, bands, settings.rows):
            members, bucket = _buckets(keys[best_first])
            _join(members, bucket, family, signatures, best_first, settings)
    keeper = best_first[family.head(place)]
    keeper[:protected] = np.arange(protected)
    return keeper


class _Signatures:
    """The signatures of all documents, on disk; mapped only while they are read, or all would count as memory."""

    def __init__(self, files: Sequence[Path]):
        self.files = [Path(file) for file in files]
        counts = [len(np.load(file, mmap_mode="r")) for file in self.files]
        self.starts = np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])

    def __len__(self) -> int:
        return int(self.starts[-1])

    def chunks(self) -> Iterator[tuple[int, np.ndarray]]:
        for file, start in zip(self.files, self.starts.tolist(), strict=False):
            array = np.load(file, mmap_mode="r")
            for row in range(0, len(array), CHUNK):
                yield start + row, np.asarray(array[row : row + CHUNK])

    def of(self, documents: np.ndarray) -> np.ndarray:
        """The signatures of these."""
        part = np.searchsorted(self.starts, documents, side="right") - 1
        order = np.argsort(part, kind="stable")
        found = []
        for rows in np.split(order, np.flatnonzero(np.diff(part[order])) + 1):
            number = part[rows[0]]
            found.append(np.load(self.files[number], mmap_mode="r")[documents[rows] - self.starts[number]])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return np.concatenate(found)[back]


class _Families:
    """Union-find over places in the order of worth: the head of a family is the best of it."""

    def __init__(self, count: int):
        self.above = np.arange(count, dtype=np.int64)

    def head(self, of: np.ndarray) -> np.ndarray:
        found = self.above[of]
        while True:
            higher = self.above[found]
            if np.array_equal(higher, found):
                self.above[of] = found
                return found
            found = higher

    def unite(self, one: np.ndarray, other: np.ndarray) -> None:
        while True:
            one, other = self.head(one), self.head(other)
            apart = one != other
            if not apart.any():
                return
            one, other = one[apart], other[apart]
            np.minimum.at(self.above, np.maximum(one, other), np.minimum(one, other))


def _best_first(signatures: _Signatures, sizes: np.ndarray, protected: int, settings: Settings) -> np.ndarray:
    """Documents in the order in which they would stay. Of equally long ones the signature decides, and then the place:
    the order they came in matters only where nothing tells them apart."""
    count = len(signatures)
    if settings.keep == "first":
        return np.arange(count)
    (whole,) = _keys(signatures, range(1), settings.permutations)
    return np.lexsort((whole, -sizes.astype(np.int64), np.arange(count) >= protected))


def _keys(signatures: _Signatures, bands: range, rows: int) -> list[np.ndarray]:
    """A 64-bit hash of each of these bands, for every document."""
    keys = np.empty((len(bands), len(signatures)), np.uint64)
    for start, chunk in signatures.chunks():
        numbers = chunk[:, bands.start * rows : bands.stop * rows].reshape(len(chunk), len(bands), rows)
        key = np.zeros((len(chunk), len(bands)), np.uint64)
        for row in range(rows):
            key = (key ^ numbers[:, :, row]) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(32)
        keys[:, start : start + len(chunk)] = key.T
    return list(keys)


def _buckets(keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places that share a key with another, together and in order, and a rising number for each such group."""
    order = np.argsort(keys)
    ordered = keys[order]
    same = np.zeros(len(keys), bool)
    same[1:] = ordered[1:] == ordered[:-1]
    shared = same.copy()
    shared[:-1] |= same[1:]
    members, bucket = order[shared], np.cumsum(~same[shared])
    in_order = np.lexsort((members, bucket))
    return members[in_order], bucket[in_order]


def _join(
    members: np.ndarray,
    bucket: np.ndarray,
    family: _Families,
    signatures: _Signatures,
    best_first: np.ndarray,
    settings: Settings,
) -> None:
    """Every member of a bucket of at most `ROUNDS` against every other. In a larger one each against the first, those
    that are no copies of it against the first of them, and so on: it costs its size, not the square of it."""
    small = np.bincount(bucket)[bucket] <= ROUNDS
    for _ in range(ROUNDS):
        if len(members) < 2:
            return
        begins = np.diff(bucket, prepend=bucket[0] - 1) != 0
        first = members[np.flatnonzero(begins)[np.cumsum(begins) - 1]]
        apart = np.flatnonzero(family.head(first) != family.head(members))
        for some in (apart[row : row + CHUNK] for row in range(0, len(apart), CHUNK)):
            equal = signatures.of(best_first[members[some]]) == signatures.of(best_first[first[some]])
            alike = some[equal.sum(axis=1) >= settings.threshold * settings.permutations]
            if len(alike):
                family.unite(members[alike], first[alike])
        left = ~begins & (small | (family.head(first) != family.head(members)))
        members, bucket, small = members[left], bucket[left], small[left]

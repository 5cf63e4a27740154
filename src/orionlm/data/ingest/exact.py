"""Which documents are exact copies, and which go by the same id? On keys of a few bytes, never on the text itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import numpy as np

PIECE = 1 << 20
BLOCK = 1 << 20


def text_digest(text: str) -> bytes | None:
    """SHA-256 of the text without what ends its lines: kind of line end, trailing blanks, blank lines at the end.

    None where nothing else is there. A long text is taken in pieces.
    """
    digest = hashlib.sha256()
    text = text.rstrip()
    if len(text) <= PIECE:
        digest.update(_bare(text).encode())
        return digest.digest() if text else None
    start = 0
    while start < len(text):
        stop = text.find("\n", start + PIECE) + 1 or len(text)
        piece = _bare(text[start:stop])
        for at in range(0, len(piece), PIECE):
            digest.update(piece[at : at + PIECE].encode())
        start = stop
    return digest.digest()


def _bare(text: str) -> str:
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "\n".join([line.rstrip() for line in lines])


def name_key(name: str) -> int:
    """The first 64 bits of a name's SHA-256: in their order names are drawn, and two that share them are one."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def copies(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Which entries repeat an earlier one: keys of 128 bits as two of 64, uint64 [n] each. Takes 12 bytes an entry.

    Where two texts share the first half alone (2⁻⁶⁴ a pair), a copy among theirs may stay; nothing else is ever taken
    for a copy.
    """
    order = np.argsort(first, kind="stable")
    repeated = np.zeros(len(first), bool)
    for start in range(1, len(order), BLOCK):
        here, before = order[start : start + BLOCK], order[start - 1 : start + BLOCK - 1]
        before = before[: len(here)]
        same = (first[here] == first[before]) & (second[here] == second[before])
        repeated[here[same]] = True
    return repeated


def occurrences(keys: np.ndarray) -> Iterator[tuple[int, int]]:
    """(place, how many times it was there before) of each key that was there before, by place. Takes 16 bytes a key."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    again = np.flatnonzero(ordered[1:] == ordered[:-1]) + 1
    begins = np.ones(len(again), bool)
    np.not_equal(np.diff(again), 1, out=begins[1:])
    times = again - np.maximum.accumulate(np.where(begins, again, 0)) + 1
    places = order[again]
    by_place = np.argsort(places)
    yield from zip(places[by_place].tolist(), times[by_place].tolist(), strict=True)

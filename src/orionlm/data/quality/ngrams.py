"""How much of each document do its own repeated n-grams of words cover?

Many documents at once: every n-gram is a 64-bit hash of its words' hashes and its document. Only where an n-gram occurs
twice can an (n+1)-gram do so, so after the 2-grams little is left to look at. Words are hashed by Python under the seed
of the process: no text can be written to collide, and by chance one in 10^7 documents of 10^6 words would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

TOP = (2, 3, 4)
DUPLICATE = (5, 6, 7, 8, 9, 10)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_STEP = np.uint64(0xD6E8FEB86659FD93)

Ints = npt.NDArray[np.int64]
Hashes = npt.NDArray[np.uint64]
Shares = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


class Repeated(NamedTuple):
    """n-grams take this share of a document's characters, white space left out; `example`: where one begins."""

    n: int
    share: float
    example: int


def repeated(documents: Sequence[Sequence[str]], limits: Mapping[int, float]) -> dict[int, Repeated]:
    """Of documents, given as words, those whose share is above the limit of an n, and the smallest such n.

    n in `TOP`: the most frequent n-gram, its characters times its count (of equally frequent ones the longest).
    n in `DUPLICATE`: the words inside any n-gram that occurred before in the document, each character once.
    (Rae et al. 2021, arXiv 2112.11446, A.1.1, who leave open whether the first occurrence counts; here it does not.)
    """
    found: dict[int, Repeated] = {}
    sizes = np.fromiter(map(len, documents), np.int64, len(documents))
    count = int(sizes.sum())
    if not count:
        return found
    hashes = np.fromiter(map(hash, chain.from_iterable(documents)), np.int64, count).view(np.uint64)
    before = np.zeros(count + 1, np.int64)  # characters before each word
    np.cumsum(np.fromiter(map(len, chain.from_iterable(documents)), np.int64, count), out=before[1:])
    ends = np.cumsum(sizes)
    starts = ends - sizes
    total = np.maximum(before[ends] - before[starts], 1)
    owner = np.repeat(np.arange(len(documents)), sizes)

    done = np.zeros(len(documents), bool)
    at = np.arange(count)
    key = (hashes ^ (owner.astype(np.uint64) * _STEP)) * _MIX
    for n in range(2, DUPLICATE[-1] + 1):
        inside = at + n <= ends[owner[at]]
        at, key = at[inside], key[inside]
        key = (key ^ (key >> np.uint64(32))) * _STEP + hashes[at + n - 1] * _MIX
        at, key, fresh, counts = _twice(at, key)
        if not len(at):
            break
        if n in TOP:
            places, shares = _most_frequent(n, at[fresh], counts[fresh], owner, before, total, limits[n])
        else:
            places, shares = _covered(n, at[~fresh], owner, before, total)
        over = shares > limits[n]
        for place, share in zip(places[over].tolist(), shares[over].tolist(), strict=True):
            document = int(owner[place])
            found[document] = Repeated(n, min(share, 1.0), place - int(starts[document]))
            done[document] = True
        going = ~done[owner[at]]
        at, key = at[going], key[going]
    return found


def _twice(at: Ints, key: Hashes) -> tuple[Ints, Hashes, Flags, Ints]:
    """Of places and their n-grams those that occur twice, in order; which are the first to; how often each does."""
    for turn in (_MIX, _STEP):  # most n-grams are alone in a table of four times their number, and need no sorting
        bits = len(at).bit_length() + 2
        bucket = ((key * turn) >> np.uint64(64 - bits)).astype(np.int64)
        crowded = np.bincount(bucket, minlength=1 << bits)[bucket] > 1
        at, key = at[crowded], key[crowded]
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    first = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(order)])
    sizes = np.diff(first, append=len(order))
    fresh = np.zeros(len(order), bool)
    fresh[order[first]] = True
    counts = np.empty(len(order), np.int64)
    counts[order] = np.repeat(sizes, sizes)
    twice = counts > 1
    return at[twice], key[twice], fresh[twice], counts[twice]


def _most_frequent(
    n: int, at: Ints, counts: Ints, owner: Ints, before: Ints, total: Ints, limit: float
) -> tuple[Ints, Shares]:
    """Of one place per repeated n-gram, the place of a document's most frequent one, and its share (of one that
    overlaps itself it may exceed 1). Documents without any above the limit are left out: that saves most sorting."""
    characters = before[at + n] - before[at]
    heavy = np.zeros(len(total), bool)
    heavy[owner[at[counts * characters / total[owner[at]] > limit]]] = True
    asked = heavy[owner[at]]
    at, counts, characters = at[asked], counts[asked], characters[asked]
    order = np.lexsort((-at, characters, counts, owner[at]))
    last = order[np.diff(owner[at[order]], append=-1) != 0]
    return at[last], counts[last] * characters[last] / total[owner[at[last]]]


def _covered(n: int, at: Ints, owner: Ints, before: Ints, total: Ints) -> tuple[Ints, Shares]:
    """Of the places where an n-gram occurs again, in order: the first in each document, and the share covered."""
    begins = at.copy()
    begins[1:] = np.maximum(at[1:], at[:-1] + n)
    first = np.flatnonzero(np.diff(owner[at], prepend=-1) != 0)
    return at[first], np.add.reduceat(before[at + n] - before[begins], first) / total[owner[at[first]]]

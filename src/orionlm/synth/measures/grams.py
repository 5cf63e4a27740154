"""Which words and pairs of words does a text hold? Counted in hashed buckets, and as n-grams across all texts.

A token is a run of word characters or of other signs, in lower case, as in DSIR (Xie et al. 2302.03169); a Chinese or
Japanese sign, where no blanks stand between words, is one by itself.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

Array = np.ndarray
BUCKETS = 10_000
_SIGNS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_TOKEN = re.compile(rf"[{_SIGNS}]|[^\W{_SIGNS}]+|[^\w\s]+")
_MIX = np.uint64(0x9E3779B97F4A7C15)


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def _digest(token: str) -> int:
    return int.from_bytes(hashlib.blake2b(token.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def hashed_tokens(texts: Sequence[str]) -> tuple[Array, Array]:
    """Every text's tokens in a row as 64-bit digests (m,), and where each text begins (n + 1,)."""
    known: dict[str, int] = {}
    parts: list[Array] = []
    begins = np.zeros(len(texts) + 1, np.int64)
    for index, text in enumerate(texts):
        found = tokens(text)
        parts.append(np.fromiter((known.setdefault(token, len(known)) for token in found), np.int64, len(found)))
        begins[index + 1] = begins[index] + len(found)
    digests = np.fromiter(map(_digest, known), np.uint64, len(known))
    return digests[np.concatenate(parts)] if parts else np.zeros(0, np.uint64), begins


def runs(digests: Array, begins: Array, n: int) -> tuple[Array, Array]:
    """The n-grams within texts: a digest h = h₁·M^{n−1} + … + hₙ mod 2^64 each, and the row it is in."""
    m = max(len(digests) - n + 1, 0)
    found = np.zeros(m, np.uint64)
    for place in range(n if m else 0):
        found = found * _MIX + digests[place : place + m]
    row = np.repeat(np.arange(len(begins) - 1), np.diff(begins))
    whole = row[:m] == row[n - 1 :] if m else np.zeros(0, bool)
    return found[whole], row[:m][whole]


def hashed_counts(texts: Sequence[str], buckets: int = BUCKETS) -> csr_matrix:
    """How often each text's words and pairs of words fall into each bucket: (texts, buckets).

    A word's bucket is its 8-byte BLAKE2b digest h (little-endian) mod `buckets`, a pair's (h₁·M + h₂ mod 2^64) mod
    `buckets`, M = 0x9E3779B97F4A7C15.
    """
    digests, begins = hashed_tokens(texts)
    grams, rows = (np.concatenate(both) for both in zip(*(runs(digests, begins, n) for n in (1, 2)), strict=True))
    counts = csr_matrix(
        (np.ones(len(grams)), (rows, (grams % np.uint64(buckets)).astype(np.int64))), (len(texts), buckets)
    )
    counts.sum_duplicates()
    return counts


@dataclass(frozen=True)
class Held:
    """Which row holds which n-gram: one entry (m,) for each pair, ordered by n-gram.

    `count` is how often it stands in the `row`, `others` the most that any other row has of it, `holders` how many rows
    have it; `grams` different n-grams in all, and each row's n-grams, repeats counted, number `total` (rows,).
    """

    row: Array
    count: Array
    others: Array
    holders: Array
    grams: int
    total: Array


def held(digests: Array, begins: Array, n: int) -> Held:
    gram, row = runs(digests, begins, n)
    total = np.bincount(row, minlength=len(begins) - 1)
    order = np.lexsort((row, gram))
    gram, row = gram[order], row[order]
    first = np.flatnonzero(_changes(gram) | _changes(row))
    count = np.diff(np.append(first, len(gram)))
    gram, row = gram[first], row[first]
    order = np.lexsort((count, gram))  # within an n-gram the row that has most of it comes last
    gram, row, count = gram[order], row[order], count[order]
    start = np.flatnonzero(_changes(gram))
    holders = np.diff(np.append(start, len(gram)))
    last = start + holders - 1
    most = np.repeat(count[last], holders)
    most[last] = np.where(holders > 1, count[np.maximum(last - 1, 0)], 0)
    return Held(row, count, most, np.repeat(holders, holders), len(start), total)


def _changes(values: Array) -> Array:
    return np.concatenate([np.ones(min(len(values), 1), bool), values[1:] != values[:-1]])

"""How much do texts repeat each other? Self-BLEU, distinct-n, shared n-grams, compression (Shaib et al. 2403.00553).

All depend on how many texts there are and how long: compare sets of the same number of rows, cut to the same lengths.
"""

from __future__ import annotations

import gzip
import math
from collections.abc import Sequence

import numpy as np

from orionlm.synth.measures.estimate import Estimate, jackknifed, mean_of, unknown
from orionlm.synth.measures.grams import hashed_tokens, held

Array = np.ndarray
ORDER = 4
_CHUNKS = 20
_NO_MATCH = 0.1


def self_bleu(texts: Sequence[str], order: int = ORDER) -> Estimate:
    """The mean BLEU (Papineni et al. 2002) of each text with all the others as its references (Zhu et al. 1802.01886).

    Exact and in linear time: an n-gram's clipping count is the most any other row has of it. A text shorter than
    `order` tokens is judged by the orders it has; an order without a match counts .1 of one (smoothing 1 of Chen &
    Cherry 2014). Texts without a token are left out. The interval is the scatter of rows, their references held fixed.
    """
    digests, begins = hashed_tokens(texts)
    length = np.diff(begins)
    rows = np.flatnonzero(length)
    if len(rows) < 2:
        return unknown(len(rows))
    logs, orders = np.zeros(len(texts)), np.zeros(len(texts))
    for n in range(1, order + 1):
        found = held(digests, begins, n)
        matches = np.bincount(found.row, np.minimum(found.count, found.others), len(texts))
        has = found.total > 0
        logs[has] += np.log(np.where(matches[has] > 0, matches[has], _NO_MATCH) / found.total[has])
        orders += has
    short = np.minimum(1 - _closest(length[rows]) / length[rows], 0)
    return mean_of(np.exp(short + logs[rows] / orders[rows]), 0.0, 1.0)


def distinct_n(texts: Sequence[str], n: int = 2) -> Estimate:
    """Different n-grams / n-grams, over all texts together (Li et al. 1510.03055); each text left out in turn for the
    interval."""
    found = held(*hashed_tokens(texts), n)
    rows, total = int((found.total > 0).sum()), int(found.total.sum())
    if not total:
        return unknown(rows)
    alone = np.bincount(found.row[found.holders == 1], minlength=len(texts))
    has = (found.total > 0) & (found.total < total)
    without = (found.grams - alone[has]) / (total - found.total[has])
    return jackknifed(found.grams / total, without, rows, 0.0, 1.0)


def self_repetition(texts: Sequence[str], n: int = 8) -> Estimate:
    """The mean share of a text's n-grams that another text has too: templates and copies (after Salkar et al. 2022).

    Texts of fewer than n tokens are left out.
    """
    found = held(*hashed_tokens(texts), n)
    shared = np.bincount(found.row, found.count * (found.holders > 1), len(texts))
    has = found.total > 0
    return mean_of(shared[has] / found.total[has], 0.0, 1.0)


def compression_ratio(texts: Sequence[str]) -> Estimate:
    """Bytes / gzip bytes of all texts joined by new lines: the higher, the more alike. gzip looks back 32 KB only, so
    like must stand near like to count. The interval leaves out each twentieth of the rows in turn."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    whole = b"\n".join(encoded)
    if not any(encoded):
        return unknown(len(texts))
    sizes = [
        (len(part), len(gzip.compress(part, mtime=0)))
        for part in (b"\n".join(encoded[at] for at in rows) for rows in np.array_split(np.arange(len(texts)), _CHUNKS))
        if part
    ]
    raw, packed = np.array(sizes, float).T
    value = len(whole) / len(gzip.compress(whole, mtime=0))
    without = (raw.sum() - raw) / np.maximum(packed.sum() - packed, 1)
    # The parts compress a little worse than the whole; their scatter is taken relative to their own ratio.
    return jackknifed(value, without * value * packed.sum() / raw.sum(), len(texts), 0.0)


def _closest(length: Array) -> Array:
    """For each length the nearest among the others, the shorter of two as near."""
    order = np.argsort(length, kind="stable")
    ordered = length[order].astype(float)
    before = np.concatenate([[-math.inf], ordered[:-1]])
    after = np.concatenate([ordered[1:], [math.inf]])
    nearest = np.empty(len(length))
    nearest[order] = np.where(ordered - before <= after - ordered, before, after)
    return nearest

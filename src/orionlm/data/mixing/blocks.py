"""Of which domain is sequence q of a run, and which of that domain's own? In closed form: no state, no table.

A phase is made of blocks of equal length in which every domain has a fixed number of places, in an order keyed by
(seed, phase, block). So the proportions hold within one sequence in every block, and a domain's own sequences are
numbered on without a gap, over blocks and from phase to phase.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Array = np.ndarray
ROUNDS = 4


class Blocks:
    """One phase: `counts` places for each domain in a block."""

    def __init__(self, counts: Sequence[int], seed: int, phase: str):
        assert min(counts) >= 0 and sum(counts) > 0, counts
        self.counts, self.key = tuple(counts), f"{seed}/{phase}"
        self.size = sum(counts)

    def place(self, positions: Array) -> tuple[Array, Array]:
        """The domain, and the number among the domain's sequences, of positions in the phase; all int64 [n]."""
        blocks, inside = np.divmod(positions, self.size)
        domain_n, number_n = np.empty_like(positions), np.empty_like(positions)
        for block in np.unique(blocks):
            here = blocks == block
            domain_p, rank_p = _block(self.counts, f"{self.key}/{block}")
            domain_n[here], number_n[here] = domain_p[inside[here]], rank_p[inside[here]]
        return domain_n, number_n + blocks * np.array(self.counts, np.int64)[domain_n]

    def seen(self, positions: int) -> Array:
        """How many sequences of each domain lie before a position of the phase, int64 [domains]."""
        block, inside = divmod(positions, self.size)
        domain_p, _ = _block(self.counts, f"{self.key}/{block}")
        return block * np.array(self.counts, np.int64) + np.bincount(domain_p[:inside], minlength=len(self.counts))


class Phases:
    """The main phase, and from sequence `switch` on the late one, which goes on in every domain where main stopped."""

    def __init__(self, main: Blocks, late: Blocks | None = None, switch: int | None = None):
        assert (late is None) == (switch is None)
        self.main, self.late, self.switch = main, late, switch

    def place(self, sequences: Array) -> tuple[Array, Array]:
        """As `Blocks.place`, of the run's sequences, which ascend."""
        if self.late is None or self.switch is None or sequences[-1] < self.switch:
            return self.main.place(sequences)
        after = sequences >= self.switch
        domain_n, number_n = self.late.place(sequences[after] - self.switch)
        number_n += self.main.seen(self.switch)[domain_n]
        before = self.main.place(sequences[~after])
        return np.concatenate([before[0], domain_n]), np.concatenate([before[1], number_n])

    def seen(self, sequences: int) -> Array:
        """How many of the first `sequences` each domain has, int64 [domains]."""
        if self.late is None or self.switch is None or sequences <= self.switch:
            return self.main.seen(sequences)
        return self.main.seen(self.switch) + self.late.seen(sequences - self.switch)


def shuffled(sequences: Array, windows: int, seed: int) -> Array:
    """The window of each sequence number: a bijection of [0, windows) within every epoch, computed without a table.

    `sequences` int64, ascending → int64 of that shape. Keyed multiply and xor-shift rounds, each a bijection of
    ⌈log₂ windows⌉ bits, applied again to whatever falls outside (cycle walking; Black & Rogaway 2002, method 2).
    """
    epochs, places = np.divmod(sequences, windows)
    if epochs[0] == epochs[-1]:
        return _permute(places, windows, f"{seed}/{epochs[0]}")
    result = np.empty_like(places)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        result[chosen] = _permute(places[chosen], windows, f"{seed}/{epoch}")
    return result


def mixed(x: Array, bits: int, key: str) -> Array:
    """A keyed bijection of the numbers of `bits` bits, uint64 → uint64."""
    mask, shift = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    for add, multiply in _keys(key):
        x = ((x + add) * multiply) & mask
        x ^= x >> shift
    return x


def _permute(places: Array, size: int, key: str) -> Array:
    bits = max((size - 1).bit_length(), 1)
    x, outside = places.astype(np.uint64), None
    while outside is None or outside.any():
        moved = mixed(x if outside is None else x[outside], bits, key)
        if outside is None:
            x = moved
        else:
            x[outside] = moved
        outside = x >= size
    return x.astype(np.int64)


@lru_cache(maxsize=64)
def _keys(key: str) -> Array:
    words = np.frombuffer(hashlib.blake2b(key.encode()).digest(), "<u8").reshape(ROUNDS, 2).copy()
    words[:, 1] |= np.uint64(1)
    return words


@lru_cache(maxsize=256)
def _block(counts: tuple[int, ...], key: str) -> tuple[Array, Array]:
    """The domain at each place of a block, and how many places of that domain come before it, both int64 [size]."""
    slots = np.repeat(np.arange(len(counts)), counts)
    domain_p = slots[_permute(np.arange(len(slots)), len(slots), key)]
    order = np.argsort(domain_p, kind="stable")
    rank_p = np.empty_like(domain_p)
    rank_p[order] = np.arange(len(slots)) - (np.cumsum(counts) - counts)[domain_p[order]]
    return domain_p, rank_p

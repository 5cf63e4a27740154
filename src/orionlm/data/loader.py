"""Which tokens are in batch s? A pure function of (seed, step), exact at any world size: no state to lose."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from orionlm.data.shards import TokenSet
from orionlm.errors import UserError

IGNORED = -1


class Batch(NamedTuple):
    """`tokens_bt`, `targets_bt` int64, `documents_bt` int32, all [rows, context_length].

    `targets_bt` holds the next token, or -1 where the input ends a document, since what follows has nothing to do with
    it. `documents_bt` numbers the documents within a row from 0, so attention can stay inside one.
    """

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    documents_bt: np.ndarray


class Evaluation(NamedTuple):
    """A fixed set of windows as in `Batch`, and `bytes`: UTF-8 bytes of all targets that are not -1."""

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    documents_bt: np.ndarray
    bytes: int


class Loader:
    """Batches of contiguous windows of the packed stream, in an order shuffled anew each epoch.

    Row r of the global batch at step s is sequence s·batch_size + r; a rank takes rows rank, rank + world_size, ….
    Sequence q is window π(q mod n) with n windows and a permutation π keyed by (seed, q div n). Neighbouring windows
    share one token, so that each token but the first is a target once an epoch; a tail shorter than a window is left.
    """

    def __init__(
        self,
        token_set: TokenSet,
        *,
        context_length: int,
        batch_size: int,
        seed: int,
        rank: int = 0,
        world_size: int = 1,
    ):
        assert 0 <= rank < world_size
        if context_length < 1 or batch_size < 1:
            raise UserError(f"context_length {context_length} and batch_size {batch_size} must be at least 1")
        if batch_size < world_size:
            raise UserError(
                f"batch_size {batch_size} is less than the {world_size} processes; raise it to {world_size}"
            )
        self.token_set, self.context_length, self.batch_size, self.seed = token_set, context_length, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.windows = window_count(token_set, context_length)
        if self.windows < batch_size:
            raise UserError(
                f"{token_set.split} text of {len(token_set):,} tokens is too small for one batch of {batch_size} × "
                f"{context_length}: it needs {batch_size * context_length + 1:,}; add text, or lower one of the two"
            )

    def batch(self, step: int) -> Batch:
        """This rank's rows of the global batch at `step`, counted from 0."""
        first = step * self.batch_size
        sequences = np.arange(first + self.rank, first + self.batch_size, self.world_size, dtype=np.int64)
        starts = shuffled(sequences, self.windows, self.seed) * self.context_length
        return cut(self.token_set.tokens.windows(starts.tolist(), self.context_length + 1), self.token_set.eot)

    def epochs(self, step: int) -> float:
        """How often the text has been passed before `step`."""
        return step * self.batch_size / self.windows

    def unique_tokens(self, step: int) -> int:
        """Distinct positions of the text seen before `step`."""
        return min(step * self.batch_size, self.windows) * self.context_length


def cut(window_bt: np.ndarray, eot: int) -> Batch:
    """Windows [b, t + 1] → inputs, targets and document numbers [b, t]."""
    tokens_bt = window_bt[:, :-1]
    ends_bt = tokens_bt == eot
    targets_bt = window_bt[:, 1:].copy()
    targets_bt[ends_bt] = IGNORED
    documents_bt = np.zeros(tokens_bt.shape, np.int32)
    np.cumsum(ends_bt[:, :-1], axis=1, out=documents_bt[:, 1:])
    return Batch(np.ascontiguousarray(tokens_bt), targets_bt, documents_bt)


def window_count(token_set: TokenSet, context_length: int) -> int:
    return max(len(token_set) - 1, 0) // context_length


def shuffled(sequences: np.ndarray, windows: int, seed: int) -> np.ndarray:
    """The window of each sequence number: a bijection of [0, windows) within every epoch, computed without a table.

    `sequences` int64 → int64 of that shape. Keyed multiply and xor-shift rounds, each a bijection of ⌈log₂ windows⌉
    bits, applied again to whatever falls outside (cycle walking; Black & Rogaway 2002, method 2).
    """
    epochs, places = np.divmod(sequences, windows)
    if epochs[0] == epochs[-1]:
        return _permute(places, windows, seed, int(epochs[0]))
    result = np.empty_like(places)
    for epoch in np.unique(epochs):
        chosen = epochs == epoch
        result[chosen] = _permute(places[chosen], windows, seed, int(epoch))
    return result


def _permute(places: np.ndarray, windows: int, seed: int, epoch: int) -> np.ndarray:
    bits = max((windows - 1).bit_length(), 1)
    x, outside = places.astype(np.uint64), None
    while outside is None or outside.any():
        mixed = x if outside is None else x[outside]
        mixed = _mix(mixed, bits, _keys(seed, epoch))
        if outside is None:
            x = mixed
        else:
            x[outside] = mixed
        outside = x >= windows
    return x.astype(np.int64)


def _mix(x: np.ndarray, bits: int, keys: np.ndarray) -> np.ndarray:
    mask, shift = np.uint64((1 << bits) - 1), np.uint64((bits + 1) // 2)
    for add, multiply in keys:
        x = ((x + add) * multiply) & mask
        x ^= x >> shift
    return x


@lru_cache(maxsize=64)
def _keys(seed: int, epoch: int) -> np.ndarray:
    words = np.frombuffer(hashlib.blake2b(f"{seed}/{epoch}".encode()).digest(), "<u8").reshape(4, 2).copy()
    words[:, 1] |= np.uint64(1)
    return words


def validation_windows(token_set: TokenSet, context_length: int, max_tokens: int, seed: int) -> Evaluation:
    """At most `max_tokens` targets in windows spread evenly over the split: one in each of as many equal stretches.

    Depends on the arguments alone, so every run with the same tokens is measured on the same text.
    """
    windows = window_count(token_set, context_length)
    count = min(windows, max_tokens // context_length)
    if count < 2:
        raise UserError(
            f"fewer than two windows of {context_length} tokens to evaluate on: {token_set.split} has "
            f"{len(token_set):,} tokens and at most {max_tokens:,} were asked for; "
            "lower context_length or hold out more text"
        )
    edges = np.arange(count + 1, dtype=np.int64) * windows // count
    random = _mix(np.arange(count, dtype=np.uint64), 32, _keys(seed, 0)).astype(np.int64)
    starts = (edges[:-1] + random % (edges[1:] - edges[:-1])) * context_length
    batch = cut(token_set.tokens.windows(starts.tolist(), context_length + 1), token_set.eot)
    predicted = batch.targets_bt[batch.targets_bt != IGNORED]
    return Evaluation(*batch, int(token_set.token_bytes[predicted].sum()))

"""Which tokens are in batch s? A pure function of (seed, step), exact at any world size: no state to lose."""

from __future__ import annotations

import copy
from bisect import bisect_right
from typing import NamedTuple

import numpy as np

from orionlm.data.mixing.blocks import Blocks, Phases, mixed, shuffled
from orionlm.data.mixing.mixture import Mixture
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
    """A fixed set of windows as in `Batch`, and `bytes`: UTF-8 bytes of all targets that are not -1.

    `domains`: (name, windows, bytes) of each domain in the order of the windows; empty where there is only one. A
    window counts to the domain that it begins in.
    """

    tokens_bt: np.ndarray
    targets_bt: np.ndarray
    documents_bt: np.ndarray
    bytes: int
    domains: tuple[tuple[str, int, int], ...] = ()


class Loader:
    """Batches of contiguous windows of the packed stream, in an order shuffled anew each epoch.

    Row r of the global batch at step s is sequence s·batch_size + r; a rank takes rows rank, rank + world_size, ….
    Under a `mixture` a sequence is the next of one of its domains (`blocks`); without one the text is one domain.
    A domain's sequence q is window π(q mod n) with n windows and a permutation π keyed by (seed, q div n): its order
    does not depend on what it is mixed with. Neighbouring windows share one token, so that each token but the first is
    a target once an epoch; a tail shorter than a window is left.
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
        mixture: Mixture | None = None,
    ):
        assert 0 <= rank < world_size
        if context_length < 1 or batch_size < 1:
            raise UserError(f"context_length {context_length} and batch_size {batch_size} must be at least 1")
        if batch_size < world_size:
            raise UserError(
                f"batch_size {batch_size} is less than the {world_size} processes; raise it to {world_size}"
            )
        self.token_set, self.context_length, self.batch_size, self.seed = token_set, context_length, batch_size, seed
        self.rank, self.world_size, self.mixture = rank, world_size, mixture
        self.parts = [token_set] if mixture is None else [_part(token_set, name) for name in mixture.domains]
        self.windows = np.array([window_count(part, context_length) for part in self.parts])
        if self.windows.sum() < batch_size:
            raise UserError(
                f"{token_set.split} text of {len(token_set):,} tokens is too small for one batch of {batch_size} × "
                f"{context_length}: it needs {batch_size * context_length + 1:,}; add text, or lower one of the two"
            )
        if mixture is not None and not self.windows.all():
            short = mixture.domains[int(np.argmin(self.windows))]
            raise UserError(
                f"domain {short!r}: {len(_part(token_set, short)):,} tokens are less than one window of "
                f"{context_length + 1:,}; leave it out of the mixture, or lower the context"
            )
        self.phases = Phases(Blocks((1 << 8,) if mixture is None else mixture.main, seed, "main"))

    def annealing(self, step: int) -> Loader:
        """The same batches up to `step`, and from there on those of the mixture's anneal, where it has one."""
        assert self.phases.late is None
        other = copy.copy(self)
        if self.mixture is not None and self.mixture.anneal:
            late = Blocks(self.mixture.anneal, self.seed, "anneal")
            other.phases = Phases(self.phases.main, late, step * self.batch_size)
        return other

    def batch(self, step: int) -> Batch:
        """This rank's rows of the global batch at `step`, counted from 0."""
        first = step * self.batch_size
        sequences = np.arange(first + self.rank, first + self.batch_size, self.world_size, dtype=np.int64)
        domain_b, number_b = self.phases.place(sequences)
        window_bt = np.empty((len(sequences), self.context_length + 1), np.int64)
        for domain in np.unique(domain_b):
            rows = domain_b == domain
            starts = shuffled(number_b[rows], int(self.windows[domain]), self.seed) * self.context_length
            window_bt[rows] = self.parts[domain].tokens.windows(starts.tolist(), self.context_length + 1)
        return cut(window_bt, self.token_set.eot)

    def epochs(self, step: int) -> float:
        """How often the text has been passed before `step`, domains taken together."""
        return step * self.batch_size / float(self.windows.sum())

    def unique_tokens(self, step: int) -> int:
        """Distinct positions of the text seen before `step`."""
        seen = self.phases.seen(step * self.batch_size)
        return int(np.minimum(seen, self.windows).sum()) * self.context_length

    def read(self, step: int) -> dict[str, dict[str, float]]:
        """Tokens, unique tokens and epochs of each domain of the mixture before `step`; empty without one."""
        if self.mixture is None:
            return {}
        seen, length = self.phases.seen(step * self.batch_size), self.context_length
        return {
            name: {"tokens": int(n) * length, "unique_tokens": int(min(n, most)) * length, "epochs": float(n / most)}
            for name, n, most in zip(self.mixture.domains, seen, self.windows, strict=True)
        }


def _part(token_set: TokenSet, domain: str) -> TokenSet:
    if domain not in token_set.parts:
        raise UserError(f"mixture: domain {domain!r} is not in these tokens; make the mixture again from them")
    return token_set.parts[domain]


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
    random = mixed(np.arange(count, dtype=np.uint64), 32, f"{seed}/0").astype(np.int64)
    starts = ((edges[:-1] + random % (edges[1:] - edges[:-1])) * context_length).tolist()
    batch = cut(token_set.tokens.windows(starts, context_length + 1), token_set.eot)
    byte_b = np.where(batch.targets_bt == IGNORED, 0, token_set.token_bytes[batch.targets_bt]).sum(1)
    domains, first, end = [], 0, 0
    for name, part in token_set.parts.items():
        end += len(part)
        after = bisect_right(starts, end - 1)
        domains.append((name, after - first, int(byte_b[first:after].sum())))
        first = after
    return Evaluation(*batch, int(byte_b.sum()), tuple(domains) if len(domains) > 1 else ())

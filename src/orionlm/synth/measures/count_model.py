"""How well does a model of counts, which learns in a second, predict genuine text after reading these rows?

The cheapest student there is: bytes after the last five, interpolated over all shorter contexts (Witten & Bell 1991;
Chen & Goodman 1998, eq. 16), in which a context seen c times with d different bytes after it is trusted c / (c + d):

    P_k(b | h) = (count(h b) + d(h)·P_{k−1}(b | h')) / (count(h) + d(h)),    P_0 = 1/256
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from orionlm.synth.measures.estimate import LEVEL, Estimate, unknown

Array = np.ndarray
T = TypeVar("T")
ORDER, DRAWS = 5, 1000
MOST = 400_000  # bytes a side: seconds


class CountModel:
    """Counts of the bytes after contexts of 0 … `order` bytes in `texts`."""

    def __init__(self, texts: Sequence[str], order: int = ORDER) -> None:
        raw = _joined(texts, order)
        self.order = order
        self.after: list[tuple[Array, Array]] = []  # (keys, counts) of context and byte
        self.contexts: list[tuple[Array, Array, Array]] = []  # (keys, counts, distinct bytes after)
        for length in range(order + 1):
            context, gram = _keys(raw, length, order)
            grams, first, counts = np.unique(gram, return_index=True, return_counts=True)
            keys, where = np.unique(context[first], return_inverse=True)
            totals = np.bincount(where, weights=counts)
            self.after.append((grams, counts))
            self.contexts.append((keys, totals, np.bincount(where)))

    def bits(self, texts: Sequence[str]) -> Array:
        """Bits per byte of each text, (n,); NaN of an empty one."""
        sizes = np.array([len(text.encode()) for text in texts], np.int64)
        raw = _joined(texts, self.order)
        chance = np.full(len(raw) - self.order, 1 / 256)
        for length in range(self.order + 1):
            context, gram = _keys(raw, length, self.order)
            count = _looked_up(*self.after[length], gram)
            keys, totals, distinct = self.contexts[length]
            total, different = _looked_up(keys, totals, context), _looked_up(keys, distinct, context)
            seen = total > 0
            chance[seen] = (count[seen] + different[seen] * chance[seen]) / (total[seen] + different[seen])
        # A text's own bytes; the zeros between texts are context alone.
        spent = np.concatenate([[0.0], np.cumsum(-np.log2(chance))])
        starts = np.cumsum(sizes + self.order) - sizes - self.order
        with np.errstate(divide="ignore", invalid="ignore"):
            return (spent[starts + sizes] - spent[starts]) / sizes


def worth(
    real: Sequence[str], groups: Sequence[str], rows: Sequence[str], owners: Sequence[Sequence[str]], seed: int = 0
) -> Estimate:
    """What all `rows` teach, in doublings of genuine text: 1 for as much as twice the documents would.

    The documents of `real` (`groups`, one for each text) are cut in four. The model reads the first part, the first
    two, or these and the rows, and foretells the other two; then the halves change places. The worth is the bits that
    rows save over the bits that the second part saves. A row does not count where one of its `owners`, the documents it
    came from, is to be foretold. The interval is over documents (bootstrap); at most `MOST` bytes a side.
    """
    rng = np.random.default_rng([seed, 40])
    texts, names = _some(real, groups, rng)
    written, origins = _some(rows, owners, rng)
    documents, codes = np.unique(np.array(names, object).astype(str), return_inverse=True)
    if len(documents) < 8 or not written:
        return unknown(len(documents))
    part = rng.permutation(len(documents))[codes] % 4  # of each text: parts 0 and 1 are a half, 2 and 3 the other
    saved: list[Array] = []
    for half in (0, 2):
        few, known = ([t for t, p in zip(texts, part, strict=True) if half <= p <= half + at] for at in (0, 1))
        foretold = (part // 2) != half // 2
        own = set(documents[np.unique(codes[foretold])])
        beside = [text for text, seeds in zip(written, origins, strict=True) if not own.intersection(seeds)]
        unseen = [text for text, there in zip(texts, foretold, strict=True) if there]
        before, alone, after = (CountModel(read).bits(unseen) for read in (few, known, [*known, *beside]))
        sizes = np.array([len(text.encode()) for text in unseen], float)
        where = codes[foretold]
        for code in np.unique(where):
            inside = where == code
            weight = sizes[inside] / sizes[inside].sum()
            saved.append(np.array([(alone - after)[inside] @ weight, (before - alone)[inside] @ weight]))
    pairs = np.array(saved)
    drawn = pairs[rng.integers(0, len(pairs), (DRAWS, len(pairs)))].mean(1)
    if pairs[:, 1].mean() <= 0 or (drawn[:, 1] <= 0).mean() > 0.01:
        return unknown(len(pairs))  # not even genuine text of other documents tells anything
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(pairs[:, 0].mean() / pairs[:, 1].mean()), float(low), float(high), len(pairs))


def _some(texts: Sequence[str], beside: Sequence[T], rng: np.random.Generator) -> tuple[list[str], list[T]]:
    """At most `MOST` bytes of texts that are not empty, drawn, with what stands beside each."""
    kept, others, size = [], [], 0
    for place in rng.permutation(len(texts)):
        if size < MOST and texts[place]:
            kept.append(texts[place])
            others.append(beside[place])
            size += len(texts[place].encode())
    return kept, others


def _joined(texts: Sequence[str], order: int) -> Array:
    """All bytes, `order` zeros before each text and after the last."""
    gap = bytes(order)
    return np.frombuffer(gap + b"".join(text.encode() + gap for text in texts), np.uint8)


def _keys(raw: Array, length: int, order: int) -> tuple[Array, Array]:
    """Of each byte past the first `order`: its context of `length` bytes, and the two together, as exact numbers."""
    assert order < 7
    count = len(raw) - order
    context = np.zeros(count, np.uint64)
    for back in range(length, 0, -1):
        context = (context << np.uint64(8)) | raw[order - back : order - back + count]
    return context, (context << np.uint64(8)) | raw[order : order + count]


def _looked_up(keys: Array, values: Array, wanted: Array) -> Array:
    if not len(keys):
        return np.zeros(len(wanted))
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, values[place], 0).astype(float)

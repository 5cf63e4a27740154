"""How well does a model of counts, which learns in a second, predict genuine text after reading these rows?

The cheapest student there is: bytes after the last five, interpolated over all shorter contexts (Witten & Bell 1991;
Chen & Goodman 1998, eq. 16), in which a context seen c times with d different bytes after it is trusted c / (c + d):

    P_k(b | h) = (count(h b) + d(h)·P_{k−1}(b | h')) / (count(h) + d(h)),    P_0 = 1/256
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from orionlm.synth.measures.estimate import LEVEL, Estimate, unknown

Array = np.ndarray
T = TypeVar("T")
ORDER, DRAWS = 5, 1000
MOST = 400_000  # bytes a side: a second
FLAGS = 1 << 25  # a flag for each number is faster than sorting, as long as there are no more


class Counts:
    """How often each byte stands after each context of 0 … `order` bytes in any of `texts`.

    Contexts and bytes are numbered once, over all the texts; a model of some of them is then a matter of counting.
    """

    def __init__(self, texts: Sequence[str], order: int = ORDER) -> None:
        raw = _joined(texts, order)
        self.order = order
        self.sizes = np.array([len(text.encode()) for text in texts], np.int64)
        # Of each byte past the first `order` (a text's own, then the zeros after it): which text's, and its context of
        # 0 … `order` bytes, and that with the byte, as numbers from 0.
        self.text = np.repeat(np.arange(len(texts)), self.sizes + order)
        self.numbers: list[tuple[Array, Array]] = []
        letter, letters = _numbered(raw.astype(np.int64), 256)
        context, contexts = np.zeros(len(raw), np.int64), 1  # of every byte; what is before the first is no context's
        for _ in range(order + 1):
            gram, grams = _numbered(context * letters + letter, contexts * letters)
            self.numbers.append((context[order:], gram[order:]))
            context, contexts = np.append(grams, gram[:-1]), grams + 1

    def bits(self, read: Array, foretold: Array) -> Array:
        """Bits per byte of each of the texts `foretold`, NaN of an empty one, by the model of the texts `read`; either
        a flag a text, (texts,)."""
        known, asked = np.flatnonzero(read[self.text]), np.flatnonzero(foretold[self.text])
        chance = np.full(len(asked), 1 / 256)
        for contexts, grams in self.numbers:
            count = np.bincount(grams[known], minlength=int(grams.max(initial=0)) + 1)
            kinds = int(contexts.max(initial=0)) + 1
            total = np.bincount(contexts[known], minlength=kinds)
            here = np.zeros(len(count), np.int64)  # the context that each gram begins with
            here[grams[known]] = contexts[known]
            different = np.bincount(here[count > 0], minlength=kinds)
            at = contexts[asked]
            seen = total[at] > 0
            gram, at = grams[asked][seen], at[seen]
            chance[seen] = (count[gram] + different[at] * chance[seen]) / (total[at] + different[at])
        sizes = self.sizes[foretold]
        # A text's own bytes; the zeros after it are context alone.
        spent = np.concatenate([[0.0], np.cumsum(-np.log2(chance))])
        starts = np.cumsum(sizes + self.order) - sizes - self.order
        with np.errstate(divide="ignore", invalid="ignore"):
            return (spent[starts + sizes] - spent[starts]) / sizes


@dataclass(frozen=True)
class Worth:
    """`doublings` of genuine text that all the rows teach, 1 for as much as twice the documents would; `share` of what
    as many bytes of genuine text would, log₂(1 + bytes of rows / bytes of text)."""

    doublings: Estimate
    share: Estimate


def worth(
    real: Sequence[str], groups: Sequence[str], rows: Sequence[str], owners: Sequence[Sequence[str]], seed: int = 0
) -> Worth:
    """What do `rows` teach beside these genuine texts?

    The documents of `real` (`groups`, one for each text) are cut in four. The model reads the first part, the first
    two, or these and the rows, and foretells the other two; then the halves change places. The unit is the bits that
    the second part saves. A row does not count where one of its `owners`, the documents it came from, is to be
    foretold. Intervals are over documents (bootstrap); at most `MOST` bytes a side.
    """
    rng = np.random.default_rng([seed, 40])
    texts, names = _some(real, groups, rng)
    written, origins = _some(rows, owners, rng)
    documents, codes = np.unique(np.array(names, object).astype(str), return_inverse=True)
    if len(documents) < 8 or not written:
        return Worth(unknown(len(documents)), unknown(len(documents)))
    part = rng.permutation(len(documents))[codes] % 4  # of each text: parts 0 and 1 are a half, 2 and 3 the other
    counts, nothing = Counts([*texts, *written]), np.zeros(len(written), bool)
    saved: list[Array] = []
    more: list[float] = []
    for half in (0, 2):
        foretold = (part // 2) != half // 2
        own = set(documents[np.unique(codes[foretold])])
        few, known = (np.append((half <= part) & (part <= half + at), nothing) for at in (0, 1))
        beside = np.append(np.zeros(len(texts), bool), [not own.intersection(seeds) for seeds in origins])
        more.append(float(counts.sizes[beside].sum() / counts.sizes[known].sum()))
        unseen = np.append(foretold, nothing)
        before, alone, after = (counts.bits(read, unseen) for read in (few, known, known | beside))
        sizes, where = counts.sizes[unseen].astype(float), codes[foretold]
        for code in np.unique(where):
            inside = where == code
            weight = sizes[inside] / sizes[inside].sum()
            saved.append(np.array([(alone - after)[inside] @ weight, (before - alone)[inside] @ weight]))
    pairs = np.array(saved)
    drawn = pairs[rng.integers(0, len(pairs), (DRAWS, len(pairs)))].mean(1)
    if pairs[:, 1].mean() <= 0 or (drawn[:, 1] <= 0).mean() > 0.01 or not any(more):
        return Worth(
            unknown(len(pairs)), unknown(len(pairs))
        )  # not even genuine text of other documents tells anything
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value, full = pairs[:, 0].mean() / pairs[:, 1].mean(), np.mean(np.log2(1 + np.array(more)))
    return Worth(*(Estimate(float(value / by), float(low / by), float(high / by), len(pairs)) for by in (1, full)))


def _some(texts: Sequence[str], beside: Sequence[T], rng: np.random.Generator) -> tuple[list[str], list[T]]:
    """At most `MOST` bytes of texts that are not empty, drawn, with what stands beside each."""
    kept, others, size = [], [], 0
    for place in rng.permutation(len(texts)):
        if size < MOST and texts[place]:
            kept.append(texts[place])
            others.append(beside[place])
            size += len(texts[place].encode())
    return kept, others


def _numbered(values: Array, kinds: int) -> tuple[Array, int]:
    """The values, of 0 … `kinds` − 1, numbered without gaps, and how many different ones there are."""
    if kinds > FLAGS:
        found, numbers = np.unique(values, return_inverse=True)
        return numbers, len(found)
    there = np.zeros(kinds, bool)
    there[values] = True
    found = np.flatnonzero(there)
    number = np.empty(kinds, np.int32)
    number[found] = np.arange(len(found))
    return number[values].astype(np.int64), len(found)


def _joined(texts: Sequence[str], order: int) -> Array:
    """All bytes, `order` zeros before each text and after the last."""
    gap = bytes(order)
    return np.frombuffer(gap + b"".join(text.encode() + gap for text in texts), np.uint8)

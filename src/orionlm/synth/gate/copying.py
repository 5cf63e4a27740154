"""Does a row repeat genuine text instead of writing its own?

A fifth of a copy stands in runs of 40 words and signs or more that its seed or a real text has too (Carlini et al.
2202.07646 and Lee et al. 2107.06499 look for 50 subword tokens, about as much), or, where it is meant to look like real
text, half of its runs of five come from one real text (70% from its own seed). What stands in more than three real
texts is nobody's: a licence, a form. Real texts copy one another too: each is held against the others in the same way,
and only the excess counts. A row in another declared format may keep sentences of its seed, between which its marks
stand: there half of it has to lie in long runs. A row that goes on from a few given words, its seed, is judged without
them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orionlm.synth.gate.content import Tokens
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import CERTAIN, Measure, more_often

Array = np.ndarray
FAULT = "copying of seeds"
RUN, SHORT = 40, 5  # words and signs
PART, MOSTLY = 0.2, 0.5  # of a row; of one in a declared format
NEAR, NEAR_SEED = 0.5, 0.7
COMMON = 3  # real texts
BEGINNING, LONGER = 400, 1.3  # characters that a row may be given; how much longer the row then is
MARGIN = 0.18  # of rows; real against held-out real reaches ±.06, with its interval .17 (200 a side, much alike)
SEED_MARGIN = 0.08  # of rows: no real text copies a seed


class Known:
    """The runs of real texts, and in how many texts each stands; `owner` where it is one."""

    def __init__(self, tokens: Tokens, n: int) -> None:
        gram, text = tokens.pairs(n)
        first = np.flatnonzero(np.append(True, gram[1:] != gram[:-1])[: len(gram)])
        self.grams = gram[first]
        self.texts = np.diff(np.append(first, len(gram)))
        self.low = np.minimum.reduceat(text, first) if len(first) else text
        self.high = np.maximum.reduceat(text, first) if len(first) else text

    def find(self, grams: Array) -> Array:
        """The place of each run, −1 where it is unknown."""
        if not len(self.grams):
            return np.full(len(grams), -1)
        place = np.minimum(np.searchsorted(self.grams, grams), len(self.grams) - 1)
        return np.where(self.grams[place] == grams, place, -1)


def long_runs(known: Known, tokens: Tokens, own: bool) -> Array:
    """The share of each text in long runs of a few real ones; `own`: they are those texts, and do not count twice."""
    gram, text = tokens.runs(RUN)
    place = known.find(gram)
    others = np.where(place >= 0, known.texts[place] - own, 0) if len(known.grams) else np.zeros(len(gram), int)
    return covered(tokens, text, (others >= 1) & (others <= COMMON))


def covered(tokens: Tokens, text: Array, hit: Array) -> Array:
    """The share of each text's words that stand in long runs, of which `hit` (of `text`) are known."""
    count = np.bincount(text, minlength=len(tokens))
    start = tokens.begins[text] + np.arange(len(text)) - (np.cumsum(count) - count)[text]
    inside = np.zeros(len(tokens.digests) + 1, np.int64)
    np.add.at(inside, start[hit], 1)
    np.add.at(inside, start[hit] + RUN, -1)
    within = np.concatenate([[0], np.cumsum(np.cumsum(inside[:-1]) > 0)])
    return (within[tokens.begins[1:]] - within[tokens.begins[:-1]]) / np.maximum(tokens.lengths, 1)


def share_of_one(known: Known, tokens: Tokens, own: bool) -> Array:
    """The largest share of each text's short runs that one real text, and no other, has too."""
    gram, text = tokens.pairs(SHORT)
    total = np.bincount(text, minlength=len(tokens))
    if not len(known.grams):
        return np.zeros(len(tokens))
    place = known.find(gram)
    keep = (place >= 0) & (known.texts[place] == 1 + own)
    text, place = text[keep], place[keep]
    owner = np.where(known.low[place] == text, known.high[place], known.low[place]) if own else known.low[place]
    pair, count = np.unique(text * (int(owner.max(initial=0)) + 1) + owner, return_counts=True)
    most = np.zeros(len(tokens))
    np.maximum.at(most, pair // (int(owner.max(initial=0)) + 1), count)
    return most / np.maximum(total, 1)


def of_own_seed(rows: Tokens, seeds: Sequence[str], as_real: Array) -> Array:
    """Which rows copy the text they were written from."""
    shown = Tokens(seeds)
    mix = np.uint64(0x9E3779B97F4A7C15)
    gram, text = rows.runs(RUN)
    seed_gram, seed = shown.runs(RUN)
    same = np.isin(gram ^ (text.astype(np.uint64) * mix), seed_gram ^ (seed.astype(np.uint64) * mix))
    run = covered(rows, text, same)
    gram, text = rows.pairs(SHORT)
    seed_gram, seed = shown.pairs(SHORT)
    same = np.isin(gram ^ (text.astype(np.uint64) * mix), seed_gram ^ (seed.astype(np.uint64) * mix))
    total = np.bincount(text, minlength=len(rows))
    share = np.bincount(text[same], minlength=len(rows)) / np.maximum(total, 1)
    return (run >= np.where(as_real, PART, MOSTLY)) | (as_real & (share >= NEAR_SEED))


def written(text: str, seed: str, passage: int = 0) -> str:
    """What a row says after the beginning that it was given, or the characters of the passage that it follows."""
    if passage:
        return text[passage:]
    given = 0 < len(seed) <= BEGINNING and len(text) >= LONGER * len(seed) and text.startswith(seed)
    return text[len(seed) :] if given else text


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    own_words = [
        written(text, seed, int(row.more.get("given", 0)))
        for text, seed, row in zip(sides.rows, sides.seeds, sides.given, strict=True)
    ]
    real, rows = sides.real_tokens, sides.tokens(own_words)
    long, short = Known(real, RUN), Known(real, SHORT)
    least = np.where(sides.as_real, PART, MOSTLY)
    by_real = (long_runs(long, real, True) >= PART) | (share_of_one(short, real, True) >= NEAR)
    in_runs, of_one = long_runs(long, rows, False), share_of_one(short, rows, False) * sides.as_real
    by_row = (in_runs >= least) | (of_one >= NEAR)
    seeded = any(sides.seeds)
    by_seed = of_own_seed(rows, sides.seeds, sides.as_real) if seeded else np.zeros(len(rows), bool)
    found = [more_often("copies of real text", FAULT, by_row, by_real, MARGIN, owners=sides.owners())]
    if seeded:
        # A real text has no seed to copy: the share itself counts.
        none = np.zeros(len(real), bool)
        found.append(more_often("copies of the seed", FAULT, by_seed, none, SEED_MARGIN, owners=sides.owners()))
    return found, np.where(by_seed, CERTAIN, by_row * np.maximum(in_runs, of_one))

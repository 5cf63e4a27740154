"""Which of many short texts, the parts, stand in another text: word for word, or near enough?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from orionlm.data.decontamination.readings import (
    LOOKBACK,
    Known,
    Letters,
    Units,
    codes,
    letters,
    sequences,
    tokens,
    words,
)

BLOCK = 1 << 17  # characters read at once
LAP = 1 << 13  # by which the blocks of a long text overlap
SHARED = 10  # groups of parts: what stands in more of them is their form
SEED = 16  # letters that are looked up; what stands around them is then compared
IN_A_ROW = 50  # letters that are enough for any part
SHORTEST = 5  # words: a part with fewer cannot be told from chance
# Of parts with a question in them, and of answers alone: these must be longer, and tell more, to be told from others.
SHORT = 20, 36  # letters: half of a short part is enough, but no fewer than these
TELLING = 3, 4  # telling words among them
_SEPARATOR = "\x1f" * LOOKBACK
_HITS = 1 << 12  # compared at once


class Rows(NamedTuple):
    """What was found, in columns: which text, which part, where, and which `place` of a search's `places`."""

    text: np.ndarray
    part: np.ndarray
    start: np.ndarray
    end: np.ndarray
    place: np.ndarray

    @classmethod
    def none(cls) -> Rows:
        return cls(*(np.empty(0, np.int64) for _ in cls._fields))


class Block:
    """Texts or pieces of texts, read together: (number of the text, where the piece begins in it, piece)."""

    def __init__(self, pieces: Sequence[tuple[int, int, str]]) -> None:
        sizes = np.array([len(piece) for _, _, piece in pieces], np.int64)
        self.ends = np.cumsum(sizes + len(_SEPARATOR)) - len(_SEPARATOR)
        self.starts = self.ends - sizes
        self.text = np.array([number for number, _, _ in pieces], np.int64)
        self._shift = np.array([begin for _, begin, _ in pieces], np.int64) - self.starts
        self._characters = codes(_SEPARATOR.join(piece for _, _, piece in pieces))

    @cached_property
    def letters(self) -> Letters:
        return letters(self._characters)

    @cached_property
    def words(self) -> Units:
        return words(self.letters)

    @cached_property
    def tokens(self) -> Units:
        return tokens(self._characters)

    def bounds(self, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of each piece the first of the `places`, which are in order, and the one behind its last."""
        return np.searchsorted(places, self.starts), np.searchsorted(places, self.ends)

    def piece(self, places: np.ndarray) -> np.ndarray:
        """The number of the piece that these characters are in."""
        return np.searchsorted(self.starts, places, "right") - 1

    def rows(self, part: np.ndarray, start: np.ndarray, end: np.ndarray, place: np.ndarray) -> Rows:
        piece = self.piece(start)
        return Rows(self.text[piece], part, start + self._shift[piece], end + self._shift[piece], place)


def blocks(texts: Sequence[str]) -> Iterator[Block]:
    """All texts; a long one in pieces that overlap, and are the same whatever stands beside it."""
    waiting: dict[bool, list[tuple[int, int, str]]] = {True: [], False: []}
    sizes = {True: 0, False: 0}
    for number, text in enumerate(texts):
        for begin in range(0, max(1, len(text) - LAP), BLOCK - LAP):
            piece = text[begin : begin + BLOCK]
            narrow = piece.isascii()  # what is not takes four times the memory
            if waiting[narrow] and sizes[narrow] + len(piece) > BLOCK:
                yield Block(waiting[narrow])
                waiting[narrow], sizes[narrow] = [], 0
            waiting[narrow].append((number, begin, piece))
            sizes[narrow] += len(piece)
    for pieces in waiting.values():
        if pieces:
            yield Block(pieces)


class _Seeds:
    """Number → where it stands in the parts; without what stands in more than `SHARED` groups of parts."""

    def __init__(self, found: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]], groups: np.ndarray) -> None:
        """`found`: numbers, the part of each, its offset; `groups` of the parts."""
        numbers, part, offset = map(np.concatenate, zip(*found, strict=True))
        order = np.lexsort((groups[part], numbers))
        numbers, part, offset = numbers[order], part[order], offset[order]
        first = _changes(numbers)
        another = first | _changes(groups[part])
        kept = (np.add.reduceat(another, np.flatnonzero(first)) <= SHARED)[np.cumsum(first) - 1]
        numbers, self.part, self.offset = numbers[kept], part[kept], offset[kept]
        self._known = Known(numbers)
        self._first = np.searchsorted(numbers, self._known.numbers)
        self._count = np.diff(np.append(self._first, len(numbers)))

    def find(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `numbers` (their places) are which seeds, in pairs."""
        place, known = self._known.find(numbers)
        counts = self._count[known]
        return np.repeat(place, counts), np.repeat(self._first[known], counts) + _counted(counts)


class Verbatim:
    """As many letters in a row as each part needs, whatever stands between them: `IN_A_ROW`, of a part with fewer than
    twice as many half, of one that tells little all."""

    def __init__(self, parts: Sequence[str], asked: np.ndarray, groups: np.ndarray) -> None:
        """`asked`: which parts have a question in them; parts of one group are one item's, or share a passage."""
        self.low, self.high = np.zeros((2, len(parts)), np.int64)
        self.usable = np.zeros(len(parts), bool)
        self.letters, self.telling = np.zeros((2, len(parts)), np.int64)
        values, telling, found, begin = [], [], [], 0
        for block in blocks(parts):
            read, part = block.letters, block.text
            tells = np.zeros(len(read.values), np.int64)
            tells[np.searchsorted(read.places, block.words.starts[block.words.telling])] = 1
            low, high = block.bounds(read.places)
            starts = (block.words.starts, block.words.starts[block.words.telling])
            count, tell = (np.subtract(*block.bounds(places)[::-1]) for places in starts)
            self._need(part, asked[part], high - low, count, tell)
            self.low[part], self.high[part] = low + begin, high + begin
            used = np.flatnonzero(self.usable[part])
            stride = (self.letters[part[used]] - SEED) // 2 + 1
            counts = ((high - low)[used] - SEED) // stride + 1
            offset = np.repeat(low[used], counts) + _counted(counts) * np.repeat(stride, counts)
            found.append((read.sequences(SEED)[offset], np.repeat(part[used], counts), offset + begin))
            values.append(read.values)
            telling.append(tells)
            begin += len(read.values)
        self._values = np.pad(np.concatenate(values), IN_A_ROW + SEED)
        self._telling = np.concatenate([[0], np.cumsum(np.concatenate(telling))])
        self._seeds = _Seeds(found, groups)
        self.places = self._seeds.part

    def _need(
        self, part: np.ndarray, asked: np.ndarray, size: np.ndarray, words: np.ndarray, tells: np.ndarray
    ) -> None:
        self.telling[part] = need = np.where(asked, np.minimum(TELLING[0], tells), TELLING[1])
        half = np.clip(size // 2, np.where(asked, *SHORT), IN_A_ROW)
        self.letters[part] = enough = np.where(asked & (tells <= TELLING[0]), size, half)
        self.usable[part] = (size >= np.maximum(enough, SEED)) & (words >= SHORTEST) & (tells >= np.maximum(need, 1))

    def find(self, block: Block) -> Rows:
        read = block.letters
        places, seeds = self._seeds.find(read.sequences(SEED))
        if not len(places):
            return Rows.none()
        values = np.pad(read.values, IN_A_ROW + SEED)
        found = [
            self._around(block, values, places[begin : begin + _HITS], seeds[begin : begin + _HITS])
            for begin in range(0, len(places), _HITS)
        ]
        return Rows(*map(np.concatenate, zip(*found, strict=True)))

    def _around(self, block: Block, values: np.ndarray, at: np.ndarray, seed: np.ndarray) -> Rows:
        """Of these seeds at these letters, those with enough around them."""
        places = block.letters.places
        part, offset = self._seeds.part[seed], self._seeds.offset[seed]
        low, high = (bound[block.piece(places[at])] for bound in block.bounds(places))
        window = np.arange(0, 2 * IN_A_ROW + SEED)
        same = values[SEED + at[:, None] + window] == self._values[SEED + offset[:, None] + window]
        edge = np.zeros((len(at), 1), bool)
        before = np.argmin(np.hstack([same[:, :IN_A_ROW][:, ::-1], edge]), axis=1)
        after = np.argmin(np.hstack([same[:, IN_A_ROW:], edge]), axis=1)
        before = np.minimum(before, np.minimum(at - low, offset - self.low[part]))
        after = np.minimum(after, np.minimum(high - at, self.high[part] - offset))
        tells = self._telling[offset + after] - self._telling[offset - before]
        good = (before + after >= self.letters[part]) & (tells >= self.telling[part])
        start, end = places[(at - before)[good]], places[(at + after - 1)[good]] + 1
        return block.rows(part[good], start, end, seed[good])


class Near:
    """A share of a part's sequences of `n` units within a stretch half as long again as the part."""

    def __init__(
        self,
        read: Callable[[Block], Units],
        parts: Sequence[str],
        asked: np.ndarray,
        groups: np.ndarray,
        *,
        n: int,
        telling: int,
        least: tuple[int, int],
        share: float,
    ) -> None:
        """`telling`: units of a sequence that must tell something; `least`: sequences that are enough to tell a part
        with a question in it, and an answer alone."""
        self._read, self._n = read, n
        found, units_of = [], np.zeros(len(parts), np.int64)
        for block in blocks(parts):
            units = read(block)
            numbers, piece = sequences(units.numbers, n), block.piece(units.starts)
            begin = np.arange(len(numbers))
            tells = np.concatenate([[0], np.cumsum(units.telling)])
            good = (piece[begin] == piece[begin + n - 1]) & (tells[begin + n] - tells[begin] >= telling)
            part, numbers = block.text[piece[begin[good]]], numbers[good]
            order = np.lexsort((numbers, part))
            once = order[_changes(part[order]) | _changes(numbers[order])]
            found.append((numbers[once], part[once], once))
            units_of[block.text] = np.bincount(piece, minlength=len(block.text))
        self._seeds = _Seeds(found, groups)
        size, enough = np.bincount(self._seeds.part, minlength=len(parts)), np.where(asked, *least)
        self.usable = size >= enough
        self._need = np.maximum(enough, np.ceil(share * size)).astype(np.int64)
        self._stretch = units_of + units_of // 2
        self._gap = int(self._stretch.max(initial=0)) + 1
        self.places = np.arange(len(parts))

    def find(self, block: Block) -> Rows:
        units = self._read(block)
        unit, seed = self._seeds.find(sequences(units.numbers, self._n))
        within = block.piece(units.starts[unit]) == block.piece(units.starts[unit + self._n - 1])
        unit, seed = unit[within], seed[within]
        part = self._seeds.part[seed]
        likely = np.bincount(part, minlength=len(self._need))[part] >= self._need[part]
        unit, seed, part = unit[likely], seed[likely], part[likely]
        if not len(unit):
            return Rows.none()
        # Pieces are set so far apart that no stretch reaches from one into the next.
        place = unit + block.piece(units.starts[unit]) * self._gap
        order = np.lexsort((place, seed))
        again = ~_changes(seed[order])
        again[1:] &= np.diff(place[order]) <= self._stretch[part[order][1:]]
        once = order[~again]
        once = once[np.lexsort((place[once], part[once]))]
        unit, part, place = unit[once], part[once], place[once]
        line = part * (int(place.max()) + self._gap + 1) + place
        last = np.searchsorted(line, line + self._stretch[part], "right") - 1
        dense = np.flatnonzero(last - np.arange(len(line)) + 1 >= self._need[part])
        if not len(dense):
            return Rows.none()
        reach = np.maximum.accumulate(last[dense])
        first = np.append(True, dense[1:] > reach[:-1])
        first, final = dense[first], reach[np.append(np.flatnonzero(first)[1:] - 1, len(dense) - 1)]
        return block.rows(part[first], units.starts[unit[first]], units.ends[unit[final] + self._n - 1], part[first])


def _changes(values: np.ndarray) -> np.ndarray:
    """Where a value differs from the one before; the first does."""
    changes = np.ones(len(values), bool)
    np.not_equal(values[1:], values[:-1], out=changes[1:])
    return changes


def _counted(counts: np.ndarray) -> np.ndarray:
    """0, 1, … up to each count: [2, 3] gives 0 1 0 1 2."""
    ends = np.cumsum(counts)
    return np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - counts, counts)

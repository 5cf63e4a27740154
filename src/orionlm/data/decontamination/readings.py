"""What is left of a text when case, spacing, punctuation, or a program's names do not count? Arrays of numbers.

Everything is a few passes of numpy over the characters, and each number is the same in every process. Sequences are
compared by a polynomial modulo 2⁶⁴: with M's inverse, Σ vᵢ M⁻ⁱ summed once serves sequences of any length and place.
"""

from __future__ import annotations

import builtins
import keyword
import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LOOKBACK = 16  # tokens within which a name used again is known to be the same
_MULTIPLIER = 0x9E3779B97F4A7C15  # odd, so that it has an inverse modulo 2⁶⁴
_POINTS = 0x110000
_NAME, _USED = 1, 2  # of a character: part of a name; of a name: other than white space

# What a renamed program keeps, besides the words of Python and the methods of its types.
_KEPT = """
math sys os re random collections itertools functools typing numpy np self cls args kwargs List Dict Set Tuple Optional
Any Union Callable Iterable Sequence Counter defaultdict deque auto bool boolean break byte case catch char class const
continue default delete do double else enum extends extern final finally float for foreach fn func function goto if
implements import in include int interface let long match mut namespace new null nullptr package private protected
public pub return short sizeof static std string struct super switch template this throw true try typedef typename
typeof undefined unsigned use using var vector void while yield
"""

# English function words, and those that questions and tests are made of.
_COMMONEST = """
the of and to in a is that it for as was with be by on not he his but at are this have from or had an they which one
you were her all she there would their we him been has when who will more no if out so said what up its about into than
them can only other new some could time these two may then do first any my now such like our over man me even most made
after also did many before must through back years where much your way well down should because each just those people
how too little good very make world still own see men work long get here between both life being under never day same
another know while last might us great old year off come since against go came right used take three following
statement statements true false answer answers question questions correct choose below above none given number numbers
value values example examples note case using use does function returns list lists string strings element elements
input output result test candidate check typing
"""


def codes(text: str) -> np.ndarray:
    """The characters' code points: uint8 where all are ASCII, else uint32."""
    if text.isascii():
        return np.frombuffer(text.encode(), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)


class Units(NamedTuple):
    """Words or tokens: their numbers, where each starts and ends in the text, and which of them tell something."""

    numbers: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    telling: np.ndarray


class Letters(NamedTuple):
    """The letters and digits of a text, folded (é, É and Ｅ are e); `places`: which character each one was."""

    values: np.ndarray
    places: np.ndarray
    sums: np.ndarray

    def sequences(self, n: int) -> np.ndarray:
        """The numbers of all n letters in a row."""
        return _sequences(self.sums, n)


def letters(characters: np.ndarray) -> Letters:
    folded = _fold(characters.dtype == np.uint8)[characters]
    places = np.flatnonzero(folded)
    values = folded[places]
    return Letters(values, places, _sums(_numbers(values)))


def words(read: Letters) -> Units:
    """Letters without a gap; an ideograph is a word. Those of three letters tell something, and numbers of two digits,
    unless they are among the commonest or stood among the last eight."""
    first = np.ones(len(read.values) + 1, bool)
    np.not_equal(np.diff(read.places), 1, out=first[1:-1])
    wide = np.zeros(0, bool)
    if read.values.dtype != np.uint8:
        wide = _is_ideograph(read.values)
        first[:-1] |= wide
        first[1:] |= wide
    bounds = np.flatnonzero(first) if len(read.values) else np.zeros(1, np.int64)
    begins, ends = bounds[:-1], bounds[1:]
    numbers = _spans(read.sums, begins, ends)
    initial = read.values[begins]
    telling = (ends - begins > np.where(_is_digit(initial), 1, 2)) & ~_commonest().has(numbers)
    if len(wide):
        telling |= wide[begins]
    for back in range(1, min(9, len(numbers))):
        telling[back:] &= numbers[back:] != numbers[:-back]
    return Units(numbers, read.places[begins], read.places[ends - 1] + 1, telling)


def tokens(characters: np.ndarray) -> Units:
    """Names, numbers and signs of a program, each name told by how many tokens ago it was last used: the same whatever
    it is called. A fresh name tells nothing, nor does a single digit, a bracket, quote, comma or colon."""
    narrow = characters.dtype == np.uint8
    kinds = _kinds(narrow)[characters]
    places = np.flatnonzero(kinds)
    named = kinds[places] == _NAME
    first = np.ones(len(places) + 1, bool)
    np.not_equal(np.diff(places), 1, out=first[1:-1])
    first[:-1] |= ~named
    first[1:] |= ~named
    bounds = np.flatnonzero(first) if len(places) else np.zeros(1, np.int64)
    begins, ends = bounds[:-1], bounds[1:]
    values = _fold_signs(narrow)[characters[places]]
    numbers = _spans(_sums(_numbers(values)), begins, ends)
    initial = values[begins]
    renamable = named[begins] & ~_is_digit(initial) & ~_kept().has(numbers)
    ago = np.zeros(len(numbers), np.uint8)
    for back in range(min(LOOKBACK, len(numbers) - 1), 0, -1):
        ago[back:][numbers[back:] == numbers[:-back]] = back
    numbers[renamable] = mixed(np.arange(LOOKBACK + 1))[ago[renamable]]
    telling = (
        ~_is_form()[np.minimum(initial, 255)] & (~renamable | (ago > 0)) & (~_is_digit(initial) | (ends - begins > 1))
    )
    return Units(numbers, places[begins], places[ends - 1] + 1, telling)


def sequences(numbers: np.ndarray, n: int) -> np.ndarray:
    """The numbers of all n units in a row."""
    return _sequences(_sums(numbers), n)


class Known:
    """A set of numbers: most others are told apart by their first bits alone."""

    def __init__(self, numbers: np.ndarray) -> None:
        self.numbers = np.unique(numbers)
        bits = min(24, max(12, len(self.numbers).bit_length() + 4))
        self.shift = np.uint64(64 - bits)
        self.first = np.zeros(1 << bits, bool)
        self.first[self.numbers >> self.shift] = True

    def find(self, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which of `numbers` are known (their places), and which of the known ones they are."""
        likely = np.flatnonzero(self.first[numbers >> self.shift])
        place = np.searchsorted(self.numbers, numbers[likely])
        place[place == len(self.numbers)] = 0
        known = self.numbers[place] == numbers[likely] if len(self.numbers) else np.zeros(0, bool)
        return likely[known], place[known]

    def has(self, numbers: np.ndarray) -> np.ndarray:
        mask = np.zeros(len(numbers), bool)
        mask[self.find(numbers)[0]] = True
        return mask


def mixed(numbers: np.ndarray) -> np.ndarray:
    """SplitMix64's finaliser (Steele et al. 2014): near numbers become far ones."""
    z = numbers.astype(np.uint64) + np.uint64(_MULTIPLIER)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _numbers(values: np.ndarray) -> np.ndarray:
    return _ascii_numbers()[values] if values.dtype == np.uint8 else mixed(values)


def _sums(numbers: np.ndarray) -> np.ndarray:
    sums = np.zeros(len(numbers) + 1, np.uint64)
    np.cumsum(numbers * _powers(len(numbers))[1][: len(numbers)], dtype=np.uint64, out=sums[1:])
    return sums


def _sequences(sums: np.ndarray, n: int) -> np.ndarray:
    count = len(sums) - n
    if count <= 0:
        return np.empty(0, np.uint64)
    return mixed((sums[n:] - sums[:-n]) * _powers(count)[0][:count])


def _spans(sums: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> np.ndarray:
    return mixed((sums[ends] - sums[begins]) * _powers(len(sums))[0][begins])


def _powers(count: int) -> tuple[np.ndarray, np.ndarray]:
    """At least `count` powers of M and of its inverse."""
    return _power_tables(max(1 << 12, 1 << count.bit_length()))


@lru_cache(maxsize=4)
def _power_tables(size: int) -> tuple[np.ndarray, np.ndarray]:
    both = []
    for base in (_MULTIPLIER, pow(_MULTIPLIER, -1, 1 << 64)):
        table = np.full(size, base, np.uint64)
        table[0] = 1
        both.append(np.cumprod(table, dtype=np.uint64))
    return both[0], both[1]


@lru_cache(maxsize=1)
def _ascii_numbers() -> np.ndarray:
    return mixed(np.arange(256))


@lru_cache(maxsize=1)
def _kept() -> Known:
    methods = (name for kind in (str, bytes, list, dict, set, int, float) for name in dir(kind))
    return _known({*_KEPT.split(), *keyword.kwlist, *dir(builtins), *methods})


@lru_cache(maxsize=1)
def _commonest() -> Known:
    return _known({*_COMMONEST.split(), *keyword.kwlist, *dir(builtins)})


def _known(written: Iterable[str]) -> Known:
    read = (np.frombuffer(word.lower().encode(), np.uint8) for word in sorted(written) if word.isascii())
    return Known(np.concatenate([_spans(_sums(_numbers(word)), *np.array([[0], [len(word)]])) for word in read]))


@lru_cache(maxsize=2)
def _fold(narrow: bool) -> np.ndarray:
    """Code point → its letter or digit without case, accent and width; 0: neither."""
    if narrow:
        return _fold(False)[:256].astype(np.uint8)
    table = np.zeros(_POINTS, np.uint32)
    for point in filter(lambda point: chr(point).isalnum(), range(_POINTS)):
        if point < 0x3400 or 0xA000 <= point < 0xAC00 or 0xF900 <= point < 0x20000:  # others fold to themselves
            base = unicodedata.normalize("NFKD", chr(point)).lower()
            base = next((one for one in unicodedata.normalize("NFKD", base) if one.isalnum()), chr(point))
            table[point] = ord(base)
        else:
            table[point] = point
    return table


@lru_cache(maxsize=2)
def _fold_signs(narrow: bool) -> np.ndarray:
    """The same, with what is neither letter nor digit as it is."""
    table = _fold(narrow)
    return np.where(table == 0, np.arange(len(table), dtype=table.dtype), table)


@lru_cache(maxsize=2)
def _kinds(narrow: bool) -> np.ndarray:
    letters = _fold(narrow) != 0
    letters[ord("_")] = True
    spaces = np.zeros(len(letters), bool)
    for point in range(0x3001):
        if point < len(spaces) and chr(point).isspace() and chr(point) not in "\x1c\x1d\x1e\x1f":
            spaces[point] = True
    return np.where(letters, _NAME, np.where(spaces, 0, _USED)).astype(np.uint8)


@lru_cache(maxsize=1)
def _is_form() -> np.ndarray:
    return np.isin(np.arange(256), np.frombuffer(b"()[]{}\"'`,:;.#\x1f", np.uint8))


def _is_digit(values: np.ndarray) -> np.ndarray:
    return (values >= ord("0")) & (values <= ord("9"))


def _is_ideograph(values: np.ndarray) -> np.ndarray:
    """Of scripts without spaces between words: Chinese, Japanese, Thai, Lao, Burmese, Khmer."""
    return (
        ((values >= 0x3040) & (values < 0xA000))
        | ((values >= 0xF900) & (values < 0xFB00))
        | ((values >= 0x20000) & (values < 0x32000))
        | ((values >= 0x0E00) & (values < 0x0F00))
        | ((values >= 0x1000) & (values < 0x10A0))
        | ((values >= 0x1780) & (values < 0x1800))
    )

"""What does a text say, without the form it says it in? And as which numbers is it compared?

Format is what a declared target may change: marks of lists, headings, tables, turns of a dialogue, emphasis, fences.
What is left is compared by its words; names of programs are cut into theirs, numbers say nothing.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix, diags_array

from orionlm.synth.measures.grams import hashed_tokens, runs

Array = np.ndarray
LONGEST = 1 << 17  # characters of a text that are looked at
_FENCE = re.compile(r"^[ \t]*(?:```|~~~).*$", re.M)
_LEAD = re.compile(
    r"^[ \t]*(?:[-*+•‣–][ \t]+|\d{1,3}[.)][ \t]+|#{1,6}[ \t]+|>[ \t]?|\|[ \t]*|"
    r"(?:Q|A|Question|Answer|User|Assistant|Human|AI|Bot|Student|Teacher|Expert|Speaker|Person) ?\w{0,3} ?[:.][ \t]*)+",
    re.M | re.I,
)
_RULE = re.compile(r"^[-=*_~`#|:+ \t^\"'.]{3,}$", re.M)
_SIGNS = re.compile(r"\*\*|__(?!\w+__)|`{1,3}|\s\|\s|\|\s*$", re.M)
_QUESTION = re.compile(r"^.*\?[\s*]*$", re.M)
_WORD = re.compile(r"[^\W\d_]{2,}")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_HAN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


def plain(text: str) -> str:
    """The text without the marks of its format."""
    for pattern in (_FENCE, _RULE, _LEAD):
        text = pattern.sub("", text)
    return _SIGNS.sub(" ", text)


def said(text: str, format: str) -> str:
    """What a row in a declared format says: without the questions that a list of questions is made of."""
    if format == "as real":
        return text
    return plain(_QUESTION.sub("", text) if format == "faq" else text)


def words(text: str) -> list[str]:
    """What it speaks of: words in lower case, parts of names apart, signs of scripts without spaces one by one."""
    text = plain(text)
    found = [word.lower() for word in _WORD.findall(text if text.islower() else _HUMP.sub(" ", text))]
    if not _HAN.search(text):
        return found
    return [part for word in found for part in (_HAN.findall(word) if _HAN.search(word) else (word,))]


class Tokens:
    """Texts as sequences of numbers: the same word is the same number everywhere (`measures.grams`)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.digests, self.begins = hashed_tokens(texts)
        self._runs: dict[int, tuple[Array, Array]] = {}

    def __len__(self) -> int:
        return len(self.begins) - 1

    @property
    def lengths(self) -> Array:
        return np.diff(self.begins)

    def runs(self, n: int) -> tuple[Array, Array]:
        """Every n tokens in a row as one number, and the text each is in."""
        if n not in self._runs:
            self._runs[n] = runs(self.digests, self.begins, n)
        return self._runs[n]

    def pairs(self, n: int) -> tuple[Array, Array]:
        """Different (n tokens in a row, text) pairs, ordered by the first."""
        gram, text = self.runs(n)
        order = np.lexsort((text, gram))
        gram, text = gram[order], text[order]
        first = np.ones(len(gram), bool)
        first[1:] = (gram[1:] != gram[:-1]) | (text[1:] != text[:-1])
        return gram[first], text[first]


class Vocabulary:
    """The words of real texts and rows together, weighed so that those common to both say little.

    tf-idf with 1 + ln(tf) and ln((1 + n)/(1 + df)), rows of length 1 (Salton & Buckley 1988). A word in more than a
    fifth of the real texts is left out; one in as many rows is not, or rows that all say the same would say nothing.
    """

    def __init__(self, real: Sequence[Sequence[str]], rows: Sequence[Sequence[str]]) -> None:
        """Texts as the words of each."""
        known: dict[str, int] = {}
        index: list[int] = []
        begins = [0]
        for text in (*real, *rows):
            index += [known.setdefault(word, len(known)) for word in text]
            begins.append(len(index))
        counts = csr_matrix(
            (np.ones(len(index)), np.array(index, np.int64), np.array(begins, np.int64)),
            (len(begins) - 1, max(1, len(known))),
        )
        counts.sum_duplicates()
        self.counts, self.cut = counts, len(real)

    @cached_property
    def weighed(self) -> csr_matrix:
        counts = self.counts.copy()
        n = counts.shape[0]
        held = np.bincount(counts.indices, minlength=counts.shape[1])
        common = np.bincount(counts[: self.cut].indices, minlength=counts.shape[1]) > max(2, self.cut / 5)
        weight = np.where(common, 0.0, np.log((1 + n) / (1 + held)))
        counts.data = (1 + np.log(counts.data)) * weight[counts.indices]
        norm = np.sqrt(np.asarray(counts.multiply(counts).sum(1)).ravel())
        return csr_matrix(diags_array(1 / np.where(norm > 0, norm, 1.0)) @ counts)

    @property
    def real(self) -> csr_matrix:
        return self.weighed[: self.cut]

    @property
    def rows(self) -> csr_matrix:
        return self.weighed[self.cut :]

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.quality import ngrams

EVERY = dict.fromkeys((*ngrams.TOP, *ngrams.DUPLICATE), -1.0)


def top(words: list[str], n: int) -> float:
    """The definition, one n-gram at a time."""
    counts = Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    repeated = [(count, sum(map(len, gram))) for gram, count in counts.items() if count > 1]
    count, characters = max(repeated, default=(0, 0))
    return min(1.0, count * characters / max(1, sum(map(len, words))))


def duplicate(words: list[str], n: int) -> float:
    seen, covered = set(), set()
    for at in range(len(words) - n + 1):
        gram = tuple(words[at : at + n])
        if gram in seen:
            covered.update(range(at, at + n))
        seen.add(gram)
    return sum(len(words[at]) for at in covered) / max(1, sum(map(len, words)))


words = st.lists(st.sampled_from(["a", "bb", "ccc", "d", "é"]), max_size=60)


@given(st.lists(words, max_size=8), st.sampled_from([*ngrams.TOP, *ngrams.DUPLICATE]))
def test_shares_are_those_of_the_definition_document_by_document(documents, n):
    expected = {at: (top if n in ngrams.TOP else duplicate)(held, n) for at, held in enumerate(documents)}
    found = ngrams.repeated(documents, dict.fromkeys(EVERY, 2.0) | {n: 0.0})
    assert {at: one.share for at, one in found.items()} == pytest.approx({a: s for a, s in expected.items() if s > 0})
    assert all(one.n == n for one in found.values())


@given(st.lists(words, max_size=6), st.lists(words, max_size=6))
def test_what_a_document_is_found_for_does_not_depend_on_the_others(before, after):
    words = ["to", "be", "or", "not", "to", "be", "or", "not", "to", "be", "that", "is"]
    alone = ngrams.repeated([words], EVERY)[0]
    assert ngrams.repeated([*before, words, *after], EVERY)[len(before)] == alone


def test_the_example_is_where_a_repeated_ngram_stands():
    words = ["one", "two", "three", "four", "five", "x", "one", "two", "three", "four", "five", "y"]
    found = ngrams.repeated([["z"] * 3, words], dict.fromkeys(EVERY, 2.0) | {5: 0.1})
    assert words[found[1].example :][:5] == ["one", "two", "three", "four", "five"]


def test_the_smallest_n_above_its_limit_is_named():
    words = ["a", "b", "c", "d", "e", "f"] * 5
    assert ngrams.repeated([words], EVERY)[0].n == 2
    assert ngrams.repeated([words], dict.fromkeys(EVERY, 2.0) | {7: 0.5, 9: 0.5})[0].n == 7


def test_documents_without_words_are_never_found():
    assert ngrams.repeated([], EVERY) == {}
    assert ngrams.repeated([[], []], EVERY) == {}
    assert ngrams.repeated([["a"]], EVERY) == {}

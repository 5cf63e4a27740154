import hashlib
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.measures.grams import hashed_counts, hashed_tokens, held, tokens


def digest(word):
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def buckets_of(words, size):
    """As the docstring defines them, one by one."""
    first = [digest(word) for word in words]
    pairs = [(a * 0x9E3779B97F4A7C15 + b) % 2**64 for a, b in zip(first, first[1:], strict=False)]
    return Counter(each % size for each in first + pairs)


def test_a_token_is_a_run_of_letters_or_of_signs_or_one_chinese_sign():
    assert tokens("Hello, World! x_1 == 2") == ["hello", ",", "world", "!", "x_1", "==", "2"]
    assert tokens("日本 text ナ") == ["日", "本", "text", "ナ"]
    assert tokens(" \n\t") == []


@given(st.lists(st.lists(st.sampled_from(["a", "b", "cat", "."]), max_size=9), max_size=6), st.integers(1, 50))
def test_counts_are_of_hashed_words_and_pairs_and_pairs_do_not_cross_texts(texts, size):
    found = hashed_counts([" ".join(words) for words in texts], size).toarray()
    assert found.shape == (len(texts), size)
    for row, words in zip(found, texts, strict=True):
        assert {at: n for at, n in enumerate(row) if n} == dict(buckets_of(words, size))


def test_who_holds_an_n_gram_and_how_often_the_others_do():
    found = held(*hashed_tokens(["a a a b", "a a", "c", ""]), 1)
    rows = sorted(np.stack([found.row, found.count, found.others, found.holders], 1).tolist())
    assert rows == [[0, 1, 0, 1], [0, 3, 2, 2], [1, 2, 3, 2], [2, 1, 0, 1]]
    assert found.grams == 3 and found.total.tolist() == [4, 2, 1, 0]
    assert np.array_equal(held(*hashed_tokens([]), 2).total, [])

from __future__ import annotations

import hashlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.ingest import exact
from orionlm.data.ingest.exact import copies, name_key, occurrences, text_digest

LINES = st.text(alphabet=" \t\n\r\x0b\x85\u2028abé😀", max_size=60)


def plainly(text: str) -> bytes | None:
    """The definition, on the whole text at once."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    bare = "\n".join([line.rstrip() for line in lines]).rstrip()
    return hashlib.sha256(bare.encode()).digest() if bare else None


@given(LINES, st.integers(1, 12))
def test_a_long_text_taken_in_pieces_has_the_digest_of_the_whole(text: str, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "PIECE", piece)
        assert text_digest(text) == plainly(text)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2))))
def test_every_repetition_but_the_first_is_a_copy(pairs: list[tuple[int, int]]) -> None:
    # Keys whose first halves agree by chance do not occur in the field; here they do, and cost at most a missed copy.
    first, second = (np.array([pair[half] for pair in pairs], np.uint64) for half in (0, 1))
    found = copies(first, second)
    seen: set[tuple[int, int]] = set()
    for pair, copy in zip(pairs, found, strict=True):
        assert not copy or pair in seen
        seen.add(pair)
    assert copies(first, first).sum() == len(pairs) - len(set(first.tolist()))


def test_copies_are_found_across_the_blocks_they_are_compared_in(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = np.random.default_rng(1).integers(0, 50, 1000).astype(np.uint64)
    whole = copies(keys, keys)
    monkeypatch.setattr(exact, "BLOCK", 7)
    assert (copies(keys, keys) == whole).all()


@given(st.lists(st.integers(0, 5)))
def test_occurrences_count_those_before(keys: list[int]) -> None:
    seen: Counter[int] = Counter()
    expected = []
    for place, key in enumerate(keys):
        if seen[key]:
            expected.append((place, seen[key]))
        seen[key] += 1
    assert list(occurrences(np.array(keys, np.uint64))) == expected


def test_names_are_ordered_as_their_digests_are() -> None:
    names = [f"package-{number}" for number in range(200)]
    assert sorted(names, key=name_key) == sorted(names, key=lambda name: hashlib.sha256(name.encode()).digest())

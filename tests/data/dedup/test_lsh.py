"""Which documents stay, given their signatures."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.data.dedup import lsh
from orionlm.data.dedup.lsh import Settings, near_copies

PERMUTATIONS = 128


def random_signatures(count: int, seed: int, permutations: int = PERMUTATIONS) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2**32, (count, permutations), np.uint32)


def copy_of(signature: np.ndarray, equal: float, draw: np.random.Generator) -> np.ndarray:
    changed = draw.permutation(len(signature))[round(equal * len(signature)) :]
    copy = signature.copy()
    copy[changed] = draw.integers(0, 2**32, len(changed), np.uint32)
    return copy


def with_families(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Signatures, and the number of the family each belongs to: one to five, nine in ten equal to the first."""
    draw = np.random.default_rng(seed)
    rows, family = [], []
    for number in range(int(draw.integers(1, 30))):
        first = random_signatures(1, 1000 * seed + number)[0]
        for copy in range(int(draw.integers(1, 6))):
            rows.append(copy_of(first, 0.95, draw) if copy else first)
            family.append(number)
    order = draw.permutation(len(rows))
    return np.array(rows)[order], np.array(family)[order]


@pytest.fixture(scope="module")
def keeper(tmp_path_factory):
    """`near_copies` of signatures in memory, cut into files at `cuts`."""
    folder = tmp_path_factory.mktemp("signatures")

    def run(signatures, sizes=None, protected=0, cuts=(), **given):
        files = []
        for number, part in enumerate(np.split(signatures, sorted(cuts))):
            files.append(folder / f"{number}.npy")
            np.save(files[-1], part)
        sizes = np.full(len(signatures), 100) if sizes is None else sizes
        found = near_copies(files, sizes, protected, Settings(**given))
        assert found.dtype == np.int64 and np.array_equal(found[found], found)
        return found

    return run


@given(seed=st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_of_each_family_the_first_document_stays(keeper, seed):
    signatures, family = with_families(seed)
    firsts = np.unique(family, return_index=True)[1]
    assert np.array_equal(keeper(signatures), firsts[family])


@given(seed=st.integers(0, 10_000), count=st.integers(0, 300))
@settings(max_examples=30, deadline=None)
def test_unrelated_documents_all_stay(keeper, seed, count):
    assert np.array_equal(keeper(random_signatures(count, seed)), np.arange(count))


@given(seed=st.integers(0, 10_000), data=st.data())
@settings(max_examples=30, deadline=None)
def test_which_stay_of_the_longest_does_not_depend_on_their_order(keeper, seed, data):
    signatures, family = with_families(seed)
    sizes = np.random.default_rng(seed).integers(1, 4, len(signatures))
    order = np.array(data.draw(st.permutations(range(len(signatures)))))
    before = keeper(signatures, sizes, keep="longest")
    after = keeper(signatures[order], sizes[order], keep="longest")
    assert set(order[after].tolist()) == set(before.tolist())
    for number in np.unique(family):
        members = np.flatnonzero(family == number)
        assert len(set(before[members])) == 1
        assert sizes[before[members[0]]] == sizes[members].max()


@given(seed=st.integers(0, 10_000), data=st.data(), keep=st.sampled_from(("first", "longest")))
@settings(max_examples=30, deadline=None)
def test_protected_documents_stay_and_their_copies_go(keeper, seed, data, keep):
    signatures, family = with_families(seed)
    protected = data.draw(st.integers(0, len(signatures)))
    sizes = np.random.default_rng(seed).integers(1, 1000, len(signatures))
    found = keeper(signatures, sizes, protected, keep=keep)
    assert np.array_equal(found[:protected], np.arange(protected))
    safe = set(family[:protected].tolist())
    for number in range(protected, len(signatures)):
        if family[number] in safe:
            assert found[number] < protected and family[found[number]] == family[number]


@given(seed=st.integers(0, 10_000), cuts=st.lists(st.integers(0, 40), max_size=5), held=st.sampled_from((1, 3000)))
@settings(max_examples=20, deadline=None)
def test_files_chunks_and_what_fits_in_memory_change_nothing(keeper, seed, cuts, held):
    signatures, _ = with_families(seed)
    whole = keeper(signatures)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lsh, "KEY_BYTES", held)
        patch.setattr(lsh, "CHUNK", 7)
        assert np.array_equal(keeper(signatures, cuts=[min(cut, len(signatures)) for cut in cuts]), whole)


def test_copies_of_copies_are_copies(keeper):
    """Each differs from the one before in 16 of 128 numbers of its own: only neighbours are alike."""
    rows = [random_signatures(1, 0)[0]]
    for step in range(6):
        rows.append(rows[-1].copy())
        rows[-1][16 * step : 16 * step + 16] = random_signatures(1, step + 1)[0][:16]
    assert (rows[0] == rows[-1]).mean() < 0.5
    signatures = np.array(rows)[[3, 6, 0, 5, 1, 4, 2]]
    assert len(set(keeper(signatures, threshold=0.85).tolist())) == 1


def test_agreeing_on_a_band_is_not_enough(keeper):
    signatures = random_signatures(50, 0)
    signatures[:, 8:16] = 7
    assert np.array_equal(keeper(signatures), np.arange(50))


def test_two_families_that_agree_on_every_band_are_both_found(keeper):
    one, other = random_signatures(2, 0)
    other[::8] = one[::8]
    signatures = np.array([one, other, one, other, other, one])
    assert keeper(signatures, bands=128, rows=1).tolist() == [0, 1, 0, 1, 1, 0]


def test_the_longest_of_equal_signatures_stays_and_else_the_first(keeper):
    signatures = np.repeat(random_signatures(1, 0), 4, axis=0)
    assert keeper(signatures, np.array([5, 9, 9, 1]), keep="longest").tolist() == [1, 1, 1, 1]


def test_protected_documents_are_no_reason_for_each_other_to_go(keeper):
    signatures = np.repeat(random_signatures(1, 0), 4, axis=0)
    assert keeper(signatures, protected=2).tolist() == [0, 1, 0, 0]


def test_a_million_equal_documents_take_seconds(keeper):
    signatures = np.repeat(random_signatures(1, 0, 8), 1_000_000, axis=0)
    began = time.perf_counter()
    found = keeper(signatures, threshold=0.9, bands=2, rows=4)
    assert not found.any()
    assert time.perf_counter() - began < 30  # all pairs would take days


def test_a_million_documents_of_one_template_take_seconds(keeper):
    """One band agrees in all of them, and nothing else: not one goes, and not all pairs are looked at."""
    signatures = random_signatures(300_000, 0, 8)
    signatures[:, :4] = 1
    began = time.perf_counter()
    found = keeper(signatures, threshold=0.9, bands=2, rows=4)
    assert np.array_equal(found, np.arange(len(found)))
    assert time.perf_counter() - began < 30


def test_a_threshold_that_the_bands_would_miss_is_refused_with_bands_that_find_it():
    with pytest.raises(ValidationError, match=r"16 bands of 8 rows find 6% of pairs.*use bands = 42, rows = 3"):
        Settings(threshold=0.5)
    Settings(threshold=0.5, bands=42, rows=3)

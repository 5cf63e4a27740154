from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.loader import Loader, cut, shuffled, validation_windows
from orionlm.data.shards import TokenSet, TokenStream
from orionlm.errors import UserError

EOT = 0


def token_set(tokens: np.ndarray, shards: int = 1) -> TokenSet:
    token_bytes = np.arange(int(tokens.max(initial=0)) + 1, dtype=np.int64)
    return TokenSet(TokenStream(np.array_split(tokens, shards)), split="train", eot=EOT, token_bytes=token_bytes)


def counting(length: int, shards: int = 1) -> TokenSet:
    return token_set(np.arange(1, length + 1, dtype=np.uint32), shards)


@given(windows=st.integers(1, 3000), seed=st.integers(0, 2**63), epoch=st.integers(0, 10**6))
def test_every_epoch_visits_each_window_exactly_once(windows: int, seed: int, epoch: int) -> None:
    sequences = np.arange(epoch * windows, (epoch + 1) * windows, dtype=np.int64)
    assert np.array_equal(np.sort(shuffled(sequences, windows, seed)), np.arange(windows))


@given(windows=st.integers(1, 500), start=st.integers(0, 5000), length=st.integers(1, 2000), seed=st.integers(0, 99))
def test_a_run_of_sequences_gives_what_each_alone_gives(windows: int, start: int, length: int, seed: int) -> None:
    sequences = np.arange(start, start + length, dtype=np.int64)
    alone = [int(shuffled(sequences[i : i + 1], windows, seed)[0]) for i in range(0, length, 97)]
    assert shuffled(sequences, windows, seed)[::97].tolist() == alone


def test_order_looks_random_and_differs_between_epochs_and_seeds() -> None:
    windows = 40_000
    order = shuffled(np.arange(windows), windows, 1)
    for other in (
        np.arange(windows),
        shuffled(np.arange(windows, 2 * windows), windows, 1),
        shuffled(np.arange(windows), windows, 2),
        np.roll(order, 1),
    ):
        assert abs(np.corrcoef(order, other)[0, 1]) < 0.03
    blocks = order.reshape(40, 1000) // 1000
    counts = np.stack([np.bincount(block, minlength=40) for block in blocks])
    chi_square = ((counts - 25) ** 2 / 25).sum()
    assert abs(chi_square - 39 * 39) < 6 * np.sqrt(2 * 39 * 39)


def test_order_is_the_same_in_every_version() -> None:
    assert shuffled(np.arange(8), 1000, 7).tolist() == [601, 126, 209, 510, 56, 873, 787, 452]


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_together_hold_the_global_batch_row_for_row(world_size: int) -> None:
    source = counting(2_000)
    whole = Loader(source, context_length=16, batch_size=10, seed=3)
    ranks = [
        Loader(source, context_length=16, batch_size=10, seed=3, rank=rank, world_size=world_size)
        for rank in range(world_size)
    ]
    for step in (0, 1, 11, 12, 13, 500):
        due = whole.batch(step)
        for rank, loader in enumerate(ranks):
            for part, rows in zip(loader.batch(step), due, strict=True):
                assert np.array_equal(part, rows[rank::world_size])


def test_a_batch_depends_on_seed_and_step_alone() -> None:
    source = counting(5_000)
    walked, fresh = (Loader(source, context_length=8, batch_size=4, seed=5) for _ in range(2))
    history = [walked.batch(step).tokens_bt for step in range(200)]
    assert np.array_equal(fresh.batch(199).tokens_bt, history[199])
    assert np.array_equal(walked.batch(0).tokens_bt, history[0])
    assert not np.array_equal(history[0], history[1])
    assert not np.array_equal(Loader(source, context_length=8, batch_size=4, seed=6).batch(0).tokens_bt, history[0])


def test_an_epoch_predicts_every_token_but_the_first_once() -> None:
    length = 1 + 7 * 30
    loader = Loader(counting(length), context_length=7, batch_size=5, seed=0)
    targets = np.concatenate([loader.batch(step).targets_bt.ravel() for step in range(6)])
    assert loader.epochs(6) == 1
    assert sorted(targets.tolist()) == list(range(2, length + 1))
    assert [loader.unique_tokens(step) for step in (0, 3, 6, 60)] == [0, 105, 210, 210]


def test_targets_follow_inputs_and_nothing_is_predicted_across_documents() -> None:
    batch = cut(np.array([[5, 6, EOT, 7, EOT, EOT, 8, 9]]), EOT)
    assert batch.tokens_bt.tolist() == [[5, 6, 0, 7, 0, 0, 8]]
    assert batch.targets_bt.tolist() == [[6, 0, -1, 0, -1, -1, 9]]
    assert batch.documents_bt.tolist() == [[0, 0, 0, 1, 1, 2, 3]]


def test_batches_may_be_written_to() -> None:
    loader = Loader(counting(500), context_length=8, batch_size=4, seed=0)
    before = loader.batch(0)
    for part in loader.batch(0):
        part += 1
    assert np.array_equal(loader.batch(0).tokens_bt, before.tokens_bt)


@given(length=st.integers(2, 300), shards=st.integers(1, 9), data=st.data())
def test_reading_across_shards_equals_reading_one_file(length: int, shards: int, data: st.DataObject) -> None:
    stream = counting(length, min(shards, length)).tokens
    start = data.draw(st.integers(0, length))
    stop = data.draw(st.integers(start, length))
    assert len(stream) == length
    assert stream[start:stop].tolist() == list(range(start + 1, stop + 1))


def test_a_corpus_too_small_for_one_batch_is_named() -> None:
    with pytest.raises(UserError, match=r"train text of 64 tokens is too small for one batch of 8 × 8: it needs 65"):
        Loader(counting(64), context_length=8, batch_size=8, seed=0)
    Loader(counting(65), context_length=8, batch_size=8, seed=0).batch(0)


def test_more_processes_than_rows_is_refused() -> None:
    with pytest.raises(UserError, match="batch_size 2 is less than the 3 processes"):
        Loader(counting(100), context_length=8, batch_size=2, seed=0, rank=0, world_size=3)


def test_evaluation_is_fixed_spread_and_counts_its_bytes() -> None:
    tokens = np.random.default_rng(0).integers(0, 50, 20_000).astype(np.uint16)
    source = token_set(tokens, shards=3)
    first, again = (validation_windows(source, 32, 3_200, seed=1) for _ in range(2))
    assert first.tokens_bt.shape == (100, 32)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert first.bytes == source.token_bytes[first.targets_bt[first.targets_bt != -1]].sum()
    assert not np.array_equal(first.tokens_bt, validation_windows(source, 32, 3_200, seed=2).tokens_bt)
    starts = validation_windows(counting(20_000), 32, 3_200, seed=1).tokens_bt[:, 0] - 1
    assert (np.diff(starts) > 0).all() and np.diff(starts).max() <= 2 * 7 * 32
    assert starts[0] < 7 * 32 and starts[-1] >= 20_000 - 9 * 32


def test_evaluation_of_too_little_text_is_named() -> None:
    with pytest.raises(UserError, match="fewer than two windows of 64 tokens to evaluate on"):
        validation_windows(counting(64), 64, 1_000, seed=0)
    with pytest.raises(UserError, match="at most 10 were asked for"):
        validation_windows(counting(640), 64, 10, seed=0)


def test_a_batch_is_cut_in_well_under_a_millisecond() -> None:
    loader = Loader(counting(1_000_000), context_length=256, batch_size=8, seed=0)
    best = float("inf")
    for step in range(200):
        began = time.perf_counter()
        loader.batch(step)
        best = min(best, time.perf_counter() - began)
    assert best < 5e-4

from __future__ import annotations

import hashlib
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.loader import Loader, cut, validation_windows
from orionlm.data.mixing.blocks import Blocks, Phases, shuffled
from orionlm.data.mixing.mixture import Mixture
from orionlm.data.shards import TokenSet, TokenStream
from orionlm.errors import UserError

EOT = 0


def token_set(tokens: np.ndarray, shards: int = 1) -> TokenSet:
    token_bytes = np.arange(int(tokens.max(initial=0)) + 1, dtype=np.int64)
    return TokenSet(TokenStream(np.array_split(tokens, shards)), split="train", eot=EOT, token_bytes=token_bytes)


def counting(length: int, shards: int = 1) -> TokenSet:
    return token_set(np.arange(1, length + 1, dtype=np.uint32), shards)


def domains(**sizes: int) -> TokenSet:
    """A token set of several domains, each position of which holds a number of its own."""
    parts, first = {}, 1
    for name, size in sizes.items():
        parts[name] = np.arange(first, first + size, dtype=np.uint32)
        first += size
    shared = {"split": "train", "eot": EOT, "token_bytes": np.ones(first, np.int64)}
    whole = TokenStream(list(parts.values()))
    return TokenSet(whole, parts={name: TokenSet(TokenStream([p]), **shared) for name, p in parts.items()}, **shared)


def mixture(main: dict[str, int], anneal: dict[str, int] | None = None, share: float = 0.0) -> Mixture:
    late = tuple(anneal.get(name, 0) for name in main) if anneal else ()
    return Mixture(tuple(main), tuple(main.values()), late, share, 10**9, (10**6,) * len(main))


def domain_of(source: TokenSet, tokens_bt: np.ndarray) -> np.ndarray:
    edges = np.cumsum([len(part) for part in source.parts.values()])
    return np.searchsorted(edges, tokens_bt[:, 0])


@st.composite
def phases(draw: st.DrawFn) -> tuple[Phases, int, int]:
    """Two phases over several domains, the sequence they meet at, and the number of domains."""
    count = draw(st.integers(1, 5))
    counts = st.lists(st.integers(0, 40), min_size=count, max_size=count).filter(any)
    seed, switch = draw(st.integers(0, 2**63)), draw(st.integers(0, 400))
    main, late = Blocks(draw(counts), seed, "main"), Blocks(draw(counts), seed, "anneal")
    return Phases(main, late, switch), switch, count


@given(st.lists(st.integers(0, 60), min_size=1, max_size=6).filter(any), st.integers(0, 99), st.integers(0, 10**9))
def test_every_block_holds_each_domain_its_number_of_times(counts: list[int], seed: int, block: int) -> None:
    blocks = Blocks(counts, seed, "main")
    domain, number = blocks.place(np.arange(block * blocks.size, (block + 1) * blocks.size, dtype=np.int64))
    for k, count in enumerate(counts):
        assert number[domain == k].tolist() == list(range(block * count, (block + 1) * count))


@given(phases(), st.integers(0, 1000))
def test_a_domains_sequences_are_numbered_without_a_gap_across_blocks_and_phases(
    made: tuple[Phases, int, int], length: int
) -> None:
    both, _, count = made
    domain, number = both.place(np.arange(length + 1, dtype=np.int64))
    for k in range(count):
        mine = number[domain == k]
        assert mine.tolist() == list(range(len(mine)))
    assert both.seen(length + 1).tolist() == np.bincount(domain, minlength=count).tolist()


@given(phases(), st.integers(0, 1000), st.integers(1, 50), st.integers(1, 7))
def test_a_sequence_depends_on_its_number_alone(
    made: tuple[Phases, int, int], start: int, length: int, stride: int
) -> None:
    both, _, _ = made
    sequences = np.arange(start, start + length, stride, dtype=np.int64)
    placed = np.stack(both.place(sequences), axis=1).tolist()
    whole = np.stack(both.place(np.arange(start + length, dtype=np.int64)), axis=1)[sequences].tolist()
    assert placed == whole


def test_blocks_are_the_same_in_every_version() -> None:
    domain, number = Blocks((3, 5, 2), 7, "main").place(np.arange(10, 20, dtype=np.int64))
    assert (domain.tolist(), number.tolist()) == ([1, 2, 2, 0, 1, 1, 0, 1, 1, 0], [5, 2, 3, 3, 6, 7, 4, 8, 9, 5])


def test_order_within_a_block_differs_between_blocks_phases_and_seeds() -> None:
    orders = [
        Blocks((128, 128), seed, phase).place(np.arange(256, dtype=np.int64) + first)[0]
        for seed, phase, first in ((1, "main", 0), (1, "main", 256), (1, "anneal", 0), (2, "main", 0))
    ]
    for i, one in enumerate(orders):
        assert len(set(np.convolve(one, np.ones(16, int), "valid"))) > 4
        for other in orders[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.3


def test_batches_of_one_domain_are_the_same_in_every_version() -> None:
    tokens = np.arange(1, 5001, dtype=np.uint32)
    tokens[::97] = EOT
    source, digest = token_set(tokens, shards=3), hashlib.sha256()
    loader = Loader(source, context_length=16, batch_size=6, seed=11)
    for step in [*range(60), 1000, 12345]:
        for part in loader.batch(step):
            digest.update(np.ascontiguousarray(part).tobytes())
    windows = validation_windows(source, 16, 640, 0)
    for part in windows[:3]:
        digest.update(part.tobytes())
    assert digest.hexdigest()[:16] == "1922fe177d66709b"


def test_a_mixture_of_one_domain_gives_the_batches_of_the_domain_alone() -> None:
    source = domains(code=3_000, text=2_000)
    alone = Loader(source.parts["text"], context_length=16, batch_size=6, seed=3)
    mixed = Loader(source, context_length=16, batch_size=6, seed=3, mixture=mixture({"text": 512}, {"text": 256}, 0.2))
    late = mixed.annealing(100)
    for step in (0, 1, 19, 20, 21, 99, 100, 101, 500):
        for part, due, annealed in zip(mixed.batch(step), alone.batch(step), late.batch(step), strict=True):
            assert np.array_equal(part, due) and np.array_equal(annealed, due)


@pytest.mark.parametrize("world_size", [1, 2, 3, 4])
def test_ranks_together_hold_the_global_batch_of_a_mixture(world_size: int) -> None:
    source = domains(code=3_000, text=2_000, best=400)
    what = mixture({"code": 179, "text": 77, "best": 0}, {"code": 100, "text": 0, "best": 156}, 0.2)
    settings = {"context_length": 16, "batch_size": 10, "seed": 3, "mixture": what}
    whole = Loader(source, **settings).annealing(301)
    ranks = [Loader(source, **settings, rank=r, world_size=world_size).annealing(301) for r in range(world_size)]
    for step in (0, 25, 26, 300, 301, 302, 400):
        due = whole.batch(step)
        for rank, loader in enumerate(ranks):
            for part, rows in zip(loader.batch(step), due, strict=True):
                assert np.array_equal(part, rows[rank::world_size])


def test_a_mixture_reads_its_shares_then_those_of_its_anneal() -> None:
    source = domains(code=40_000, text=40_000, best=8_000)
    what = mixture({"code": 192, "text": 64, "best": 0}, {"code": 64, "text": 0, "best": 192}, 0.2)
    loader = Loader(source, context_length=8, batch_size=16, seed=1, mixture=what).annealing(160)
    seen = np.stack([np.bincount(domain_of(source, loader.batch(step).tokens_bt), minlength=3) for step in range(200)])
    assert seen[:160].sum(0).tolist() == [1920, 640, 0]
    assert abs(seen[160:].sum(0) - np.array([160, 0, 480])).max() <= 64
    blocks = seen[:160].reshape(10, 16, 3).sum(1)
    assert (blocks == [192, 64, 0]).all() and seen[160:, 1].sum() == 0


def test_every_token_of_a_domain_is_read_equally_often_within_an_epoch() -> None:
    source = domains(code=801, text=401)
    what = mixture({"code": 150, "text": 106}, {"code": 56, "text": 200}, 0.5)
    loader = Loader(source, context_length=8, batch_size=4, seed=2, mixture=what).annealing(37)
    targets = np.concatenate([loader.batch(step).targets_bt.ravel() for step in range(75)])
    counted = np.bincount(targets, minlength=1203)
    for name, (first, last) in {"code": (2, 801), "text": (803, 1202)}.items():
        times = set(counted[first : last + 1].tolist())
        epochs = loader.read(75)[name]["epochs"]
        assert times <= {int(epochs), int(epochs) + 1}, (name, epochs, times)
    read = loader.read(75)
    assert sum(domain["tokens"] for domain in read.values()) == 75 * 4 * 8
    assert loader.unique_tokens(75) == len(set(targets.tolist())) == sum(d["unique_tokens"] for d in read.values())


def test_the_main_phase_does_not_know_when_the_anneal_begins() -> None:
    source = domains(code=3_000, text=2_000)
    what = mixture({"code": 128, "text": 128}, {"code": 1, "text": 0}, 0.2)
    loader = Loader(source, context_length=8, batch_size=4, seed=2, mixture=what)
    for step in range(0, 90, 7):
        assert np.array_equal(loader.annealing(90).batch(step).tokens_bt, loader.batch(step).tokens_bt)


def test_a_domain_that_is_missing_or_shorter_than_a_window_is_named() -> None:
    source = domains(code=500, text=10)
    with pytest.raises(UserError, match="domain 'web' is not in these tokens"):
        Loader(source, context_length=16, batch_size=4, seed=0, mixture=mixture({"web": 256}))
    with pytest.raises(UserError, match="domain 'text': 10 tokens are less than one window of 17"):
        Loader(source, context_length=16, batch_size=4, seed=0, mixture=mixture({"code": 128, "text": 128}))


def test_evaluation_says_which_windows_are_of_which_domain() -> None:
    source = domains(code=6_000, text=3_000, rare=20)
    windows = validation_windows(source, 16, 1_600, seed=0)
    names, counts, sizes = zip(*windows.domains, strict=True)
    assert names == ("code", "text", "rare") and sum(counts) == len(windows.tokens_bt) and sum(sizes) == windows.bytes
    assert np.repeat([0, 1, 2], counts).tolist() == domain_of(source, windows.tokens_bt).tolist()
    assert counts[0] == pytest.approx(2 * counts[1], abs=2)
    assert validation_windows(counting(6_000), 16, 1_600, seed=0).domains == ()


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

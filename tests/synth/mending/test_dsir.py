import hashlib
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.mending.dsir import Importance, gumbel_top_k, resample
from synth.measures.words import mixed

WORDS = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=8)


def features(words, buckets):
    first = [int.from_bytes(hashlib.blake2b(each.encode(), digest_size=8).digest(), "little") for each in words]
    pairs = [(a * 0x9E3779B97F4A7C15 + b) % 2**64 for a, b in zip(first, first[1:], strict=False)]
    return Counter(each % buckets for each in first + pairs)


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, min_size=1, max_size=4), st.floats(0.01, 3))
def test_the_weights_are_the_formula_by_hand(target, raw, smoothing):
    """log w(x) = Σⱼ nⱼ(x)·[log p_target(j) − log p_raw(j)], p(j) = (Nⱼ + a)/(N + a·buckets)."""
    buckets = 10_000

    def log_p(counts, j):
        return math.log((counts[j] + smoothing) / (counts.total() + smoothing * buckets))

    of_target, of_raw = (sum((features(words, buckets) for words in side), Counter()) for side in (target, raw))
    by_hand = [
        sum(n * (log_p(of_target, j) - log_p(of_raw, j)) for j, n in features(words, buckets).items()) for words in raw
    ]
    sides = [[" ".join(words) for words in side] for side in (target, raw)]
    found = Importance.fit(*sides, smoothing=smoothing).log_weights(sides[1])
    assert found == pytest.approx(by_hand, abs=1e-9)


def test_a_weight_worked_out_on_paper():
    """Buckets hit (3, 1) and (1, 3), a = 1: p = (4, 2)/6 and (2, 4)/6, so each hit of the first is worth ln 2."""
    assert Importance.of_counts(np.array([3, 1]), np.array([1, 3])).log_ratio == pytest.approx(
        [math.log(2), -math.log(2)]
    )


def test_rows_are_drawn_as_the_definition_says():
    """Without replacement, each next one in proportion to the weights left: the exact chance of every pair."""
    weights = np.array([1.0, 2.0, 3.0, 6.0])
    exact: Counter = Counter()
    for a, b in itertools.permutations(range(4), 2):
        exact[frozenset((a, b))] += weights[a] / weights.sum() * weights[b] / (weights.sum() - weights[a])
    draws = 20_000
    seen = Counter(frozenset(gumbel_top_k(np.log(weights), 2, seed).tolist()) for seed in range(draws))
    for pair, chance in exact.items():
        assert seen[pair] / draws == pytest.approx(chance, abs=4 * math.sqrt(chance * (1 - chance) / draws))


def test_what_has_no_weight_is_never_drawn_and_nothing_twice():
    rows = gumbel_top_k(np.array([0.0, -math.inf, math.nan, 2.0, 1.0]), 9)
    assert rows.tolist() == [0, 3, 4]
    assert len(gumbel_top_k(np.zeros(5), 0)) == 0 and len(gumbel_top_k(np.zeros(0), 3)) == 0


def test_resampling_moves_topics_towards_the_target():
    target, _ = mixed(300, (0.2, 0.8), 1)
    raw, topics = mixed(1000, (0.8, 0.2), 2)
    kept = resample(raw, target, 150, seed=3)
    assert (topics == "engine").mean() < 0.25 < 0.9 < (topics[kept.rows] == "engine").mean()
    assert len(kept.rows) == 150 and (np.diff(kept.rows) > 0).all()
    assert np.array_equal(kept.rows, resample(raw, target, 150, seed=3).rows)


@pytest.mark.parametrize("texts", [[], ["one"], ["", ""], ["same"] * 5])
def test_little_text_stays_and_says_why(texts):
    assert len(resample(texts, [], 1).rows) == len(texts)
    assert len(resample(texts, ["real text"], 9).rows) == len(texts)
    assert len(resample(texts, ["real text"], 1).rows) == min(1, len(texts))

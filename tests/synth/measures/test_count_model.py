import math
from collections import Counter

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.measures.count_model import Counts, worth

TEXTS = st.lists(st.text("abé \n", max_size=20), min_size=1, max_size=4)


def by_hand(train, text, order):
    """The definition, one byte at a time."""
    gap = bytes(order)
    grams, before, different = Counter(), Counter(), Counter()
    seen = gap + b"".join(each.encode() + gap for each in train)
    for place in range(order, len(seen)):
        for length in range(order + 1):
            context = seen[place - length : place]
            before[length, context] += 1
            different[length, context] += (length, context, seen[place]) not in grams
            grams[length, context, seen[place]] += 1
    raw, bits = gap + text.encode(), 0.0
    for place in range(order, len(raw)):
        chance = 1 / 256
        for length in range(order + 1):
            at = (length, raw[place - length : place])
            if before[at]:
                chance = (grams[(*at, raw[place])] + different[at] * chance) / (before[at] + different[at])
        bits -= math.log2(chance)
    return bits / len(text.encode())


@given(TEXTS, st.text("abé ", min_size=1, max_size=20), st.integers(0, 3))
def test_it_is_the_definition(train, text, order):
    texts = [*train, "other", text]
    read = np.arange(len(texts)) < len(train)
    found = Counts(texts, order).bits(read, ~read)[1]
    assert math.isclose(found, by_hand(train, text, order), rel_tol=1e-9)


def corpus(count, seed, vocabulary=400):
    """Documents of a made-up language: words drawn by rank, each document with favourites of its own."""
    rng = np.random.default_rng(seed)
    words = ["".join(np.random.default_rng(n).choice(list("abcdefghij"), 6)) for n in range(vocabulary)]
    chance = 1 / np.arange(1, vocabulary + 1)
    return [" ".join(rng.choice(words, 150, p=chance / chance.sum())) for _ in range(count)]


def priced(rows, real, owners=None):
    groups = [f"d{n}" for n in range(len(real))]
    return worth(real, groups, rows, owners or [()] * len(rows)).doublings


def test_genuine_text_is_worth_the_more_the_more_there_is_and_noise_nothing():
    real = corpus(80, 0)
    noise = ["".join(np.random.default_rng(n).choice(list("klmnop "), 900)) for n in range(40)]
    half, once, twice = (priced(corpus(count, 1), real) for count in (20, 40, 120))
    assert half.low > 0 and half.value < once.value < twice.value
    assert (
        0.4 < once.low < once.high < 1.1
    )  # as much again as the half beside it: a doubling, less what returns diminish
    assert priced(noise, real).high < 0.1


def test_half_as_good_text_is_worth_less_and_copies_next_to_nothing_or_harm():
    real, others = corpus(80, 0), corpus(40, 1)
    groups = [f"d{n}" for n in range(len(real))]
    mixed = [" ".join(o.split()[:75] + c.split()[75:]) for o, c in zip(others, corpus(40, 2, 60), strict=True)]
    assert priced(mixed, real).high < priced(others, real).low
    assert priced([text for text in others[:2]] * 20, real).high < 0
    assert priced(real, real, [(name,) for name in groups]).high < 0.2


def test_too_little_to_go_by_is_unknown():
    assert not priced(["a"], ["b", "c"]).known
    assert not worth([], [], [], []).share.known
    assert not priced([], corpus(8, 0)).known


def test_nothing_read_is_eight_bits_and_nothing_to_predict_is_not_a_number():
    nothing, everything = np.zeros(2, bool), np.ones(2, bool)
    assert Counts(["abc", ""]).bits(nothing, everything)[0] > 7
    assert np.isnan(Counts(["abc", ""]).bits(everything, everything)[1])


def test_genuine_text_teaches_its_share_and_the_text_at_hand_told_again_nothing():
    real = corpus(80, 0)
    groups = [f"d{n}" for n in range(len(real))]
    fresh = worth(real, groups, corpus(80, 1), [()] * 80).share
    again = worth(real, groups, real, [(name,) for name in groups]).share
    assert again.high < 0.2 < fresh.low < fresh.high < 1.2

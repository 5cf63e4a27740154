import gzip
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.synth.measures.diversity import compression_ratio, distinct_n, self_bleu, self_repetition
from synth.measures.words import mixed

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=12).map(" ".join), max_size=8)
EVERY = [self_bleu, distinct_n, self_repetition, compression_ratio]


def grams(words, n):
    return Counter(tuple(words[at : at + n]) for at in range(len(words) - n + 1))


def bleu(words, references):
    logs = []
    for n in range(1, 5):
        own = grams(words, n)
        if not own:
            continue
        others = [grams(each, n) for each in references]
        matches = sum(min(count, max(other[gram] for other in others)) for gram, count in own.items())
        logs.append(math.log((matches or 0.1) / sum(own.values())))
    closest = min((abs(len(each) - len(words)), len(each)) for each in references)[1]
    return math.exp(min(0, 1 - closest / len(words)) + sum(logs) / len(logs))


@settings(max_examples=200)
@given(TEXTS)
def test_self_bleu_is_the_mean_bleu_against_all_the_others(texts):
    words = [text.split() for text in texts if text]
    found = self_bleu(texts)
    if len(words) < 2:
        assert math.isnan(found.value)
    else:
        each = [bleu(own, words[:at] + words[at + 1 :]) for at, own in enumerate(words)]
        assert found.value == pytest.approx(np.mean(each), abs=1e-12) and found.n == len(words)


@given(TEXTS, st.integers(1, 3))
def test_distinct_n_counts_different_n_grams_over_all(texts, n):
    counts = sum((grams(text.split(), n) for text in texts), Counter())
    found = distinct_n(texts, n)
    if not counts:
        assert math.isnan(found.value)
    else:
        assert found.value == pytest.approx(len(counts) / sum(counts.values()))


def test_distinct_n_and_its_interval_leave_out_each_text_in_turn():
    texts = ["a b c", "a b d", "x y z w", "a b c"]
    without = [distinct_n(texts[:at] + texts[at + 1 :], 2).value for at in range(4)]
    error = math.sqrt(3 / 4 * np.var(without) * 4)
    found = distinct_n(texts, 2)
    assert (found.high - found.value) == pytest.approx(min(1 - found.value, 3.182446 * error), rel=1e-5)


def test_shared_passages_are_counted_by_text():
    passage = "one two three four five six seven eight nine"
    texts = [passage, "zero " + passage, "nothing of it is here but words of its own", "short"]
    found = self_repetition(texts, 8)
    assert found.n == 3 and found.value == pytest.approx((1 + 2 / 3 + 0) / 3)
    assert (
        self_repetition([passage + " " + passage, "w " * 20], 8).value < 1
    )  # itself again, or one word: not another's


def test_the_compression_ratio_is_bytes_over_gzip_bytes():
    texts, _ = mixed(100, (0.5, 0.5))
    whole = "\n".join(texts).encode()
    found = compression_ratio(texts)
    assert found.value == pytest.approx(len(whole) / len(gzip.compress(whole, mtime=0)))
    assert found.low < found.value < found.high < found.value * 1.2
    assert compression_ratio(texts[:5] * 20).value > 2 * found.value


def test_templates_raise_what_repeats_and_lower_what_differs():
    texts, _ = mixed(200, (0.4, 0.3, 0.3))
    template = ["in this short article we will look at the question of " + text for text in texts]
    assert self_bleu(template).low > self_bleu(texts).high
    assert self_repetition(template).low > self_repetition(texts).high
    assert distinct_n(template).high < distinct_n(texts).low


@pytest.mark.parametrize("measure", EVERY)
@pytest.mark.parametrize("texts", [[], [""], ["one"], ["one", ""], ["", ""], ["same text"] * 30, ["\ud800", "\x00 ."]])
def test_little_or_empty_text_raises_nothing(measure, texts):
    found = measure(texts)
    assert not found.low > found.value and not found.high < found.value
    if len([text for text in texts if text]) < 2:
        assert not found.known

import math

import numpy as np
import pytest

from orionlm.synth.measures.two_sample import grouped, two_sample
from synth.measures.words import mixed, written


def documents(names, rows=8, seed=0):
    """Rows of several documents, each with words of its own: what a classifier must not learn."""
    texts = [text for at, name in enumerate(names) for text in written([name] * rows, 40, seed + at)]
    return texts, [name for name in names for _ in range(rows)]


def test_real_against_real_is_seldom_told_apart():
    told, areas = 0, []
    for seed in range(40):
        texts, _ = mixed(120, (0.4, 0.3, 0.3), seed)
        found = two_sample(texts[:60], texts[60:], seed=seed)
        told += found.tells
        areas.append(found.auc.value)
    assert told <= 4
    assert np.mean(areas) == pytest.approx(0.5, abs=0.03)


def test_documents_are_not_the_difference():
    """Each side has documents of its own. Rows of one document on both sides of a split give the classifier an easy,
    worthless answer; split by document it has none, and does not fall below one half either."""
    apart, together, told = [], [], 0
    for seed in range(20):
        real, owners = documents([f"r{seed}x{at}" for at in range(10)], seed=100 * seed)
        other, others = documents([f"s{seed}x{at}" for at in range(10)], seed=100 * seed + 50)
        by_document = two_sample(real, other, owners, others, seed=seed)
        apart.append(by_document.auc.value)
        told += by_document.tells
        together.append(two_sample(real, other, seed=seed).auc.value)
    assert np.mean(together) > 0.95
    assert 0.4 < np.mean(apart) < 0.6
    assert told <= 3


def test_rows_written_from_a_document_lie_in_its_fold():
    """Synthetic rows repeat their seeds: with the groups given there is no difference, whatever is held out."""
    real, owners = documents([f"d{at}" for at in range(20)])
    found = two_sample(real, list(real), owners, [(owner,) for owner in owners])
    assert found.auc.value == pytest.approx(0.5, abs=0.02)
    assert not found.tells


def test_what_is_different_is_told_with_its_interval():
    real, _ = mixed(150, (0.5, 0.5), 1)
    synthetic = [text + " certainly here is the rewritten text" for text in mixed(150, (0.5, 0.5), 2)[0]]
    found = two_sample(real, synthetic)
    assert found.tells and found.auc.value > 0.99 and found.accuracy.low > 0.9
    assert found.auc.low < 1 and found.auc.n == 150


def test_few_rows_told_apart_perfectly_are_not_a_certainty():
    found = two_sample(["alpha beta gamma"] * 5, ["delta epsilon zeta"] * 5)
    assert found.auc.value == 1 and found.auc.low < 0.7


def test_copies_of_a_document_add_rows_but_no_certainty():
    real, synthetic = mixed(60, (0.7, 0.3), 1)[0], mixed(60, (0.3, 0.7), 2)[0]
    once = two_sample(real, synthetic).auc
    names = [f"{side}{at}" for side in "rs" for at in range(60)]
    often = two_sample(real * 6, synthetic * 6, names[:60] * 6, names[60:] * 6).auc
    assert often.n == once.n == 60
    assert often.high - often.low > 0.8 * (once.high - once.low)


def test_one_document_that_makes_up_most_of_a_side_is_one_draw_however_long():
    real, synthetic = mixed(150, (0.5, 0.5), 1)[0], mixed(150, (0.5, 0.5), 2)[0]
    groups = [f"s{at}" for at in range(150)]
    found = two_sample(real, synthetic + synthetic[:1] * 450, None, groups + groups[:1] * 450).auc
    even = two_sample(real, synthetic, None, groups).auc
    assert found.high - found.low > 1.4 * (even.high - even.low)


def test_one_document_on_a_side_cannot_be_held_out():
    real, _ = documents(["only"], 30)
    synthetic, _ = documents(["only"], 30, 5)
    assert not two_sample(real, synthetic, ["a"] * 30, [("a",)] * 30).auc.known


def test_probabilities_stand_at_the_samples_own_sizes():
    """Nothing differs: a synthetic row is real with probability n_real/(n_real + n_synthetic)."""
    texts, _ = mixed(400, (0.5, 0.5), 3)
    found = two_sample(texts[:300], texts[300:])
    assert found.probability_real.shape == (100,) and found.probability_real_of_real.shape == (300,)
    assert np.median(found.probability_real) == pytest.approx(0.75, abs=0.03)


def test_groups_join_rows_through_shared_ids_and_only_those():
    found = grouped([("a",), ("b", "c"), ("c", "d"), (), ("d",), ("a", "e"), ()])
    assert found[0] == found[5] and found[1] == found[2] == found[4]
    assert len(set(found.tolist())) == 4


@pytest.mark.parametrize(
    "texts", [[], ["one"], ["one", "two"], [""] * 8, ["the same words again"] * 8, ["\ud800 x", "…"] * 5]
)
def test_little_or_empty_text_gives_an_answer(texts):
    found = two_sample(texts, texts)
    assert not found.tells
    assert len(found.probability_real) == len(texts)
    assert math.isnan(found.auc.value) or found.auc.value == pytest.approx(0.5, abs=0.2)


def test_the_same_seed_gives_the_same_answer():
    texts, _ = mixed(60, (0.5, 0.5))
    assert two_sample(texts[:30], texts[30:], seed=2).auc == two_sample(texts[:30], texts[30:], seed=2).auc

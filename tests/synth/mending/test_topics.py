import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.mending.quota import quota
from orionlm.synth.mending.topics import best_of_each, missing_rows, rebalance, requests

COUNTS = st.lists(st.integers(0, 200), min_size=1, max_size=6)


def test_topics_get_the_targets_shares():
    labels = np.repeat([0, 1, 2], [600, 300, 100])
    kept = rebalance(labels, np.array([1, 1, 1]), missing=0.0).rows
    assert np.bincount(labels[kept]).tolist() == [100, 100, 100]
    some = rebalance(labels, np.array([1, 1, 1]), missing=0.05).rows
    assert np.bincount(labels[some]).tolist() == [118, 117, 100]  # 5% of 335 may be wanting


def test_a_topic_of_which_there_is_nothing_does_not_cost_the_others():
    labels = np.repeat([0, 2], [50, 50])
    kept = rebalance(labels, np.array([0.4, 0.2, 0.4])).rows
    assert len(kept) == 100
    assert missing_rows(labels, np.array([0.4, 0.2, 0.4]), 125).tolist() == [0, 25, 0]


@given(COUNTS, st.data())
def test_a_quota_takes_no_more_than_there_is_and_leaves_no_more_wanting_than_allowed(available, data):
    raw = np.array(data.draw(st.lists(st.integers(0, 9), min_size=len(available), max_size=len(available))), float)
    shares = (raw + 0.01) / (raw + 0.01).sum()
    there = np.array(available)
    got = quota(there, shares)
    assert (got <= there).all() and (got >= 0).all()
    if got.sum():
        shares = np.where(there > 0, shares, 0) / shares[there > 0].sum()
        assert np.abs(got / got.sum() - shares).sum() / 2 <= 0.06 + len(there) / got.sum()


@given(COUNTS)
def test_shares_that_fit_already_keep_every_row(available):
    there = np.array(available)
    if there.sum():
        assert quota(there, there / there.sum()).sum() == there.sum()


@given(st.lists(st.tuples(st.integers(0, 3), st.floats(-9, 9)), min_size=1, max_size=60), COUNTS)
def test_the_best_of_each_topic_come_first_and_nothing_is_lost(rows, target):
    labels, values = np.array([label for label, _ in rows]), np.array([value for _, value in rows])
    order = best_of_each(values, labels, np.resize(target, 4))
    assert sorted(order) == list(range(len(rows)))
    for topic in np.unique(labels):
        own = values[order][labels[order] == topic]
        assert (np.diff(own) <= 0).all()


def test_every_beginning_of_the_best_of_each_has_the_targets_shares_as_long_as_there_are_rows():
    labels, target = np.repeat([0, 1, 2], [500, 500, 50]), np.array([0.5, 0.4, 0.1])
    order = best_of_each(np.random.default_rng(0).random(1050), labels, target)
    for size in (100, 300, 500):
        assert np.bincount(labels[order[:size]]) / size == pytest.approx(target, abs=3 / size)


def test_short_topics_are_asked_for_with_real_documents_of_that_topic():
    real = np.array([0, 1, 1, 0, 2, 1])
    asked = requests([0, 5, 1, 4], real, seed=1)
    assert [topic for topic, _ in asked] == [1] * 5 + [2]
    assert all(real[document] == topic for topic, document in asked)
    assert sorted(document for topic, document in asked[:3]) == [1, 2, 5]  # each once before any again
    assert asked == requests([0, 5, 1, 4], real, seed=1)


def test_mended_by_requests_the_shares_are_the_targets():
    labels, target = np.repeat([0, 1], [80, 20]), np.array([0.5, 0.5])
    short = missing_rows(labels, target, 160)
    assert short.tolist() == [0, 60]
    assert (np.bincount(labels) + short) / 160 == pytest.approx(target)


@pytest.mark.parametrize(("labels", "target"), [([], [0.5, 0.5]), ([0, 1], [0, 0]), ([0], []), ([], [])])
def test_nothing_to_balance_by_changes_nothing(labels, target):
    assert len(rebalance(labels, target).rows) == len(labels)
    assert missing_rows(labels, target, 10).sum() == (10 if np.sum(target) else 0)

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.data.documents import Document
from orionlm.data.quality import classifier, fitting
from orionlm.errors import UserError

from .asked import reason, verdict, verdicts

CALM = [
    "the",
    "river",
    "runs",
    "slowly",
    "past",
    "old",
    "trees",
    "and",
    "the",
    "water",
    "carries",
    "leaves",
    "toward",
    "the",
    "quiet",
    "sea",
    "in",
    "autumn",
]
LOUD = [
    "buy",
    "now",
    "cheap",
    "offer",
    "click",
    "here",
    "free",
    "prize",
    "winner",
    "deal",
    "sale",
    "discount",
    "limited",
    "best",
    "price",
    "hurry",
]


def examples(words: list[str], count: int, seed: int = 0, groups: int = 1000) -> list[Document]:
    rng = random.Random(f"{seed} {words[0]}")
    return [
        Document(" ".join(rng.choices(words, k=60)), "s", f"{words[0]} {at % groups}", f"{words[0]} {at}")
        for at in range(count)
    ]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    classifier.save(fitting.fit(examples(CALM, 40), examples(LOUD, 40)), folder)
    return folder


def test_texts_like_the_good_examples_stay_and_the_others_go(model):
    good, bad = (" ".join(random.Random(9).choices(words, k=40)) for words in (CALM, LOUD))
    assert reason("classifier", good, model=str(model)) == ""
    found = verdict("classifier", bad, model=str(model))
    assert found.reason == "unlike the good examples"
    assert found.detail.startswith("probability 0.")


def test_a_higher_threshold_keeps_less(model):
    rng = random.Random(1)
    mixed = [" ".join(rng.choices(CALM, k=60 - loud) + rng.choices(LOUD, k=loud)) for loud in range(60)]
    kept = [
        sum(not one.reason for one in verdicts("classifier", mixed, model=str(model), threshold=threshold))
        for threshold in (0.0, 0.2, 0.5, 0.8, 1.0)
    ]
    assert kept == sorted(kept, reverse=True)
    assert kept[0] == 60 and 0 < kept[2] < 60


def test_the_best_share_is_that_of_texts_like_the_bad_examples(tmp_path):
    half = LOUD + CALM[:12]
    classifier.save(fitting.fit(examples(CALM + LOUD[:8], 150), examples(half, 150)), tmp_path)
    texts = [document.text for document in examples(half, 400, seed=5)]
    for share in (0.1, 0.5, 0.9):
        kept = sum(not one.reason for one in verdicts("classifier", texts, model=str(tmp_path), share=share))
        assert abs(kept / 400 - share) < 0.12


def test_a_verdict_does_not_depend_on_the_batch(model):
    texts = [document.text for document in examples(CALM, 30) + examples(LOUD, 30)]
    whole = verdicts("classifier", texts, model=str(model))
    assert whole == [verdict("classifier", text, model=str(model)) for text in texts]


def test_a_model_comes_back_as_it_was_saved_and_holds_nothing_but_numbers(model, tmp_path):
    first = fitting.fit(examples(CALM, 40), examples(LOUD, 40))
    classifier.save(first, tmp_path)
    again = classifier.load(tmp_path)
    assert np.array_equal(first.weights, again.weights)
    assert (first.intercept, first.auc, first.bad_scores) == (again.intercept, again.auc, again.bad_scores)
    for name in ("model.json", "weights.npz"):
        assert (model / name).read_bytes() == (tmp_path / name).read_bytes()


def test_examples_that_cannot_be_told_apart_give_a_model_that_is_refused(tmp_path):
    same = fitting.fit(examples(CALM, 60), examples(CALM[:1] + CALM, 60))
    assert not same.usable
    assert "not credibly above .5" in same.finding
    classifier.save(same, tmp_path)
    with pytest.raises(UserError, match="not credibly above .5"):
        verdict("classifier", "x", model=str(tmp_path))


def test_a_model_that_only_knows_its_groups_is_found_out():
    """Every group has words of its own; good and bad are the same thing."""
    rng = random.Random(2)

    def grouped(side: str) -> list[Document]:
        found = []
        for group in range(10):
            own = ["".join(rng.choices("abcdefghijklmnopqrst", k=7)) for _ in range(30)]
            found += [Document(" ".join(rng.choices(own, k=50)), "s", f"{side}{group}", "") for _ in range(10)]
        return found

    assert not fitting.fit(grouped("good"), grouped("bad")).usable


def test_a_text_on_both_sides_counts_for_neither():
    good, bad = examples(CALM, 40), examples(LOUD, 40)
    assert fitting.fit([*good, *bad[:5]], bad).bad == 35


@pytest.mark.parametrize(("good", "bad"), [(19, 40), (40, 19), (0, 40)])
def test_too_few_examples_are_refused(good, bad):
    with pytest.raises(UserError, match="at least 20 in 5 are needed"):
        fitting.fit(examples(CALM, good), examples(LOUD, bad))
    with pytest.raises(UserError, match="in 4 groups"):
        fitting.fit(examples(CALM, 40, groups=4), examples(LOUD, 40))


def test_files_and_rows_can_be_examples(tmp_path):
    rows = tmp_path / "bad.jsonl"
    lines = [json.dumps({"page": one.text, "site": one.group}) for one in examples(LOUD, 40)]
    rows.write_text("\n".join(lines))
    (tmp_path / "good").mkdir()
    for number, one in enumerate(examples(CALM, 30)):
        (tmp_path / "good" / f"{number}.txt").write_text(one.text)
    out = tmp_path / "model"
    found = fitting.fit_files(
        [str(tmp_path / "good" / "*.txt")], [str(rows)], out, text_field="page", group_field="site"
    )
    assert (found.good, found.bad) == (30, 40)
    assert classifier.load(out).usable


def test_unusable_rows_are_named(tmp_path):
    rows = tmp_path / "bad.jsonl"
    rows.write_text("\n".join(["{broken"] * 10 + [json.dumps({"text": one.text}) for one in examples(LOUD, 40)]))
    with pytest.raises(UserError, match="good: 10 documents are unusable"):
        fitting.fit_files([str(rows)], [str(rows)], tmp_path / "model")


@pytest.mark.parametrize("harm", ["no model", "no weights", "other weights", "cut", "no json", "other version"])
def test_a_model_that_is_not_whole_is_refused(model, tmp_path, harm):
    classifier.save(classifier.load(model), tmp_path)
    known = json.loads((tmp_path / "model.json").read_text())
    if harm == "no model":
        (tmp_path / "model.json").unlink()
    elif harm == "no weights":
        (tmp_path / "weights.npz").unlink()
    elif harm == "other weights":
        np.savez(tmp_path / "weights.npz", weights=np.ones(1 << classifier.BITS, np.float32))
    elif harm == "cut":
        (tmp_path / "weights.npz").write_bytes((tmp_path / "weights.npz").read_bytes()[:1000])
    elif harm == "no json":
        (tmp_path / "model.json").write_text("{")
    else:
        (tmp_path / "model.json").write_text(json.dumps(known | {"schema": 99}))
    with pytest.raises(UserError, match=r"classifier\.model: "):
        verdict("classifier", "x", model=str(tmp_path))


def test_objects_are_never_unpickled(model, tmp_path):
    classifier.save(classifier.load(model), tmp_path)
    np.savez(tmp_path / "weights.npz", weights=np.array([{}], dtype=object))
    with pytest.raises(UserError, match="no whole model"):
        classifier.load(tmp_path)


def test_another_model_in_the_same_place_is_another_filter(model, tmp_path):
    settings = classifier.Settings(model=str(tmp_path))
    classifier.save(classifier.load(model), tmp_path)
    before = classifier.identity(settings)
    assert before == classifier.identity(settings)
    classifier.save(fitting.fit(examples(LOUD, 40), examples(CALM, 40)), tmp_path)
    assert classifier.identity(settings) != before


def test_threshold_and_share_exclude_each_other():
    with pytest.raises(ValidationError, match="not both"):
        classifier.Settings(model="m", threshold=0.5, share=0.1)


@given(st.lists(st.text(), max_size=5))
def test_any_text_has_a_probability(texts):
    known = classifier.Model(np.ones(1 << classifier.BITS, np.float32), 0.0, (1.0, 1.0, 1.0), [0.0], 1, 1)
    assert all(0 <= probability <= 1 for probability in known.probabilities(texts))


def test_the_interval_of_the_auc_holds_the_truth():
    """Scores of two normals, one standard deviation apart: the AUC is Φ(1/√2) = .760."""
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(200):
        labels = np.repeat([1, 0], 40)
        scores = rng.normal(size=80) + labels
        _, low, high = fitting.auc(scores, labels, np.arange(80) % 5, [str(at) for at in range(80)])
        held += low <= 0.7602 <= high
    assert held >= 186


def test_perfect_scores_of_few_documents_are_not_certain():
    labels = np.repeat([1, 0], 20)
    value, low, high = fitting.auc(labels * 1.0, labels, np.arange(40) % 5, [str(at) for at in range(40)])
    assert (value, high) == (1.0, 1.0)
    assert 0.75 < low < 0.9


def test_copies_of_one_group_add_no_certainty():
    rng = np.random.default_rng(1)
    labels = np.repeat([1, 0], 50)
    scores = np.repeat(rng.normal(size=10), 10) + labels
    alone = fitting.auc(scores, labels, np.arange(100) % 5, [str(at) for at in range(100)])
    grouped = fitting.auc(scores, labels, np.arange(100) % 5, [str(at // 10) for at in range(100)])
    assert grouped[2] - grouped[1] > 1.5 * (alone[2] - alone[1])

import sys

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.synth.gate.gate import GateSettings, gate
from orionlm.synth.measures.clusters import assign, kmeans, shares
from orionlm.synth.measures.embedding import Embedding
from orionlm.synth.measures.mauve import mauve
from orionlm.synth.measures.mmd import mmd2
from orionlm.synth.measures.sentence_model import SentenceModel
from orionlm.synth.rows import Row
from synth.measures.words import mixed, written


def test_topics_lie_apart_and_texts_of_one_topic_together():
    texts, _ = mixed(200, (0.4, 0.3, 0.3))
    x = Embedding.fit(texts).transform(written(["river"] * 10 + ["engine"] * 10, seed=9))
    alike = x @ x.T
    inside = np.mean([alike[:10, :10].mean(), alike[10:, 10:].mean()])
    assert inside > alike[:10, 10:].mean() + 0.3


def test_rows_are_unit_vectors_and_a_text_of_unknown_words_is_nowhere():
    texts, _ = mixed(100, (0.5, 0.5))
    x = Embedding.fit(texts).transform([texts[0], "", "qqqq zzzz"])
    assert np.linalg.norm(x[0]) == pytest.approx(1)
    assert not x[1].any()


def test_the_same_text_gives_the_same_place_whoever_stands_beside_it():
    texts, _ = mixed(300, (0.5, 0.5))
    embedding = Embedding.fit(texts, seed=1)
    assert np.allclose(embedding.transform(texts[:3]), embedding.transform(texts)[:3])
    assert np.allclose(Embedding.fit(texts, seed=1).directions, embedding.directions)


def test_fitted_on_a_third_sample_two_samples_of_one_kind_are_not_told_apart():
    texts, _ = mixed(900, (0.4, 0.3, 0.3))
    embedding = Embedding.fit(texts[:300])
    x, y = embedding.transform(texts[300:600]), embedding.transform(texts[600:])
    apart = mauve(x, y, draws=20).value
    own = Embedding.fit(texts[300:600])
    assert apart > 0.85
    assert mauve(own.transform(texts[300:600]), own.transform(texts[600:]), draws=20).value < apart - 0.05


@pytest.mark.parametrize("texts", [[], [""], ["one"], ["one", "two"], [""] * 50, ["the same"] * 400, ["x"] * 3 + [""]])
def test_little_or_constant_text_still_gives_rows_of_numbers(texts):
    x = Embedding.fit(texts).transform([*texts, "another text", ""])
    assert x.shape[0] == len(texts) + 2 and np.isfinite(x).all() == any(texts)


def test_real_texts_without_a_word_in_common_cannot_say_that_others_are_alike():
    embedding = Embedding.fit([f"word{at}" for at in range(50)])
    x, y = embedding.transform(["one kind"] * 30), embedding.transform(["another kind"] * 30)
    assert not mauve(x, y).known and not mmd2(x, y).known
    assert len(kmeans(x, 3)) == 0 and not assign(x, kmeans(x, 3)).any()


def test_kmeans_finds_clusters_that_are_there_and_no_more_centres_than_different_rows():
    rng = np.random.default_rng(0)
    middle = np.repeat(np.eye(4) * 10, 50, axis=0)
    x = middle + rng.standard_normal(middle.shape)
    labels = assign(x, kmeans(x, 4, seed=1))
    assert [len(set(labels[at : at + 50])) for at in range(0, 200, 50)] == [1, 1, 1, 1]
    assert len(set(labels.tolist())) == 4 and shares(labels, 4) == pytest.approx([0.25] * 4)
    assert len(kmeans(np.ones((20, 3)), 5)) == 1 and len(kmeans(np.zeros((20, 3)), 5)) == 1
    assert kmeans(np.zeros((0, 3)), 5).shape == (0, 3)


def test_a_sentence_model_that_is_not_there_is_one_line_and_nothing_is_fetched(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="embed = minishlab/potion-base-8M: give a folder"):
        SentenceModel(type(tmp_path)("minishlab/potion-base-8M"))
    with pytest.raises(UserError, match="give a folder"):
        SentenceModel(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{}")
    monkeypatch.setitem(sys.modules, "model2vec", None)
    with pytest.raises(UserError, match=r"needs the extra embed: pip install 'orion-lm\[embed\]'"):
        SentenceModel(tmp_path)


def test_a_local_sentence_model_places_texts_by_its_vectors(tmp_path):
    pytest.importorskip("model2vec", reason="the extra embed is not installed")
    from model2vec import StaticModel
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    tokenizer = Tokenizer(WordLevel({"[UNK]": 0, "[PAD]": 1, "cat": 2, "dog": 3, "tax": 4}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    vectors = np.array([[0, 0], [0, 0], [1, 0], [1, 0.1], [0, 1]], np.float32)
    StaticModel(vectors, tokenizer).save_pretrained(tmp_path / "model")
    model = SentenceModel(tmp_path / "model")
    x = model.transform(["cat cat", "dog", "tax", ""])
    assert x[0] @ x[1] > 0.99 > 0.1 > x[0] @ x[2] and np.isfinite(x).all()
    assert model.transform([]).shape == (0, 2)
    texts = [" ".join(["cat", "tax", "dog"][n % 3 : n % 3 + 2] * (1 + n % 5)) for n in range(240)]
    rows = [Row(text, "m") for text in texts[120:]]
    by = [gate(texts[:120], rows, GateSettings(embed=folder)).to_json() for folder in (None, tmp_path / "model")]
    assert by[0] != by[1] and by[0]["verdict"] == by[1]["verdict"]
    (tmp_path / "model/model.safetensors").write_bytes(b"spoilt")
    with pytest.raises(UserError, match="not a model2vec model that can be read"):
        SentenceModel(tmp_path / "model")

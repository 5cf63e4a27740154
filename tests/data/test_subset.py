import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.artifact import Artifact
from orionlm.data.documents import Document, read_documents, shard_files
from orionlm.data.subset import Settings, beginning, run, write_corpus
from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.recipe.context import Context


@pytest.fixture
def corpus(tmp_path):
    """A corpus of 40 documents of a few lines, and one that is held out."""
    first = tmp_path / "first"
    first.mkdir()
    write_corpus(first, [Document("held out\n", "s", "g", "v")], Artifact(tmp_path, "corpus", {}, ""), before())
    (first / "train-00000.parquet").rename(first / "validation-00000.parquet")
    out = tmp_path / "corpus"
    out.mkdir()
    held_out = Artifact(first, "corpus", {}, "")
    train = [Document(f"line {n}\n" * (n % 7 + 3), "s", "g", f"d{n}", licence="MIT") for n in range(40)]
    write_corpus(out, train, held_out, before())
    names = ("corpus.json", "train-00000.parquet", "validation-00000.parquet")
    return Artifact(out, "corpus", {"files": dict.fromkeys(names)}, "")


def before():
    return {"documents": 1, "bytes": 9, "validation": {"documents": 1, "bytes": 9}}


def subset(corpus, tmp_path, size, seed=1, **more):
    out = tmp_path / f"subset-{size}-{seed}-{len(more)}"
    out.mkdir()
    context = Context("subset", seed, tmp_path, Progress(quiet=True))
    run(Settings(bytes=size, **more), {"corpus": corpus}, out, context)
    return out


def train(out):
    return list(read_documents(shard_files(out, "train")))


def test_a_larger_subset_holds_the_smaller_one(corpus, tmp_path):
    small, large = (train(subset(corpus, tmp_path, size)) for size in (200, 800))
    whole = {document.id: document.text for document in large}
    assert sum(document.text == whole.get(document.id) for document in small) >= len(small) - 1
    assert all(whole[document.id].startswith(document.text) for document in small)


def test_it_has_as_many_bytes_as_asked_and_says_so(corpus, tmp_path):
    out = subset(corpus, tmp_path, 500)
    size = sum(len(document.text.encode()) for document in train(out))
    page = json.loads((out / "corpus.json").read_text())
    assert 450 <= size <= 500 and page["train"]["bytes"] == size and page["bytes"] == size + 9
    assert page["train_licences"] == {"MIT": {"documents": len(train(out)), "bytes": size}}
    assert len(shard_files(out, "validation")) == 1


def test_another_seed_draws_others_and_the_same_seed_the_same(corpus, tmp_path):
    ids = [[d.id for d in train(subset(corpus, tmp_path, 400, seed, **more))] for seed, more in ((1, {}), (2, {}))]
    again = tmp_path / "again"
    again.mkdir()
    assert ids[0] != ids[1] and ids[0] == [d.id for d in train(subset(corpus, again, 400, 1))]


def test_no_document_gives_more_than_the_longest(corpus, tmp_path):
    assert max(len(d.text.encode()) for d in train(subset(corpus, tmp_path, 400, longest=20))) <= 20


def test_more_than_there_is_is_refused_with_what_there_is(corpus, tmp_path):
    with pytest.raises(UserError, match=r"bytes = 100,000: the corpus has 1,\d+ to give"):
        subset(corpus, tmp_path, 100_000)


@given(st.text(), st.integers(1, 60))
def test_a_beginning_is_one_and_fits(text, size):
    cut = beginning(text, size)
    assert text.startswith(cut) and len(cut.encode()) <= size

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.artifact import write_json
from orionlm.data import tokenizer
from orionlm.data.documents import Document
from orionlm.data.ingest import sources
from orionlm.data.tokenizer import END_OF_TEXT, WORDS, WordEncoder, load_tokenizer, sample_pieces, train_tokenizer
from orionlm.errors import UserError
from shard_writer import Writer

from .conftest import FakeContext, as_artifact

TEXT = [Path(module.__file__).read_text() for module in (sources, tokenizer, hashlib, re, os)]
SAVED = train_tokenizer(TEXT, 600).to_str()
ENCODER = WordEncoder(SAVED)
LOADED = load_tokenizer(SAVED)
ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"])) | st.text(
    " \t\r\n_'.09azé\u2028\u3000世\x00\x85", max_size=40
)


@given(ANY_TEXT)
def test_any_text_survives_the_round_trip(text: str) -> None:
    assert LOADED.decode(LOADED.encode(text).ids, skip_special_tokens=False) == text


@given(ANY_TEXT)
def test_the_fast_encoder_equals_the_tokenizer(text: str) -> None:
    assert np.frombuffer(ENCODER.encode(text), ENCODER.dtype).tolist() == LOADED.encode(text).ids


@given(ANY_TEXT)
def test_words_put_together_are_the_text(text: str) -> None:
    assert "".join(re.findall(WORDS, text)) == text


@given(ANY_TEXT)
def test_token_lengths_add_up_to_the_bytes_of_the_text(text: str) -> None:
    lengths = tokenizer.token_lengths(LOADED)
    assert sum(lengths[id] for id in LOADED.encode(text).ids) == len(text.encode())


def test_text_cannot_end_a_document_by_spelling_the_special_token() -> None:
    text = f"a = '{END_OF_TEXT}'"
    ids = np.frombuffer(ENCODER.encode(text), ENCODER.dtype).tolist()
    assert ENCODER.eot not in ids and ids == LOADED.encode(text).ids
    assert LOADED.decode(ids, skip_special_tokens=False) == text


def test_real_code_is_encoded_alike_and_compressed() -> None:
    for text in TEXT:
        assert np.frombuffer(ENCODER.encode(text), ENCODER.dtype).tolist() == LOADED.encode(text).ids
        assert ENCODER.count(text) < len(text.encode()) / 1.8


def test_training_gives_the_same_bytes_at_any_thread_count() -> None:
    program = (
        "import hashlib, re, os; from orionlm.data.tokenizer import train_tokenizer\n"
        "text = [open(m.__file__).read() for m in (hashlib, re, os)]\n"
        "print(hashlib.sha256(train_tokenizer(text, 600).to_str().encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "RAYON_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2", "5")
    }
    assert len(digests) == 1


def test_a_vocabulary_the_text_cannot_fill_names_the_size_reached() -> None:
    with pytest.raises(UserError, match=r"tokenizer.vocabulary 1,000 is more than the text supports: .* give 2\d\d;"):
        train_tokenizer(["abc abc"], 1000)


@given(st.lists(st.text("ab\n", min_size=1, max_size=200), min_size=1, max_size=40), st.integers(1, 4000))
def test_samples_are_pieces_of_the_text_near_the_size_asked_for(texts: list[str], wanted: int) -> None:
    total = sum(map(len, texts))
    sample = list(sample_pieces(iter(texts), total, wanted))
    taken = sum(map(len, sample))
    assert all(piece in "".join(texts) for piece in sample)
    assert min(total, wanted) - 1 <= taken <= min(total, wanted + 200)


def test_one_long_document_is_sampled_over_its_length() -> None:
    text = "".join(f"{number:07d}\n" for number in range(250_000))
    pieces = list(sample_pieces(iter([text]), len(text), len(text) // 10))
    assert abs(sum(map(len, pieces)) / len(text) - 0.1) < 0.02
    assert int(pieces[-1][8:15]) > 200_000


def test_the_stage_writes_a_tokenizer_of_the_size_asked_for_from_every_shard(
    tmp_path: Path, context: FakeContext
) -> None:
    for name in ("corpus", "tokenizer"):
        (tmp_path / name).mkdir()
    with Writer(tmp_path / "corpus", "train", shard_bytes=10_000) as writer:
        for number, text in enumerate(TEXT):
            writer.add(Document(text, "files", str(number), str(number), "code"), len(text.encode()))
    write_json(tmp_path / "corpus" / "corpus.json", {"train": {"bytes": writer.bytes}})
    settings = tokenizer.Settings(vocabulary=700, sample_bytes=60_000)
    tokenizer.run(settings, {"corpus": as_artifact(tmp_path / "corpus")}, tmp_path / "tokenizer", context)
    written = as_artifact(tmp_path / "tokenizer")
    info = written.json("tokenizer_info.json")
    saved = written.file("tokenizer.json").read_text()
    assert load_tokenizer(saved).get_vocab_size() == info["vocabulary"] == 700
    assert info["bytes_per_token"] > 1.8
    assert context.recorded[-1]["purpose"] == "data"
    assert writer.shards > 2
    assert saved == train_tokenizer(list(sample_pieces(iter(TEXT), writer.bytes, 60_000)), 700).to_str()


def test_a_corpus_without_shards_is_named(tmp_path: Path, context: FakeContext) -> None:
    write_json(tmp_path / "corpus.json", {"train": {"bytes": 1}})
    with pytest.raises(UserError, match="no train-00000.parquet here; make the corpus again"):
        tokenizer.run(tokenizer.Settings(), {"corpus": as_artifact(tmp_path)}, tmp_path, context)

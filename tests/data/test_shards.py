from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orionlm.artifact import Artifact
from orionlm.data import corpus, shards
from orionlm.data.corpus import read_documents
from orionlm.data.shards import Settings, TokenSet
from orionlm.data.tokenizer import load_tokenizer, train_tokenizer
from orionlm.errors import UserError

from .conftest import FakeContext, as_artifact, contents

TEXTS = [f"def f{n}(x):\n    return x + {n}  # naïve {'word ' * (n % 17)}\n" for n in range(400)] + ["<|endoftext|>"]


@pytest.fixture
def inputs(tmp_path: Path, context: FakeContext, monkeypatch: pytest.MonkeyPatch) -> dict[str, Artifact]:
    monkeypatch.setattr(corpus, "ROW_GROUP_BYTES", 2_000)
    for name in ("corpus", "tokenizer"):
        (tmp_path / name).mkdir()
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    sources = [{"rows": [str(tmp_path / "rows.jsonl")]}]
    corpus.run(corpus.Settings(sources=sources, validation_fraction=0.1), {}, tmp_path / "corpus", context)
    train_tokenizer(TEXTS, 300).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    return {name: as_artifact(tmp_path / name) for name in ("corpus", "tokenizer")}


def tokenise(inputs: dict[str, Artifact], out: Path, context: Any) -> Path:
    out.mkdir(exist_ok=True)
    shards.run(Settings(shard_bytes=5_000), inputs, out, context)
    return out


def test_shards_hold_every_document_in_order_each_ended_once(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    out = tokenise(inputs, tmp_path / "tokens", context)
    info = json.loads((out / "tokens.json").read_text())
    assert info["dtype"] == "uint16" and len(info["train"]["shards"]) > 2
    tokenizer = load_tokenizer((out / "tokenizer.json").read_text())
    for split in ("train", "validation"):
        token_set = TokenSet.open(out, split)
        ids = token_set.tokens[:]
        assert ids[-1] == token_set.eot and len(ids) == info[split]["tokens"] == len(token_set)
        pieces = np.split(ids, np.flatnonzero(ids == token_set.eot) + 1)[:-1]
        texts = [document.text for document in read_documents(inputs["corpus"].file(f"{split}.parquet"))]
        assert [tokenizer.decode(piece[:-1].tolist(), skip_special_tokens=False) for piece in pieces] == texts
        assert token_set.documents == len(texts) == info[split]["documents"]
        assert token_set.token_bytes[ids].sum() == sum(len(text.encode()) for text in texts) == token_set.bytes
        assert token_set.vocabulary == len(token_set.token_bytes) == 300


def test_an_interrupted_run_keeps_its_shards_and_ends_in_the_same_bytes(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    due = contents(tokenise(inputs, tmp_path / "whole", context))

    class Killed(Exception):
        pass

    class Dying(FakeContext):
        def record(self, purpose: str, **fields: Any) -> None:
            super().record(purpose, **fields)
            if len(self.recorded) == 3:
                raise Killed

    dying = Dying()
    with pytest.raises(Killed):
        tokenise(inputs, tmp_path / "torn", dying)
    (tmp_path / "torn" / "work" / "train-00004.bin").write_bytes(b"half a shard")
    again = FakeContext()
    assert contents(tokenise(inputs, tmp_path / "torn", again)) == due
    assert len(dying.recorded) + len(again.recorded) == len(context.recorded) - 1
    total = sum(entry["tokens"] for entry in dying.recorded + again.recorded)
    assert total == sum(json.loads(due["tokens.json"])[split]["tokens"] for split in ("train", "validation"))


def test_several_processes_write_the_same_bytes(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    due = contents(tokenise(inputs, tmp_path / "one", context))
    monkeypatch.setattr(shards, "PROCESS_BYTES", 1)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    assert contents(tokenise(inputs, tmp_path / "two", context)) == due


def test_a_vocabulary_past_sixteen_bits_is_stored_wider(tmp_path: Path) -> None:
    saved = json.loads(train_tokenizer(TEXTS, 300).to_str())
    vocabulary = saved["model"]["vocab"]
    vocabulary.update({f"Ā{number}": number for number in range(len(vocabulary), 65_537)})
    encoder = shards.WordEncoder(json.dumps(saved))
    assert encoder.dtype == np.uint32
    assert np.frombuffer(encoder.encode("def f"), encoder.dtype).tolist() == encoder.tokenizer.encode("def f").ids


def test_a_missing_artifact_a_wrong_split_and_a_short_shard_are_named(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    with pytest.raises(UserError, match="no tokens.json here"):
        TokenSet.open(tmp_path, "train")
    out = tokenise(inputs, tmp_path / "tokens", context)
    with pytest.raises(UserError, match="split 'test' does not exist"):
        TokenSet.open(out, "test")
    shard = out / "train-00001.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"train-00001.bin: [\d,]+ bytes where tokens.json says"):
        TokenSet.open(out, "train")

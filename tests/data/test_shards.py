from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.artifact import Artifact, write_json
from orionlm.data import documents, shards, shares
from orionlm.data.documents import Document, read_documents, shard_files
from orionlm.data.shards import Settings, TokenSet
from orionlm.data.tokenizer import load_tokenizer, train_tokenizer
from orionlm.errors import UserError
from shard_writer import Writer

from .conftest import FakeContext, as_artifact, contents

TEXTS = [f"def f{n}(x):\n    return x + {n}  # naïve {'word ' * (n % 17)}\n" for n in range(400)] + ["<|endoftext|>"]
DOMAINS, LICENCES = ("code", "a text/of all kinds"), ("MIT", "unknown", "GPL-3.0-only")


def write_corpus(folder: Path, mixed: bool) -> None:
    """`TEXTS` as a corpus of several Parquet shards, of one domain or of two that take turns."""
    folder.mkdir()
    for split, texts in (("train", TEXTS[40:]), ("validation", TEXTS[:40])):
        with Writer(folder, split, shard_bytes=9_000) as writer:
            for n, text in enumerate(texts):
                domain = DOMAINS[n * n % 3 == 1] if mixed else DOMAINS[0]
                licence = LICENCES[n % 3]
                writer.add(Document(text, f"s{n % 2}", str(n), str(n), domain, licence), len(text.encode()))


@pytest.fixture
def inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> dict[str, Artifact]:
    monkeypatch.setattr(documents, "ROW_GROUP_BYTES", 2_000)
    write_corpus(tmp_path / "corpus", mixed=getattr(request, "param", True))
    (tmp_path / "tokenizer").mkdir()
    train_tokenizer(TEXTS, 300).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    return {name: as_artifact(tmp_path / name) for name in ("corpus", "tokenizer")}


def tokenise(inputs: dict[str, Artifact], out: Path, context: Any, shard_bytes: int = 5_000) -> Path:
    out.mkdir(exist_ok=True)
    shards.run(Settings(shard_bytes=shard_bytes), inputs, out, context)
    return out


def packed(texts: list[str], tokenizer_json: str) -> list[int]:
    """What a stream of these documents must hold, by the tokenizer itself."""
    tokenizer = load_tokenizer(tokenizer_json)
    ids: list[int] = []
    for text in texts:
        ids += [*tokenizer.encode(text).ids, tokenizer.token_to_id("<|endoftext|>")]
    return ids


def test_a_domain_holds_its_documents_in_the_corpus_order_each_ended_once(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    out = tokenise(inputs, tmp_path / "tokens", context)
    info = json.loads((out / "tokens.json").read_text())
    assert info["dtype"] == "uint16" and len(info["train"]["domains"]["code"]["shards"]) > 2
    saved = (out / "tokenizer.json").read_text()
    for split in ("train", "validation"):
        whole = TokenSet.open(out, split)
        rows = list(read_documents(shard_files(inputs["corpus"].path, split)))
        assert list(whole.parts) == sorted(DOMAINS)
        streams = []
        for domain in sorted(DOMAINS):
            part = TokenSet.open(out, split, domain)
            texts = [row.text for row in rows if row.domain == domain]
            assert part.tokens[:].tolist() == packed(texts, saved) == whole.parts[domain].tokens[:].tolist()
            assert part.documents == len(texts) and part.bytes == sum(len(text.encode()) for text in texts)
            assert part.token_bytes[part.tokens[:]].sum() == part.bytes
            assert part.vocabulary == len(part.token_bytes) == 300
            streams.append(part.tokens[:])
        assert whole.tokens[:].tolist() == np.concatenate(streams).tolist()
        assert (len(whole), whole.documents) == (info[split]["tokens"], len(rows))


@pytest.mark.parametrize("inputs", [False], indirect=True)
@pytest.mark.parametrize("shard_bytes", [1, 5_000, 10**9])
def test_a_corpus_of_one_domain_is_one_stream_however_it_is_cut(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext, shard_bytes: int
) -> None:
    out = tokenise(inputs, tmp_path / "tokens", context, shard_bytes)
    whole = TokenSet.open(out, "train")
    assert whole.tokens[:].tolist() == packed(TEXTS[40:], (out / "tokenizer.json").read_text())
    files = [
        shard["file"] for shard in json.loads((out / "tokens.json").read_text())["train"]["domains"]["code"]["shards"]
    ]
    assert files == [f"train-code-{number:05d}.bin" for number in range(len(files))]
    assert (len(files) == 1) == (shard_bytes == 10**9)


def test_every_document_byte_and_token_is_accounted_for_once(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    out = tokenise(inputs, tmp_path / "tokens", context)
    saved = (out / "tokenizer.json").read_text()
    for split in ("train", "validation"):
        account = json.loads((out / "tokens.json").read_text())[split]
        rows = list(read_documents(shard_files(inputs["corpus"].path, split)))

        def due(rows: list[Document] = rows, **what: str) -> list[int]:
            texts = [row.text for row in rows if all(getattr(row, name) == value for name, value in what.items())]
            return [len(texts), sum(len(text.encode()) for text in texts), len(packed(texts, saved))]

        def counts(level: dict[str, Any]) -> list[int]:
            return [level[name] for name in ("documents", "bytes", "tokens")]

        assert counts(account) == due()
        for domain, under in account["domains"].items():
            assert counts(under) == due(domain=domain)
            assert sum(shard["tokens"] for shard in under["shards"]) == under["tokens"]
            for licence, under_licence in under["licences"].items():
                assert counts(under_licence) == due(domain=domain, licence=licence)
                for source, size in under_licence["sources"].items():
                    assert counts(size) == due(domain=domain, licence=licence, source=source)


def test_sources_past_the_largest_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "LARGEST", 2)
    rows = [
        {"domain": "d", "licence": "MIT", "source": f"s{n}", "documents": 1, "bytes": n, "tokens": 2 * n}
        for n in (3, 9, 5, 7)
    ]
    under = shards.account([{"accounts": rows, "shards": [], "digest": "0"}])["domains"]["d"]["licences"]["MIT"]
    assert list(under["sources"]) == ["s9", "s7", "(others)"]
    assert under["sources"]["(others)"] == {"documents": 2, "bytes": 8, "tokens": 16}


def test_the_digest_is_of_the_documents_whatever_their_order_and_shards(
    inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext
) -> None:
    def digest(texts: list[str], name: str, shard_bytes: int) -> str:
        (tmp_path / name).mkdir()
        for split in ("train", "validation"):
            with Writer(tmp_path / name, split, shard_bytes) as writer:
                for n, text in enumerate(texts):
                    writer.add(Document(text, "s", "g", str(n)), len(text))
        out = tokenise(inputs | {"corpus": as_artifact(tmp_path / name)}, tmp_path / f"{name}-tokens", context)
        return TokenSet.open(out, "validation").digest

    first = digest(TEXTS, "first", 3_000)
    assert digest(TEXTS[::-1], "turned", 10**9) == first
    assert digest(TEXTS[1:], "shorter", 3_000) != first


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=12))
def test_any_domain_has_a_file_name_of_its_own(domain: str) -> None:
    name = shards._file("train-00000", domain, 0)
    assert "/" not in name and "\0" not in name and name.startswith("train-") and name.endswith("-00000.bin")
    assert shards._file("train-00000", domain + "x", 0) != name


def test_more_domains_than_a_mixture_can_weigh_are_refused() -> None:
    with pytest.raises(UserError, match="domain 'x': a mixture weighs at most 256 domains"):
        shards._file("train-00000", "x", 256)
    with pytest.raises(UserError, match="names of at most 160 bytes"):
        shards._file("train-00000", "世" * 60, 0)


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
    (tmp_path / "torn" / "work" / "train-code-00004.bin").write_bytes(b"half a shard")
    again = FakeContext()
    assert contents(tokenise(inputs, tmp_path / "torn", again)) == due
    assert len(dying.recorded) + len(again.recorded) == len(context.recorded)
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
    with pytest.raises(UserError, match="domain 'cod': none of that name in the train text; did you mean code"):
        TokenSet.open(out, "train", "cod")
    shard = out / "train-code-00001.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(UserError, match=r"train-code-00001.bin: [\d,]+ bytes where tokens.json says"):
        TokenSet.open(out, "train")


def test_tokens_of_an_earlier_version_are_named(tmp_path: Path) -> None:
    write_json(tmp_path / "tokens.json", {"train": {"shards": []}})
    with pytest.raises(UserError, match="an earlier version made them; make the stage again"):
        TokenSet.open(tmp_path, "train")


def test_a_corpus_without_shards_is_named(inputs: dict[str, Artifact], tmp_path: Path, context: FakeContext) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no train-00000.parquet here"):
        tokenise(inputs | {"corpus": as_artifact(tmp_path / "empty")}, tmp_path / "tokens", context)

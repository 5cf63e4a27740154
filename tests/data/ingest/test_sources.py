from __future__ import annotations

import base64
import bz2
import gzip
import json
import lzma
import os
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orionlm.data.documents import Document
from orionlm.data.ingest import quarantine, spans
from orionlm.data.ingest.quarantine import Quarantine
from orionlm.data.ingest.sources import Dataset, Files, Packages, Rows
from orionlm.errors import UserError


def read(source: Any, longest: int = quarantine.LONGEST) -> tuple[list[Document], Quarantine]:
    unusable = Quarantine(longest)
    return [document for unit in source.units() for document in source.documents(unit, unusable)], unusable


def texts(source: Any) -> list[str]:
    return [document.text for document in read(source)[0]]


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


VERSION = metadata.version("packaging")
ARCHIVES = [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)]


# Packages


def test_packages_give_their_python_sources_in_order_grouped_by_package() -> None:
    documents, _ = read(Packages(packages=(f"packaging=={VERSION}", "Jinja2")))
    assert {document.group for document in documents} == {"packaging", "jinja2"}
    ids = [document.id for document in documents if document.group == "packaging"]
    assert ids == sorted(ids) and "packaging/version.py" in ids
    assert all(document.source == f"packaging=={VERSION}" for document in documents if document.group == "packaging")
    text = next(document.text for document in documents if document.id == "packaging/version.py")
    assert "class Version" in text


def test_packages_are_code_under_their_own_licence_unless_told() -> None:
    documents, _ = read(Packages(packages=("packaging",)))
    assert {(d.domain, d.licence) for d in documents} == {("code", "Apache-2.0 OR BSD-2-Clause")}
    source = Packages(packages=("packaging",), domain="tools", licence="BSD-2-Clause")
    assert {(d.domain, d.licence) for d in read(source)[0]} == {("tools", "BSD-2-Clause")}
    assert source.provenance() == {
        "packages": {"packaging": VERSION},
        "domain": "tools",
        "licences": {"packaging": "BSD-2-Clause"},
    }


def test_files_that_a_build_generates_are_left_out() -> None:
    documents, _ = read(Packages(packages=("numpy",)))
    ids = {document.id for document in documents}
    assert "numpy/__init__.py" in ids and "numpy/__config__.py" not in ids


def test_a_package_of_another_version_is_one_line_with_the_mend() -> None:
    with pytest.raises(
        UserError, match=rf"packaging {VERSION} is installed where .* 0\.1; pip install packaging==0\.1$"
    ):
        read(Packages(packages=("packaging==0.1",)))


def test_a_missing_package_and_an_ill_written_one_are_named() -> None:
    with pytest.raises(UserError, match="is not installed; pip install no-such-package-at-all==1"):
        read(Packages(packages=("no-such-package-at-all==1",)))
    with pytest.raises(UserError, match=r"'numpy>=2' is neither a name nor name==version"):
        read(Packages(packages=("numpy>=2",)))


def test_an_edited_package_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "toy-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1.0\n")
    (info / "RECORD").write_text("toy.py,sha256=AAAA,3\n")
    (tmp_path / "toy.py").write_text("x=1")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UserError, match=r"toy.py is not the file .* pip install --force-reinstall toy==1"):
        read(Packages(packages=("toy==1.0",)))


# Files


def test_files_are_read_once_in_order_without_their_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.md").write_text("two")
    (tmp_path / "sub" / "a.md").write_bytes(b"\xef\xbb\xbfone")
    documents, _ = read(Files(files=(str(tmp_path / "**/*.md"), str(tmp_path / "b.md")), licence="cc0"))
    assert [document.text for document in documents] == ["two", "one"]
    assert len({document.group for document in documents}) == 2
    assert {(document.domain, document.licence) for document in documents} == {("text", "CC0-1.0")}


def test_a_pattern_without_files_is_named() -> None:
    with pytest.raises(UserError, match=r"files: 'nowhere/\*.md' matches no file"):
        read(Files(files=("nowhere/*.md",)))


def test_a_file_that_is_not_utf8_or_too_long_is_set_aside_with_a_look_at_it(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("café".encode("latin-1"))
    (tmp_path / "b.txt").write_bytes(b"fine")
    (tmp_path / "c.txt").write_bytes("é".encode() * 600)
    documents, unusable = read(Files(files=(str(tmp_path / "*.txt"),)), longest=1100)
    assert [document.text for document in documents] == ["fine"]
    assert unusable.counts == {"not UTF-8": 1, "too long": 1}
    assert unusable.first["not UTF-8"] == [f"{tmp_path.as_posix()}/a.txt at byte 3"]
    assert base64.b64decode(unusable.kept["not UTF-8"][0]["base64"]) == b"caf\xe9"
    assert unusable.kept["too long"][0]["text"] == "é" * 512


def test_a_name_that_is_not_utf8_is_written_with_backslashes(tmp_path: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.txt")).write_text("fine")
    except OSError:
        pytest.skip("this file system takes no such names")
    (document,) = read(Files(files=(str(tmp_path / "*.txt"),)))[0]
    assert document.text == "fine" and document.id.endswith("caf\\udce9.txt")


def test_a_file_that_goes_away_while_reading_is_no_fault_of_the_text(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(jsonl({"text": "a"}))
    source = Rows(rows=(str(path),))
    (unit,) = source.units()
    path.unlink()
    with pytest.raises(UserError, match=r"a\.jsonl cannot be read \(No such file.*\); mend that, and run it again"):
        list(source.documents(unit, Quarantine()))


# Rows of JSONL


@pytest.mark.parametrize(("suffix", "pack"), [("", bytes), *ARCHIVES])
def test_jsonl_is_read_under_any_compression(tmp_path: Path, suffix: str, pack: Any) -> None:
    rows = [{"body": f"naïve {number}\n", "repo": f"r{number % 3}"} for number in range(5_000)]
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(pack(jsonl(*rows)))
    documents, _ = read(Rows(rows=(str(path),), text_field="body", group_field="repo"))
    assert [document.text for document in documents] == [row["body"] for row in rows]
    assert [document.group for document in documents] == [row["repo"] for row in rows]
    assert len({document.id for document in documents}) == 5_000


@pytest.mark.parametrize(("suffix", "pack"), ARCHIVES)
def test_a_truncated_archive_gives_what_is_whole_and_is_counted(tmp_path: Path, suffix: str, pack: Any) -> None:
    rows = [{"text": f"{number * 7919 % 1000003}"} for number in range(50_000)]
    path = tmp_path / f"rows.jsonl{suffix}"
    packed = pack(jsonl(*rows))
    path.write_bytes(packed[: len(packed) // 2])
    documents, unusable = read(Rows(rows=(str(path),)))
    assert [document.text for document in documents] == [row["text"] for row in rows[: len(documents)]]
    assert suffix == ".bz2" or len(documents) > 10_000  # .bz2: all is one block
    reason = "compressed file cut short or corrupt"
    assert unusable.counts == {reason: 1}
    assert unusable.first[reason] == [f"{path.as_posix()} after line {len(documents)}"]
    path.write_bytes(b"no archive at all")
    assert read(Rows(rows=(str(path),)))[1].counts == {reason: 1}


def test_a_corrupt_archive_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    packed = bytearray(gzip.compress(jsonl(*({"text": f"{n * 7919 % 10007}"} for n in range(30_000)))))
    packed[len(packed) // 2 : len(packed) // 2 + 50] = bytes(50)
    path.write_bytes(packed)
    documents, unusable = read(Rows(rows=(str(path),)))
    assert len(documents) < 30_000
    assert unusable.counts["compressed file cut short or corrupt"] == 1


def test_broken_lines_are_set_aside_by_reason_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [
        b'{"text": "good"}',
        b"{broken",
        b'{"text": "caf\xe9"}',
        b'["text"]',
        b'"text"',
        b'{"text": 3}',
        b'{"text": null}',
        b'{"other": "x"}',
        b'{"text": "n", "n": ' + b"9" * 5000 + b"}",
        b'{"text": ' + b"[" * 100_000 + b"}",
        b"  \t",
        b"",
        '{"text": "naïve \\u00e9 \\u0000"}'.encode(),
        b'{"text": "no line end"}',
    ]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(lines))
    documents, unusable = read(Rows(rows=(str(path),)))
    assert [document.text for document in documents] == ["good", "naïve é \0", "no line end"]
    assert [document.id.rsplit(":", 1)[1] for document in documents] == ["1", "13", "14"]
    assert unusable.counts == {
        "broken JSON": 3,
        "not UTF-8": 1,
        "not a JSON object": 2,
        "'text' is no text": 2,
        "no field 'text'": 1,
    }
    assert unusable.first["broken JSON"] == [f"{path.as_posix()}:{line}" for line in (2, 9, 10)]
    kept = unusable.kept["broken JSON"][0]
    assert kept == {"where": f"{path.as_posix()}:2", "reason": "broken JSON", "text": "{broken\n"}
    assert unusable.lacking == {"text_field": 1} and unusable.rows == 6


def test_only_so_many_of_a_reason_are_kept_and_all_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "KEPT", 5)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{broken\n" * 20)
    _, unusable = read(Rows(rows=(str(path),)))
    assert unusable.counts == {"broken JSON": 20} and len(unusable.kept["broken JSON"]) == 5
    total = Quarantine()
    for _ in range(3):
        total.include(json.loads(json.dumps(vars(unusable))))
    assert total.counts == {"broken JSON": 60} and len(total.kept["broken JSON"]) == 5
    assert len(total.first["broken JSON"]) == quarantine.FIRST


def test_a_line_too_long_to_hold_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({"text": "before"}, {"text": "x" * (3 << 20)}, {"text": "after"}))
    documents, unusable = read(Rows(rows=(str(path),)), longest=1 << 20)
    assert [(d.text, d.id.rsplit(":", 1)[1]) for d in documents] == [("before", "1"), ("after", "3")]
    assert unusable.counts == {"too long": 1} and unusable.kept["too long"][0]["text"].startswith('{"text": "xxx')


def test_a_large_file_of_lines_is_cut_into_units_that_give_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": f"{number} " + "é" * (number * 37 % 400)} for number in range(2000)]
    rows[700] = {"text": "long " * 10_000}
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*rows))
    source = Rows(rows=(str(path),))
    whole = read(source)[0]
    monkeypatch.setattr(spans, "BLOCK", 1 << 12)
    monkeypatch.setattr(spans, "UNIT_BYTES", 1 << 14)
    assert len(source.units()) > 10
    assert read(source)[0] == whole and len(whole) == 2000


def test_small_files_share_a_unit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        (tmp_path / f"{number:02d}.jsonl").write_bytes(jsonl({"text": f"{number}"}))
    source = Rows(rows=(str(tmp_path / "*.jsonl"),))
    assert len(source.units()) == 1
    monkeypatch.setattr(spans, "UNIT_BYTES", 100)
    assert 2 < len(source.units()) < 10
    assert texts(source) == [str(number) for number in range(20)]


# What rows say of themselves


def test_rows_may_name_their_own_source_domain_licence_and_id(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    own = {"text": "a", "repo": "org/x", "kind": "prose", "terms": "Apache License 2.0", "key": 7}
    path.write_bytes(
        jsonl(own, {"text": "b", "terms": ["MIT", "BSD-3-Clause"]}, {"text": "c", "terms": None, "repo": ""})
    )
    source = Rows(
        rows=(str(path),),
        source_field="repo",
        domain_field="kind",
        licence_field="terms",
        id_field="key",
        domain="web",
        licence="CC-BY-4.0",
    )
    name = path.as_posix()
    assert read(source)[0] == [
        Document("a", "org/x", "7", "7", "prose", "Apache-2.0"),
        Document("b", name, f"{name}:2", f"{name}:2", "web", "MIT AND BSD-3-Clause"),
        Document("c", name, f"{name}:3", f"{name}:3", "web", "CC-BY-4.0"),
    ]
    assert source.provenance() == {
        "rows": [str(path)],
        "domain": "web",
        "licence": "CC-BY-4.0",
        "text_field": "text",
        "id_field": "key",
        "source_field": "repo",
        "domain_field": "kind",
        "licence_field": "terms",
    }


def test_a_licence_that_nobody_knows_stays_as_it_is_written(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({"text": "a", "licence": "ask Bob"}, {"text": "b", "licence": "mit"}, {"text": "c"}))
    documents, _ = read(Rows(rows=(str(path),), licence_field="licence"))
    assert [document.licence for document in documents] == ["ask Bob", "MIT", "unknown"]


def test_a_row_without_its_group_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl({"text": "a", "group": 1}, {"text": "b"}, {"text": "c", "group": None}))
    documents, unusable = read(Rows(rows=(str(path),), group_field="group"))
    assert [document.group for document in documents] == ["1"] and unusable.counts == {"no field 'group'": 2}


def test_half_a_character_in_a_name_is_written_with_a_backslash(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"text": "a", "id": "x\\ud800"}\n')
    assert [document.id for document in read(Rows(rows=(str(path),), id_field="id"))[0]] == ["x\\ud800"]


# Rows of Parquet


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli"])
def test_parquet_is_read_under_any_codec(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), path, compression=codec)
    assert texts(Rows(rows=(str(path),))) == ["a", "b"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["é", "b"], pa.string()),
        pa.array(["é", "b"], pa.large_string()),
        pa.array(["é", "b"], pa.string_view()),
        pa.array(["é", "b"]).dictionary_encode(),
        pa.array(["é".encode(), b"b"], pa.binary()),
    ],
)
def test_text_is_text_however_parquet_types_it(tmp_path: Path, column: pa.Array) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": column}), path)
    assert texts(Rows(rows=(str(path),))) == ["é", "b"]


def test_a_row_of_parquet_that_is_no_text_costs_that_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    broken = pa.array([b"a", b"caf\xe9", b"c", None], pa.binary()).view(pa.string())
    pq.write_table(pa.table({"text": broken}), path)
    documents, unusable = read(Rows(rows=(str(path),)))
    assert [(d.text, d.id.rsplit(":", 1)[1]) for d in documents] == [("a", "1"), ("c", "3")]
    assert unusable.counts == {"not UTF-8": 1, "'text' is no text": 1}


def test_parquet_without_the_column_names_it_and_the_columns_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"content": ["a"], "lang": ["en"]}), path)
    with pytest.raises(UserError, match=r"no column 'text' \(text_field\) here; there are content, lang"):
        read(Rows(rows=(str(path),)))
    with pytest.raises(UserError, match=r"no column 'license' \(licence_field\) here; there are content, lang"):
        read(Rows(rows=(str(path),), text_field="content", licence_field="license"))


def test_one_parquet_without_the_column_among_others_is_counted(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a", "b"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"content": ["c", "d", "e"]}), tmp_path / "b.parquet")
    documents, unusable = read(Rows(rows=(str(tmp_path / "*.parquet"),)))
    assert len(documents) == 2 and unusable.counts == {"no field 'text'": 3} and unusable.lacking == {"text_field": 3}


def test_parquet_cut_short_is_counted_as_a_file(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"text": ["b"]}), tmp_path / "b.parquet")
    whole = (tmp_path / "b.parquet").read_bytes()
    for cut in (0, 3, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.parquet").write_bytes(whole[:cut])
        documents, unusable = read(Rows(rows=(str(tmp_path / "*.parquet"),)))
        assert [document.text for document in documents] == ["a"]
        assert unusable.counts == {"unreadable Parquet file": 1}


def test_a_corrupt_page_costs_its_row_group_and_no_more(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    given = [f"{number:05d} " + "x" * (number % 50) for number in range(4000)]
    pq.write_table(pa.table({"text": given}), path, row_group_size=1000, write_page_checksum=True, use_dictionary=False)
    with pq.ParquetFile(path) as file:
        column = file.metadata.row_group(2).column(0)
        place = column.data_page_offset + column.total_compressed_size // 2
    content = bytearray(path.read_bytes())
    content[place : place + 20] = bytes(20)
    path.write_bytes(content)
    documents, unusable = read(Rows(rows=(str(path),)))
    assert unusable.counts == {"unreadable Parquet row group": 4000 - len(documents)}
    assert 3000 <= len(documents) < 4000
    assert {document.text for document in documents} >= {*given[:2000], *given[3000:]}
    assert all(given[int(document.id.rsplit(":", 1)[1]) - 1] == document.text for document in documents)


def test_a_large_table_is_cut_into_units_that_give_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(
        pa.table({"text": [f"{number * 7919 % 1009} words" for number in range(5000)]}), path, row_group_size=100
    )
    source = Rows(rows=(str(path),))
    whole = read(source)[0]
    monkeypatch.setattr(spans, "UNIT_BYTES", 2000)
    assert len(source.units()) > 5 and read(source)[0] == whole and len(whole) == 5000


# Data sets


def test_a_data_set_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra hf: pip install 'orion-lm\[hf\]'"):
        read(Dataset(dataset="owner/name"))


class Stub:
    """As much of `datasets` as a source uses: a streamed data set of two shards."""

    num_shards = 2
    asked: dict[str, Any] = {}
    breaks: Exception | None = None

    @classmethod
    def load_dataset(cls, path: str, name: str | None, **options: Any) -> Stub:
        cls.asked = {"path": path, **options}
        return cls()

    def shard(self, num_shards: int, index: int) -> Any:
        assert num_shards == 2
        yield {"text": f"{index} a", "repo": "r", "license": "mit"}
        if self.breaks and index == 0:
            raise self.breaks
        yield {"text": f"{index} b", "repo": "r", "license": None}


def test_a_data_set_streams_its_shards_one_a_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Stub)
    source = Dataset(dataset="owner/stub", revision="abc", group_field="repo", licence_field="license", domain="web")
    assert len(source.units()) == 2
    assert read(source)[0] == [
        Document("0 a", "owner/stub", "r", "owner/stub:0:1", "web", "MIT"),
        Document("0 b", "owner/stub", "r", "owner/stub:0:2", "web", "unknown"),
        Document("1 a", "owner/stub", "r", "owner/stub:1:1", "web", "MIT"),
        Document("1 b", "owner/stub", "r", "owner/stub:1:2", "web", "unknown"),
    ]
    assert Stub.asked == {"path": "owner/stub", "split": "train", "revision": "abc", "streaming": True}
    said = source.provenance()
    assert (said["dataset"], said["revision"], said["licence_field"]) == ("owner/stub", "abc", "license")


def test_a_stream_that_breaks_off_is_asked_again_and_one_that_is_broken_is_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", Stub)
    source = Dataset(dataset="owner/breaks")
    monkeypatch.setattr(Stub, "breaks", ConnectionError("reset by peer"))
    with pytest.raises(UserError, match=r"shard 0 of 2 broke off after row 1 \(reset by peer\); run it again to go on"):
        read(source)
    monkeypatch.setattr(Stub, "breaks", pa.ArrowInvalid("corrupt page"))
    documents, unusable = read(source)
    assert [document.text for document in documents] == ["0 a", "1 a", "1 b"]
    assert unusable.counts == {"unreadable shard of a data set": 1}


@pytest.mark.slow
def test_a_real_data_set_on_disk_is_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    for name, value in (("HF_HUB_OFFLINE", "1"), ("HF_DATASETS_OFFLINE", "1"), ("HF_HOME", str(tmp_path / "home"))):
        monkeypatch.setenv(name, value)
    (tmp_path / "data").mkdir()
    for shard in range(3):
        rows = {"text": [f"{shard} {row}" for row in range(4)], "license": ["mit"] * 4}
        pq.write_table(pa.table(rows), tmp_path / "data" / f"train-{shard:05d}-of-00003.parquet")
    source = Dataset(dataset=str(tmp_path / "data"), licence_field="license")
    assert len(source.units()) == 3
    documents, _ = read(source)
    assert [document.text for document in documents] == [f"{shard} {row}" for shard in range(3) for row in range(4)]
    assert {document.licence for document in documents} == {"MIT"}


def test_what_is_said_of_a_place_cannot_steer_a_terminal() -> None:
    found = Quarantine()
    found.add("too long", "evil\x1b[2J\nid é", "text")
    found.lack("text_field", "row\x07", {"na\x1bme": 1})
    assert found.first["too long"] == [r"evil\x1b[2J\nid é"]
    assert found.lacking_first["text_field"] == r"row\x07, has na\x1bme"

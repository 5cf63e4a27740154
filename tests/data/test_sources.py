from __future__ import annotations

import bz2
import gzip
import json
import lzma
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orionlm.data import sources
from orionlm.data.sources import Dataset, Document, Files, Packages, Rows, Skipped
from orionlm.errors import UserError


def read(source: Any) -> tuple[list[Document], Skipped]:
    skipped = Skipped()
    documents = list(source.documents(skipped))
    skipped.check("source")
    return documents, skipped


def jsonl(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def zstd(content: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(content)
    return sink.getvalue().to_pybytes()


VERSION = metadata.version("packaging")


def test_packages_give_their_python_sources_in_order_grouped_by_package() -> None:
    documents, _ = read(Packages(packages=(f"packaging=={VERSION}", "Jinja2")))
    assert {document.group for document in documents} == {"packaging", "jinja2"}
    ids = [document.id for document in documents if document.group == "packaging"]
    assert ids == sorted(ids) and "packaging/version.py" in ids
    assert all(document.source == f"packaging=={VERSION}" for document in documents if document.group == "packaging")
    text = next(document.text for document in documents if document.id == "packaging/version.py")
    assert "class Version" in text


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


def test_files_are_read_once_in_order_without_their_byte_order_mark(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.md").write_text("two")
    (tmp_path / "sub" / "a.md").write_bytes(b"\xef\xbb\xbfone")
    documents, _ = read(Files(files=(str(tmp_path / "**/*.md"), str(tmp_path / "b.md"))))
    assert [document.text for document in documents] == ["two", "one"]
    assert len({document.group for document in documents}) == 2


def test_a_pattern_without_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"files: 'nowhere/\*.md' matches no file"):
        read(Files(files=("nowhere/*.md",)))


def test_a_named_file_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("café".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.txt at byte 3 is not UTF-8"):
        read(Files(files=(str(path),)))


def test_one_undecodable_file_in_many_is_counted_and_many_are_an_error(tmp_path: Path) -> None:
    for number in range(200):
        (tmp_path / f"{number:03d}.txt").write_text(f"text {number}")
    (tmp_path / "100.txt").write_bytes(b"\xff\xfe")
    documents, skipped = read(Files(files=(str(tmp_path / "*.txt"),)))
    assert len(documents) == 199 and skipped.reasons == {"not UTF-8": 1}
    for number in range(50, 60):
        (tmp_path / f"{number:03d}.txt").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"11 of 200 documents are unusable \(not UTF-8\), first .*050.txt"):
        read(Files(files=(str(tmp_path / "*.txt"),)))


@pytest.mark.parametrize(
    ("suffix", "pack"),
    [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd)],
)
def test_jsonl_is_read_under_any_compression(tmp_path: Path, suffix: str, pack: Any) -> None:
    rows = [{"body": f"naïve {number}\n", "repo": f"r{number % 3}"} for number in range(5_000)]
    path = tmp_path / f"rows.jsonl{suffix}"
    path.write_bytes(pack(jsonl(*rows)))
    documents, _ = read(Rows(rows=(str(path),), text_field="body", group_field="repo"))
    assert [document.text for document in documents] == [row["body"] for row in rows]
    assert [document.group for document in documents] == [row["repo"] for row in rows]
    assert len({document.id for document in documents}) == 5_000


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".xz", lzma.compress), (".zst", zstd)])
def test_a_truncated_archive_is_one_line(tmp_path: Path, suffix: str, pack: Any) -> None:
    path = tmp_path / f"rows.jsonl{suffix}"
    packed = pack(jsonl(*({"text": f"{number * 7919 % 10007}"} for number in range(3_000))))
    path.write_bytes(packed[: len(packed) // 2])
    with pytest.raises(UserError, match=r"rows\.jsonl.* cannot be read to its end") as caught:
        read(Rows(rows=(str(path),)))
    assert "\n" not in str(caught.value)


def test_broken_json_lines_are_counted_up_to_the_stated_share(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    good = jsonl(*({"text": f"{number}"} for number in range(199)))
    path.write_bytes(good + b"{broken\n")
    documents, skipped = read(Rows(rows=(str(path),)))
    assert len(documents) == 199 and skipped.reasons == {"broken JSON": 1}
    path.write_bytes(good + b"{broken\n" * 9)
    with pytest.raises(UserError, match=r"9 of 208 documents are unusable \(broken JSON\), first .*:200; at most 1%"):
        read(Rows(rows=(str(path),)))


@pytest.mark.parametrize("row", [{"body": "x"}, {"text": None}, {"text": 3}, ["x"], "x"])
def test_rows_without_text_are_an_error_that_says_why(tmp_path: Path, row: Any) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(row, row))
    with pytest.raises(UserError, match="2 of 2 documents are unusable"):
        read(Rows(rows=(str(path),)))


@pytest.mark.parametrize("codec", ["none", "snappy", "gzip", "zstd", "brotli"])
def test_parquet_is_read_under_any_codec(tmp_path: Path, codec: str) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"text": ["a", "b"], "n": [1, 2]}), path, compression=codec)
    assert [document.text for document in read(Rows(rows=(str(path),)))[0]] == ["a", "b"]


def test_a_parquet_without_the_column_names_it_and_the_columns_there(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"content": ["a"], "lang": ["en"]}), path)
    with pytest.raises(UserError, match=r"has no column 'text'; it has content, lang"):
        read(Rows(rows=(str(path),)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(UserError, match="is no readable Parquet"):
        read(Rows(rows=(str(path),)))


def test_a_data_set_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(UserError, match=r"needs the extra hf: pip install 'orion-lm\[hf\]'"):
        read(Dataset(dataset="owner/name"))


def test_a_data_set_streams_its_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    class Stub:
        @staticmethod
        def load_dataset(path: str, name: str | None, **options: Any) -> list[dict[str, str]]:
            asked.update(options, path=path)
            return [{"text": "a", "repo": "r"}, {"text": "b", "repo": "r"}]

    monkeypatch.setitem(sys.modules, "datasets", Stub)
    documents, _ = read(Dataset(dataset="owner/name", revision="abc", group_field="repo"))
    assert [(document.text, document.group) for document in documents] == [("a", "r"), ("b", "r")]
    assert asked == {"path": "owner/name", "split": "train", "revision": "abc", "streaming": True}


def test_the_tolerated_share_is_the_one_documented() -> None:
    assert sources.TOLERATED == 0.01

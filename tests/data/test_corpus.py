from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data import corpus, documents, shares
from orionlm.data.corpus import Settings
from orionlm.data.documents import Document, read_documents, shard_files
from orionlm.data.ingest import collect, spans
from orionlm.data.ingest.exact import name_key
from orionlm.data.ingest.split import choose_held_out
from orionlm.errors import UserError

from .conftest import FakeContext, contents


def write(path: Path, rows: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def build(tmp_path: Path, rows: list[dict[str, Any]], context: FakeContext, **settings: Any) -> Path:
    write(tmp_path / "rows.jsonl", rows)
    return run(tmp_path, [{"rows": [str(tmp_path / "rows.jsonl")], "group_field": "group"}], context, **settings)


def run(tmp_path: Path, sources: list[dict[str, Any]], context: FakeContext, **settings: Any) -> Path:
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    corpus.run(Settings(sources=sources, **settings), {}, out, context)
    return out


def read(out: Path, split: str = "train") -> list[Document]:
    return list(read_documents(shard_files(out, split)))


def texts(out: Path, split: str = "train") -> list[str]:
    return [document.text for document in read(out, split)]


def about(out: Path) -> dict[str, Any]:
    return json.loads((out / "corpus.json").read_text())


def rows(groups: int, each: int) -> list[dict[str, Any]]:
    return [
        {"group": f"g{g}", "text": f"text {g} {n} " + "x" * (n * 7 % 50)} for g in range(groups) for n in range(each)
    ]


# The split


def test_no_group_and_no_text_is_on_both_sides_and_nothing_is_lost(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(40, 25), context, validation_fraction=0.1)
    train, validation = read(out), read(out, "validation")
    assert not {document.group for document in train} & {document.group for document in validation}
    assert not {document.text for document in train} & {document.text for document in validation}
    assert len(train) + len(validation) == 1000 and 0.05 < len(validation) / 1000 < 0.15
    info = about(out)
    assert info["split"] == "by group" and info["groups"] == 40
    assert info["train"]["documents"] == len(train)
    assert info["validation"]["bytes"] == sum(len(document.text.encode()) for document in validation)
    assert info["bytes"] == sum(len(document.text.encode()) for document in train + validation)


def test_a_single_group_is_split_by_document_and_says_so(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(1, 200), context, validation_fraction=0.1)
    info = about(out)
    assert info["split"] == "by document"
    assert 0.05 < info["validation"]["bytes"] / info["bytes"] < 0.15
    assert info["train"]["documents"] + info["validation"]["documents"] == 200


def test_named_groups_are_held_out_and_unknown_ones_named(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(5, 10), context, validation_groups=["g3", "g1"])
    assert {document.group for document in read(out, "validation")} == {"g1", "g3"}
    assert about(out)["held_out"] == ["g1", "g3"]
    with pytest.raises(UserError, match="validation_groups: no group 'g33' here; did you mean g3"):
        build(tmp_path, rows(5, 10), context, validation_groups=["g33"])


def test_holding_out_everything_is_refused(tmp_path: Path, context: FakeContext) -> None:
    with pytest.raises(UserError, match="nothing is left to train on"):
        build(tmp_path, rows(2, 3), context, validation_groups=["g0", "g1"])
    with pytest.raises(UserError, match="nothing is left to train on"):
        build(tmp_path, [{"group": "a", "text": "the only document"}], context)


def drawn(sizes: dict[str, int], fraction: float) -> set[str]:
    keys = np.array([name_key(name) for name in sizes], np.uint64)
    chosen = choose_held_out(keys, np.array(list(sizes.values())), fraction)
    return {name for name, held_out in zip(sizes, chosen, strict=True) if held_out}


@given(st.dictionaries(st.text(max_size=6), st.integers(1, 10**6), min_size=2, max_size=60), st.floats(0.01, 0.5))
def test_the_draw_is_never_all_nor_nothing_and_ignores_order(sizes: dict[str, int], fraction: float) -> None:
    held_out = drawn(sizes, fraction)
    assert 0 < len(held_out) < len(sizes)
    assert held_out == drawn(dict(reversed(sizes.items())), fraction)


def test_the_draw_comes_near_the_fraction_when_groups_are_small() -> None:
    sizes = {f"package-{number}": 50 + number * 37 % 100 for number in range(500)}
    held_out = drawn(sizes, 0.07)
    assert abs(sum(sizes[name] for name in held_out) / sum(sizes.values()) - 0.07) < 0.002


def test_the_draw_of_these_names_never_changes() -> None:
    assert drawn({f"g{number}": 10 for number in range(20)}, 0.2) == {"g11", "g6", "g8", "g9"}


# Copies and ids


def test_duplicates_up_to_line_ends_and_trailing_blanks_are_kept_once_the_first(
    tmp_path: Path, context: FakeContext
) -> None:
    copies = ["a\nb\n", "a\r\nb", "a  \nb\t\n\n", "a\rb"]
    given = [{"group": f"g{n}", "text": text} for n, text in enumerate([*copies, " a\nb", "c"])]
    out = build(tmp_path, given, context, validation_groups=["g5"])
    assert texts(out) == ["a\nb\n", " a\nb"]
    assert about(out)["dropped"] == {"duplicate": 3}


def test_a_vendored_copy_never_crosses_the_split(tmp_path: Path, context: FakeContext) -> None:
    vendored = [{"group": "b", "text": row["text"]} for row in rows(1, 30)]
    out = build(tmp_path, rows(1, 30) + vendored + [{"group": "b", "text": "own"}], context, validation_groups=["b"])
    assert texts(out, "validation") == ["own"]


def test_the_first_source_wins_where_two_hold_the_same_document(tmp_path: Path, context: FakeContext) -> None:
    for name, own in (("a", "only in a"), ("b", "only in b")):
        write(tmp_path / f"{name}.jsonl", [{"text": "in both"}, {"text": own}])
    both = [{"rows": [str(tmp_path / f"{name}.jsonl")], "domain": name, "licence": "MIT"} for name in "ba"]
    out = run(tmp_path, both, context, validation_groups=[f"{tmp_path.as_posix()}/a.jsonl:2"])
    assert [(document.text, document.domain) for document in read(out)] == [("in both", "b"), ("only in b", "b")]
    info = about(out)
    assert info["train_domains"] == {"b": {"documents": 2, "bytes": 16}}
    assert info["validation_domains"] == {"a": {"documents": 1, "bytes": 9}}
    assert info["train_licences"] == {"MIT": {"documents": 2, "bytes": 16}}
    assert list(info["train_sources"]) == [f"{tmp_path.as_posix()}/b.jsonl"]
    assert [source["domain"] for source in info["sources"]] == ["b", "a"]


def test_an_id_given_twice_is_made_unique_and_counted(tmp_path: Path, context: FakeContext) -> None:
    ids = ["a", "a#2", "a", "b", "a", "c", "b#2", "b"]
    write(tmp_path / "rows.jsonl", [{"text": f"text {n}", "id": id} for n, id in enumerate(ids)])
    source = {"rows": [str(tmp_path / "rows.jsonl")], "id_field": "id"}
    out = run(tmp_path, [source], context, validation_groups=["c"])
    given = {int(document.text[5:]): document.id for document in read(out)}
    assert given == {0: "a", 1: "a#2", 2: "a#2#", 3: "b", 4: "a#3", 6: "b#2", 7: "b#2#"}
    assert {document.group for document in read(out)} == {"a", "a#2", "b", "b#2"}  # one id stays on one side
    assert about(out)["duplicate_ids"] == 3 and about(out)["dropped"] == {}


@hypothesis.settings(max_examples=20)
@given(st.lists(st.text("a#2", min_size=1, max_size=4), min_size=1, max_size=30), st.randoms())
def test_ids_are_unique_whatever_they_were(
    tmp_path_factory: pytest.TempPathFactory, ids: list[str], random: Any
) -> None:
    tmp_path = tmp_path_factory.mktemp("ids")
    write(tmp_path / "rows.jsonl", [{"text": f"{number}", "id": id, "group": "g"} for number, id in enumerate(ids)])
    write(tmp_path / "held.jsonl", [{"text": "held out", "group": "held"}])
    sources = [
        {"rows": [str(tmp_path / "rows.jsonl")], "id_field": "id", "group_field": "group"},
        {"rows": [str(tmp_path / "held.jsonl")], "group_field": "group"},
    ]
    out = run(tmp_path, sources, FakeContext(), validation_groups=["held"])
    found = [document.id for document in read(out)]
    assert len(set(found)) == len(ids)
    firsts = [number for number, id in enumerate(ids) if id not in ids[:number]]
    assert [found[number] for number in firsts] == [ids[number] for number in firsts]
    assert about(out)["duplicate_ids"] == len(ids) - len(firsts)


# What is left out


def test_dropped_documents_are_counted_by_reason(tmp_path: Path, context: FakeContext) -> None:
    given = ["", " \n\t", "ab", "x" * 101, "é" * 51, "good one", "good two"]
    out = build(
        tmp_path,
        [{"group": f"g{n}", "text": text} for n, text in enumerate(given)],
        context,
        min_document_bytes=3,
        max_document_bytes=100,
    )
    assert about(out)["dropped"] == {"empty": 2, "too long": 2, "too short": 1} and about(out)["documents"] == 2


def test_what_is_unusable_is_counted_said_once_and_can_be_looked_at(tmp_path: Path, context: FakeContext) -> None:
    said: list[str] = []
    context.progress.say = said.append
    (tmp_path / "a.jsonl").write_bytes(
        b'{"text": "one"}\n{broken\n{"text": "caf\xe9"}\n{"text": "\\ud800"}\n{"text": "two"}\n{broken too\n'
    )
    (tmp_path / "b.parquet").write_bytes(b"PAR1 no more")
    name = tmp_path.as_posix()
    out = run(tmp_path, [{"rows": [f"{name}/a.jsonl"]}, {"rows": [f"{name}/b.parquet"]}], context)
    info = about(out)
    assert info["dropped"] == {"broken JSON": 2, "not UTF-8": 2, "unreadable Parquet file": 1}
    assert info["quarantine"] == {
        "broken JSON": {"count": 2, "first": [f"{name}/a.jsonl:2", f"{name}/a.jsonl:6"]},
        "not UTF-8": {"count": 2, "first": [f"{name}/a.jsonl:3 at byte 13", f"{name}/a.jsonl:4"]},
        "unreadable Parquet file": {"count": 1, "first": [f"{name}/b.parquet"]},
    }
    kept = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert [row["reason"] for row in kept] == ["broken JSON"] * 2 + ["not UTF-8"] * 2 + ["unreadable Parquet file"]
    assert kept[0]["text"] == "{broken\n" and set(kept[2]) == {"where", "reason", "base64"}
    assert said == [
        f"corpus: 2 broken JSON, first {name}/a.jsonl:2; see quarantine.jsonl",
        f"corpus: 2 not UTF-8, first {name}/a.jsonl:3 at byte 13; see quarantine.jsonl",
        f"corpus: 1 unreadable Parquet file, first {name}/b.parquet; see quarantine.jsonl",
    ]


def test_a_corpus_without_trouble_has_an_empty_quarantine(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(3, 3), context)
    assert (out / "quarantine.jsonl").read_bytes() == b"" and about(out)["quarantine"] == {}


def test_an_empty_corpus_is_one_line_that_names_what_took_everything(tmp_path: Path, context: FakeContext) -> None:
    with pytest.raises(UserError, match=r"the corpus is empty: 2 empty; name sources that hold text"):
        build(tmp_path, [{"group": "a", "text": ""}, {"group": "b", "text": "\n"}], context)
    with pytest.raises(UserError, match="the corpus is empty: nothing was there"):
        build(tmp_path, [], context)
    with pytest.raises(UserError, match=r"the corpus is empty: 2 'text' is no text \(first .*rows.jsonl:1\), 1 empty"):
        build(tmp_path, [{"group": "a", "text": 1}, {"group": "a", "text": None}, {"group": "a", "text": ""}], context)


@pytest.mark.parametrize("named", ["text_field", "group_field", "licence_field", "domain_field", "id_field"])
def test_a_field_that_no_row_has_is_misnamed(tmp_path: Path, context: FakeContext, named: str) -> None:
    write(tmp_path / "a.jsonl", [{"text": "good"}, {"text": "better"}])
    write(tmp_path / "b.jsonl", [{"body": "x", "repo": "y"}] * 2)
    (tmp_path / "b.jsonl").open("a").write("{broken\n")
    sources = [
        {"rows": [str(tmp_path / "a.jsonl")]},
        {"rows": [str(tmp_path / "b.jsonl")], "text_field": "body", named: "missing"},
    ]
    with pytest.raises(
        UserError, match=rf"sources\.rows: no row has the field 'missing' \({named}\); .*has body, repo$"
    ):
        run(tmp_path, sources, context)


def test_many_small_shares_are_summed_up(tmp_path: Path, context: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shares, "LARGEST", 2)
    write(tmp_path / "rows.jsonl", [{"text": "x" * (n + 1), "from": f"s{n}"} for n in range(6)])
    source = {"rows": [str(tmp_path / "rows.jsonl")], "source_field": "from"}
    out = run(tmp_path, [source], context, validation_groups=[f"{tmp_path.as_posix()}/rows.jsonl:1"])
    assert about(out)["train_sources"] == {
        "s5": {"documents": 1, "bytes": 6},
        "s4": {"documents": 1, "bytes": 5},
        "(others)": {"documents": 3, "bytes": 9},
    }


# Shards, processes and kills


@pytest.fixture
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spans, "UNIT_BYTES", 1 << 14)
    monkeypatch.setattr(spans, "BLOCK", 1 << 12)
    monkeypatch.setattr(documents, "SHARD_BYTES", 1 << 15)
    monkeypatch.setattr(collect, "ROW_GROUP_BYTES", 1 << 12)


@pytest.mark.usefixtures("small_pieces")
def test_shards_hold_whole_documents_in_order_and_close_at_their_size(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(50, 40), context)
    files = shard_files(out, "train")
    sizes = [sum(len(document.text) for document in read_documents([file])) for file in files]
    assert len(files) > 1 and all((1 << 15) <= size < (1 << 15) + 100 for size in sizes[:-1])
    held_out = {document.group for document in read(out, "validation")}
    assert texts(out) == [row["text"] for row in rows(50, 40) if row["group"] not in held_out]


@pytest.mark.usefixtures("small_pieces")
def test_how_input_was_cut_leaves_no_trace(
    tmp_path: Path, context: FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = contents(build(tmp_path, rows(50, 40), context))
    monkeypatch.setattr(spans, "UNIT_BYTES", 1 << 20)
    assert contents(build(tmp_path, rows(50, 40), context)) == first


@pytest.mark.usefixtures("small_pieces")
def test_what_is_done_is_not_done_again(tmp_path: Path, context: FakeContext, monkeypatch: pytest.MonkeyPatch) -> None:
    first = contents(build(tmp_path, rows(50, 40), context))
    made: list[str] = []

    def failing(*arguments: Any) -> Any:
        made.append(arguments[-1].name)
        if len(made) > 2:
            raise KeyboardInterrupt
        return (collect.write_shard if len(arguments) == 3 else collect.read_unit)(*arguments)

    for leftover in (tmp_path / "out").glob("**/*"):
        leftover.unlink() if leftover.is_file() else None
    monkeypatch.setattr(corpus, "read_unit", failing)
    monkeypatch.setattr(corpus, "write_shard", failing)
    source = [{"rows": [str(tmp_path / "rows.jsonl")], "group_field": "group"}]
    for _ in range(50):
        made.clear()
        try:
            assert contents(run(tmp_path, source, context)) == first
            break
        except KeyboardInterrupt:
            assert made[2] not in {path.name for path in (tmp_path / "out").glob("**/*.parquet")}
    else:
        raise AssertionError("it never came to its end")
    made.clear()
    assert contents(run(tmp_path, source, context)) == first and made == []


@pytest.mark.usefixtures("small_pieces")
def test_torn_and_stray_files_are_no_obstacle(tmp_path: Path, context: FakeContext) -> None:
    first = contents(build(tmp_path, rows(50, 40), context))
    out = tmp_path / "out"
    for name in ("work/unit-00001.parquet", "train-00001.parquet", "validation-00000.parquet"):
        (out / name).write_bytes(b"torn")
    for name in ("work/stray", "work/unit-00000.parquet.17.tmp", "train-00000.parquet.17.tmp", "train-00099.parquet"):
        (out / name).write_bytes(b"stray")
    (out / "work" / "unit-00002.json").unlink()
    assert contents(run(tmp_path, [{"rows": [str(tmp_path / "rows.jsonl")], "group_field": "group"}], context)) == first


@pytest.mark.usefixtures("small_pieces")
def test_input_that_changed_is_read_again(tmp_path: Path, context: FakeContext) -> None:
    before = texts(build(tmp_path, rows(50, 40), context))
    after = build(tmp_path, [*rows(50, 40), {"group": "new", "text": "new"}], context)
    assert texts(after) == [*before, "new"]


SCRIPT = """
    import sys
    from contextlib import contextmanager
    from pathlib import Path
    from types import SimpleNamespace

    from orionlm.data import corpus, documents, jobs
    from orionlm.data.ingest import spans

    @contextmanager
    def task(name, total=None):
        yield SimpleNamespace(update=lambda done, note="": None)

    if __name__ == "__main__":
        spans.UNIT_BYTES, jobs.PROCESS_BYTES, documents.SHARD_BYTES = 1 << 18, 1 << int(sys.argv[1]), 1 << 19
        jobs.cores = lambda: 2
        progress = SimpleNamespace(say=lambda line: None, task=task)
        context = SimpleNamespace(progress=progress, pinned={}, record=lambda purpose, **spent: None)
        sources = [
            {"rows": ["*.jsonl"], "group_field": "group", "id_field": "id", "domain": "web"},
            {"rows": ["*.parquet"], "group_field": "group", "domain": "books"},
        ]
        out = Path("out")
        out.mkdir(exist_ok=True)
        corpus.run(corpus.Settings(sources=sources), {}, out, context)
"""


def input_for_kills(folder: Path) -> None:
    draw = np.random.default_rng(5)
    words = np.array([f"word{number}" for number in range(3000)])

    def made(count: int) -> list[dict[str, str]]:
        return [
            {
                "text": " ".join(draw.choice(words, 200)) if number % 10 else f"copy {number % 70}",
                "group": f"g{draw.integers(100)}",
                "id": f"id{draw.integers(count)}",
            }
            for number in range(count)
        ]

    for name in "abc":
        write(folder / f"{name}.jsonl", made(1000))
        (folder / f"{name}.jsonl").open("ab").write(b"{broken\n\xff\n")
    pq.write_table(pa.Table.from_pylist(made(1000)), folder / "d.parquet", row_group_size=100)


@pytest.mark.slow
def test_killed_at_any_moment_and_in_any_number_of_processes_it_ends_with_the_same_bytes(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    folders = {name: tmp_path / name for name in ("left alone", "killed")}
    for folder in folders.values():
        folder.mkdir()
    input_for_kills(folders["left alone"])
    for path in folders["left alone"].iterdir():
        (folders["killed"] / path.name).write_bytes(path.read_bytes())

    def started(folder: Path, process_bytes: int) -> subprocess.Popen:
        return subprocess.Popen([sys.executable, str(script), str(process_bytes)], cwd=folder)

    def done(folder: Path) -> int:
        return sum(path.suffix == ".json" for path in (folder / "out" / "work").glob("*"))

    assert started(folders["left alone"], 40).wait() == 0  # in one process
    killed, kills, total = folders["killed"], 0, done(folders["left alone"])
    for records, process_bytes in ((1, 16), (total // 4, 40), (total // 2, 16), (total - 3, 40), (total - 1, 40)):
        process = started(killed, process_bytes)
        while done(killed) < records and process.poll() is None:
            time.sleep(0.002)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert started(killed, 16).wait() == 0
    found = {name: contents(folder / "out") for name, folder in folders.items()}
    assert found["killed"] == found["left alone"] and len(found["killed"]) > 10
    assert kills >= 4

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.artifact import Artifact, publish
from orionlm.data.documents import Document
from orionlm.errors import UserError
from orionlm.synth.files import corpus, is_ours, real_texts, rows, sample, written
from orionlm.synth.rows import Row, write_rows
from shard_writer import Writer


def quiet(line: str) -> None:
    raise AssertionError(line)


def test_rows_of_ours_keep_their_lineage(tmp_path):
    given = [Row("a", "m", seed_text="s"), Row("b", "m").judged("language", "French")]
    write_rows(tmp_path / "artifacts/rows", given)
    for place in (tmp_path, tmp_path / "artifacts/rows", tmp_path / "artifacts/rows/rows-00000.parquet"):
        assert list(rows(str(place), "text", None, quiet)) == given


def test_anybody_s_files_are_rows_of_text_and_of_seeds_where_these_are_named(tmp_path):
    made = [{"body": "one", "from": "seed one"}, {"body": "two", "from": None}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "rows.parquet")
    (tmp_path / "note.txt").write_text("three")
    for name in ("rows.jsonl", "rows.parquet"):
        found = list(rows(str(tmp_path / name), "body", "from", quiet))
        assert [(row.text, row.seed_text) for row in found] == [("one", "seed one"), ("two", "")]
    assert [row.text for row in rows(str(tmp_path / "*.txt"), "body", None, quiet)] == ["three"]


def test_what_cannot_be_read_is_told_and_left_out(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"text": "a"}\n{oops\n{"text": 3}\n{"other": "x"}\n')
    told: list[str] = []
    assert [row.text for row in rows(str(tmp_path / "rows.jsonl"), "text", None, told.append)] == ["a"]
    said = " ".join(told)
    assert "1 broken JSON" in said and "no text in 'text'" in said and "no field 'text'" in said


@pytest.mark.parametrize(
    "name, content, field, said",
    [
        ("none.jsonl", '{"content": "a"}\n', None, "no text in it: 1 no field 'text'"),
        ("none.jsonl", "", None, "it is empty"),
        ("one.jsonl", '{"text": "a"}\n', "seed", "no row has text in the field 'seed'"),
    ],
)
def test_files_without_what_is_asked_for_are_refused_with_what_is_wrong(tmp_path, name, content, field, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=said):
        list(rows(str(tmp_path / name), "text", field, quiet))


def test_a_run_s_corpus_is_found_with_what_it_held_out(tmp_path):
    for split in ("train", "validation"):
        (tmp_path / "artifacts/corpus").mkdir(parents=True, exist_ok=True)
        with Writer(tmp_path / "artifacts/corpus", split) as writer:
            writer.add(Document(split, "s", "g", f"id of {split}"), len(split))
    found, held_out = real_texts(str(tmp_path), "text", quiet)
    assert list(found) == [("id of train", "train")] and [path.name for path in held_out] == [
        "validation-00000.parquet"
    ]


def test_where_several_were_made_one_must_be_named_and_where_none_was_it_is_said(tmp_path):
    for name in ("a", "b"):
        write_rows(tmp_path / "artifacts" / name, [Row("t", "m")])
        pq.write_table(pa.table({"text": ["t"]}), tmp_path / "artifacts" / name / "train-00000.parquet")
    for find in (written, corpus):
        with pytest.raises(UserError, match="several.*artifacts/a.*name one"):
            find(tmp_path)
        with pytest.raises(UserError, match="here; give"):
            find(tmp_path / "nowhere")


def test_of_a_run_the_rows_that_were_judged_last_are_meant_with_those_that_were_dropped(tmp_path):
    def stage(name: str, inputs: dict[str, Artifact], **files: list[Row]) -> Artifact:
        partial = tmp_path / f"artifacts/{name}.partial"
        for kind, made in files.items():
            write_rows(partial, made, kind)
        final = tmp_path / "artifacts" / name
        return publish(partial, final, kind=name, settings={}, inputs=inputs, seed=0, fingerprint="")

    first = stage("generate", {}, rows=[Row("a", "m"), Row("b", "m")])
    stage("align", {"rows": first}, rows=[Row("a", "m")], dropped=[Row("b", "m").judged("gate", "cut off")])
    assert [path.name for path in written(tmp_path)] == ["rows-00000.parquet", "dropped-00000.parquet"]
    assert [row.error for row in rows(str(tmp_path), "text", None, quiet)] == ["", "gate: cut off"]


def test_a_file_that_is_no_table_of_rows_is_not_taken_for_one(tmp_path):
    (tmp_path / "x.parquet").write_bytes(b"PAR1 no")
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "y.parquet")
    (tmp_path / "z.jsonl").write_text("{}")
    assert not any(is_ours(tmp_path / name) for name in ("x.parquet", "y.parquet", "z.jsonl"))


@given(st.integers(0, 60), st.integers(1, 30), st.integers(0, 5))
def test_a_sample_is_as_large_as_it_may_be_and_in_order(count, most, seed):
    found, seen = sample(iter(range(count)), most, seed)
    assert seen == count and len(found) == min(count, most)
    assert found == sorted(set(found)) and sample(range(count), most, seed) == (found, seen)


def test_a_sample_prefers_nobody():
    hits = [0] * 10
    for seed in range(4000):
        for item in sample(range(10), 3, seed)[0]:
            hits[item] += 1
    assert all(abs(hit - 1200) < 6 * (1200 * 0.7) ** 0.5 for hit in hits)


def test_a_row_is_of_the_real_text_that_its_seed_is_and_rows_of_one_seed_are_of_one(tmp_path):
    made = [("a", "real one\n"), ("b", "another"), ("c", "another"), ("d", " other"), ("e", "")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": t, "from": seed}) + "\n" for t, seed in made))
    given = str(tmp_path / "rows.jsonl")
    known, *rest, last = [row.seeds[0] for row in rows(given, "text", "from", quiet, {"real one": "id 1"})]
    assert known == "id 1" and rest[0] == rest[1] != rest[2] and last == f"{given}:5"
    assert len({row.seeds for row in rows(given, "text", None, quiet, {"real one": "id 1"})}) == 5

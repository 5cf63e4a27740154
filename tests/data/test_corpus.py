from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data import corpus
from orionlm.data.corpus import Settings, choose_held_out, read_documents
from orionlm.errors import UserError

from .conftest import FakeContext, contents


def build(tmp_path: Path, rows: list[dict[str, Any]], context: FakeContext, **settings: Any) -> Path:
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    source = {"rows": [str(tmp_path / "rows.jsonl")], "group_field": "group"}
    corpus.run(Settings(sources=[source], **settings), {}, out, context)
    return out


def rows(groups: int, each: int) -> list[dict[str, Any]]:
    return [
        {"group": f"g{g}", "text": f"text {g} {n} " + "x" * (n * 7 % 50)} for g in range(groups) for n in range(each)
    ]


def test_no_group_and_no_text_is_on_both_sides_and_nothing_is_lost(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(40, 25), context, validation_fraction=0.1)
    train, validation = (list(read_documents(out / f"{split}.parquet")) for split in ("train", "validation"))
    assert not {document.group for document in train} & {document.group for document in validation}
    assert not {document.text for document in train} & {document.text for document in validation}
    assert len(train) + len(validation) == 1000 and 0.05 < len(validation) / 1000 < 0.15
    info = json.loads((out / "corpus.json").read_text())
    assert info["split"] == "by group" and info["groups"] == 40
    assert info["train"]["documents"] == len(train)
    assert info["validation"]["bytes"] == sum(len(document.text.encode()) for document in validation)


def test_duplicates_up_to_line_ends_and_trailing_blanks_are_kept_once_the_first(
    tmp_path: Path, context: FakeContext
) -> None:
    copies = ["a\nb\n", "a\r\nb", "a  \nb\t\n\n", "a\rb"]
    given = [{"group": f"g{n}", "text": text} for n, text in enumerate([*copies, " a\nb", "c"])]
    out = build(tmp_path, given, context, validation_groups=["g5"])
    assert [document.text for document in read_documents(out / "train.parquet")] == ["a\nb\n", " a\nb"]
    assert json.loads((out / "corpus.json").read_text())["dropped"] == {"duplicate": 3}


def test_a_vendored_copy_never_crosses_the_split(tmp_path: Path, context: FakeContext) -> None:
    vendored = [{"group": "b", "text": row["text"]} for row in rows(1, 30)]
    out = build(tmp_path, rows(1, 30) + vendored + [{"group": "b", "text": "own"}], context, validation_groups=["b"])
    assert [document.text for document in read_documents(out / "validation.parquet")] == ["own"]


def test_dropped_documents_are_counted_by_reason(tmp_path: Path, context: FakeContext) -> None:
    texts = ["", " \n\t", "ab", "x" * 101, "é" * 51, "good one", "good two"]
    given = [{"group": f"g{n}", "text": text} for n, text in enumerate(texts)]
    out = build(tmp_path, given, context, min_document_bytes=3, max_document_bytes=100)
    info = json.loads((out / "corpus.json").read_text())
    assert info["dropped"] == {"empty": 2, "too long": 2, "too short": 1} and info["documents"] == 2


def test_text_that_has_no_utf8_form_is_refused(tmp_path: Path, context: FakeContext) -> None:
    with pytest.raises(UserError, match=r"1 of 11 documents are unusable \(not UTF-8\)"):
        build(tmp_path, [*rows(2, 5), {"group": "s", "text": "\ud800"}], context)


def test_a_single_group_is_split_by_document_and_says_so(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(1, 200), context, validation_fraction=0.1)
    info = json.loads((out / "corpus.json").read_text())
    assert info["split"] == "by document"
    assert 0.05 < info["validation"]["bytes"] / info["bytes"] < 0.15
    assert info["train"]["documents"] + info["validation"]["documents"] == 200


def test_a_rerun_over_leftovers_gives_the_same_bytes(tmp_path: Path, context: FakeContext) -> None:
    first = contents(build(tmp_path, rows(10, 30), context))
    for name in ("work/all.parquet", "work/stray", "train.parquet", "validation.parquet"):
        (tmp_path / "out" / name).write_bytes(b"torn")
    assert contents(build(tmp_path, rows(10, 30), context)) == first


def test_an_empty_corpus_is_one_line(tmp_path: Path, context: FakeContext) -> None:
    with pytest.raises(UserError, match=r"the corpus is empty: 2 empty; name sources that hold text"):
        build(tmp_path, [{"group": "a", "text": ""}, {"group": "b", "text": "\n"}], context)
    with pytest.raises(UserError, match="the corpus is empty: nothing was there"):
        build(tmp_path, [], context)


def test_named_groups_are_held_out_and_unknown_ones_named(tmp_path: Path, context: FakeContext) -> None:
    out = build(tmp_path, rows(5, 10), context, validation_groups=["g3", "g1"])
    assert {document.group for document in read_documents(out / "validation.parquet")} == {"g1", "g3"}
    with pytest.raises(UserError, match="validation_groups: no group 'g33' here; did you mean g3"):
        build(tmp_path, rows(5, 10), context, validation_groups=["g33"])


def test_holding_out_everything_is_refused(tmp_path: Path, context: FakeContext) -> None:
    with pytest.raises(UserError, match="nothing is left to train on"):
        build(tmp_path, rows(2, 3), context, validation_groups=["g0", "g1"])
    with pytest.raises(UserError, match="nothing is left to train on"):
        build(tmp_path, [{"group": "a", "text": "the only document"}], context)


@given(st.dictionaries(st.text(max_size=6), st.integers(1, 10**6), min_size=2, max_size=60), st.floats(0.01, 0.5))
def test_the_draw_is_never_all_nor_nothing_and_ignores_order(sizes: dict[str, int], fraction: float) -> None:
    held_out = choose_held_out(Counter(sizes), fraction)
    assert 0 < len(held_out) < len(sizes) and held_out <= set(sizes)
    assert held_out == choose_held_out(Counter(dict(reversed(sizes.items()))), fraction)


def test_the_draw_comes_near_the_fraction_when_groups_are_small() -> None:
    sizes = Counter({f"package-{number}": 50 + number * 37 % 100 for number in range(500)})
    held_out = choose_held_out(sizes, 0.07)
    assert abs(sum(sizes[name] for name in held_out) / sum(sizes.values()) - 0.07) < 0.002

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

import orionlm.synth.gate.mend
from orionlm.artifact import Artifact
from orionlm.data.documents import Document, TableFile, schema
from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.recipe.recipe import parse_recipe
from orionlm.recipe.rehearsal import rehearse
from orionlm.recipe.run import run_recipe
from orionlm.settings import parse_toml
from orionlm.synth.gate.align import Settings, _left_out, derive, run
from orionlm.synth.gate.gate import gate
from orionlm.synth.gate.mend import _drop, _near_enough, _Set, mend
from orionlm.synth.rows import Row, read_rows, row_files, write_rows


def rows(texts) -> list[Row]:
    return [Row(text, "planted") for text in texts]


def test_bad_rows_among_good_ones_go_each_with_its_reason_and_what_is_left_is_admitted(texts):
    real, held = texts[:500], texts[500:]
    bad = real[:220] + [text + "<|im_end|>" for text in held[:40]] + [held[50] + "." * n for n in range(20)]
    found = mend(real, rows(held[40:] + bad))
    assert found.before.verdict == "rejected"
    assert found.after.verdict == "admitted", found.after.says()
    why = {row.text: row.error for row in found.dropped}
    assert sum(why.get(text, "") == "gate: copies genuine text" for text in bad[:220]) >= 200
    assert all(text in why for text in bad[220:260])
    assert sum(why[text] == "gate: markup residue" for text in bad[220:260]) >= 35
    assert len(found.rows) + len(found.dropped) == 360 + 280
    assert sum(step.before - step.after for step in found.steps) == len(found.dropped)


@pytest.mark.slow
def test_what_is_judged_last_was_not_used_to_mend(texts):
    found = mend(texts[:450], rows(texts[450:] + texts[:200]))
    assert found.before.n_real == 450 and found.after.n_real == 300


@pytest.mark.slow
def test_what_cannot_be_saved_is_rejected(texts, elsewhere):
    found = mend(texts[:300], rows(elsewhere))
    assert found.after.verdict == "rejected"
    assert "topic drift" in found.after.faults or "topic drift" in found.before.faults


@pytest.mark.slow
def test_the_farthest_of_each_topic_go_and_what_is_left_speaks_of_what_real_text_speaks_of(texts, elsewhere):
    found = mend(texts[:500], rows(texts[500:] + elsewhere))
    (step,) = [step for step in found.steps if step.name == "the farthest from real text"]
    left = {row.text for row in found.rows}
    assert step.after < step.before and np.mean([text in left for text in elsewhere]) < 0.2
    assert np.mean([text in left for text in texts[500:]]) > 0.7
    now = {one.name: one.verdict for one in found.after.measures}
    assert now["far from real text"] == now["mixture of topics"] == "passes"


@pytest.mark.slow
def test_a_set_that_is_not_admitted_once_its_worst_rows_went_is_mended_as_any_other(texts, monkeypatch):
    real, written = texts[:450], rows(texts[450:] + [texts[460] + "<|im_end|>"] * 3)
    seen: list[int] = []

    def strict(against, judged, *more, **how):
        report = gate(against, judged, *more, **how)
        seen.append(len(against))
        return dataclasses.replace(report, verdict="cannot tell") if len(seen) == 2 else report

    monkeypatch.setattr(orionlm.synth.gate.mend, "gate", strict)
    found = mend(real, written)
    assert found.before.verdict == "admitted" and seen[:3] == [450, 450, 150] and seen[-1] == 300
    assert found.after.verdict == "admitted" and 0 < len(found.dropped) < 60
    assert sum(step.before - step.after for step in found.steps) == len(found.dropped)


@pytest.mark.slow
def test_blank_real_texts_do_not_count(texts):
    real, names = texts[:160], [f"{n:03}" for n in range(160)]
    found = mend(real, rows(texts[450:]), groups=names)
    blank = mend(
        [text for one in real for text in (one, " ")], rows(texts[450:]), groups=[name for name in names for _ in "ab"]
    )
    assert found.to_json() == blank.to_json() and found.dropped == blank.dropped
    assert mend([*texts[:1], *[""] * 149], rows(texts[450:600])).after.verdict == "cannot tell"


def test_where_no_half_of_the_real_text_can_say_what_is_near_every_row_stays(texts):
    left = _Set(rows(texts[:300]), 0)
    for names in (["one"], ["one", "two"]):
        kept = _near_enough(texts[-len(names) :], np.array(names, object), left, 200)
        assert kept.tolist() == list(range(300))


def test_the_same_rows_go_in_whatever_order_the_families_come(texts):
    rng = np.random.default_rng(0)
    bad = {name: (rng.random(300) < 0.3) * rng.random(300) for name in ("templates", "topics", "endings")}
    report = dataclasses.replace(gate(texts[:100], rows(texts[100:110]), describe=False), bad=bad, usual={})
    kept = []
    for families in (["templates", "topics", "endings"], ["endings", "templates", "topics"]):
        left = _Set(rows(texts[:300]), 0)
        assert _drop(left, report, families)
        kept.append(left.texts)
    assert kept[0] == kept[1]


def test_copies_alone_leave_nothing_that_could_be_admitted(texts):
    found = mend(texts[:300], rows(texts[:300]))
    assert found.after.verdict == "rejected" and found.after.faults[0] == "copying of seeds"


@pytest.mark.slow
def test_rows_that_come_back_to_a_phrase_more_often_than_real_texts_go_until_few_enough_do(texts):
    rng = np.random.default_rng(1)

    def haunted(text: str) -> str:
        words = text.split(" ")
        phrase = words[: min(8, len(words))]
        for place in sorted(rng.integers(0, len(words), 3), reverse=True):
            words[place:place] = phrase
        return " ".join(words)

    real, held = texts[:450], texts[450:]
    found = mend(real, rows([haunted(text) if n % 2 else text for n, text in enumerate(held)]))
    was, now = ({one.name: one for one in report.measures}["said again"] for report in (found.before, found.after))
    assert was.verdict != "passes" and now.value < was.value / 2
    assert any(step.name == "repeats itself most" and step.after < step.before for step in found.steps)


@pytest.mark.slow
def test_too_many_long_rows_are_drawn_to_the_lengths_of_the_real_text(texts):
    rng = np.random.default_rng(0)
    real, held = texts[:300], texts[300:600]
    size = np.array([len(text) for text in held])
    long = [held[n] for n in rng.choice(300, 300, p=size**2 / (size**2).sum())]
    found = mend(real, rows(held + [text + " It is so." for text in long]))
    assert any(step.name == "lengths as in real text" and step.after < step.before for step in found.steps) or (
        found.before.verdict == "admitted"
    )


@pytest.mark.slow
def test_rows_that_came_with_an_error_stay_out_with_their_own_reason(texts):
    found = mend(texts[:300], [*rows(texts[300:]), Row("", "m"), Row("x", "m", error="refused")])
    assert {row.error for row in found.dropped} >= {"refused", "gate: no text"}


@pytest.fixture
def inputs(tmp_path: Path, texts: list[str]) -> dict[str, Artifact]:
    import pyarrow as pa

    corpus, written = tmp_path / "corpus", tmp_path / "written"
    corpus.mkdir()
    for split, own in (("train", texts[:450]), ("validation", texts[860:])):
        with TableFile(corpus / f"{split}-00000.parquet", schema()) as file:
            documents = [Document(text, "s", str(n), f"{split}-{n}") for n, text in enumerate(own)]
            columns = [pa.array(column, pa.large_string()) for column in zip(*documents, strict=True)]
            file.add(pa.Table.from_arrays(columns, schema=schema()), np.array([len(text) for text in own]))
    write_rows(written, rows(texts[450:860] + texts[:220]))
    return {"corpus": Artifact(corpus, "corpus", {}, ""), "rows": Artifact(written, "generate", {}, "")}


def context(tmp_path: Path) -> Context:
    return Context("aligned", 3, tmp_path)


@pytest.mark.slow
def test_the_stage_writes_what_stays_what_goes_and_why_and_the_same_bytes_again(tmp_path, inputs):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        run(Settings(), inputs, tmp_path / name, context(tmp_path))
    a, b = ({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} for name in "ab")
    assert a == b and set(a) == {"rows-00000.parquet", "dropped-00000.parquet", "gate.json"}
    page = json.loads(a["gate.json"])
    assert page["verdict"] == "admitted" and page["before"]["faults"][0] == "copying of seeds"
    kept, gone = (list(read_rows(row_files(tmp_path / "a", name))) for name in ("rows", "dropped"))
    assert (len(kept), len(gone)) == (page["kept"], page["dropped"]) and len(kept) + len(gone) == 630
    assert all(row.error for row in gone) and not any(row.error for row in kept)
    assert page["reasons"]["gate: copies genuine text"] >= 200


def test_the_stage_is_in_the_ledger_as_verification(tmp_path, inputs):
    from orionlm.ledger import Ledger

    (tmp_path / "out").mkdir()
    run(Settings(mend=False), inputs, tmp_path / "out", context(tmp_path))
    assert [entry.purpose for entry in Ledger(tmp_path / "ledger.jsonl").entries()] == ["verify"]
    assert json.loads((tmp_path / "out" / "gate.json").read_text())["verdict"] == "rejected"


@pytest.mark.slow
def test_pieces_of_a_text_are_held_against_pieces(tmp_path, inputs, texts):
    pieces = [line for text in texts[450:860] for line in (text[:300].rpartition("\n")[0],) if len(line) > 80]
    write_rows(tmp_path / "pieces", rows(pieces))
    given = inputs | {"rows": Artifact(tmp_path / "pieces", "generate", {}, "")}
    found = {}
    for excerpts in (True, False):
        out = tmp_path / str(excerpts)
        out.mkdir()
        run(Settings(excerpts=excerpts, mend=False), given, out, context(tmp_path))
        found[excerpts] = json.loads((out / "gate.json").read_text())["faults"]
    assert "length shift" in found[False] and "length shift" not in found[True]


def test_a_dry_run_says_how_much_is_compared(tmp_path):
    assert derive(Settings(texts=700), {}, context(tmp_path)).numbers[0].value == 700


def test_an_unknown_format_or_suite_is_told_before_any_stage_runs(tmp_path):
    with pytest.raises(ValueError, match="there is no format 'fac'; did you mean faq"):
        Settings(format="fac")
    with pytest.raises(ValueError, match="there is no format 'fac'"):
        Settings(format={"rephrase": "fac"})
    recipe = parse_recipe(
        parse_toml(
            """
name = "t"
[stage.corpus]
kind = "corpus"
sources = [{ files = ["nothing-is-read.txt"] }]
[stage.rows]
kind = "generate"
inputs = { corpus = "corpus" }
seeded = {}
teachers = [{ url = "http://127.0.0.1:1/v1" }]
[stage.aligned]
kind = "align"
inputs = { corpus = "corpus", rows = "rows" }
suites = ["storys"]
""",
            "t.toml",
        )
    )
    for begin in (run_recipe, rehearse):
        with pytest.raises(UserError, match="stage aligned: suite 'storys': .*did you mean stories"):
            begin(recipe, tmp_path / "run", progress=Progress(quiet=True))


def test_rows_beyond_texts_are_told_with_the_setting_that_admits_them():
    assert Settings().texts == 20_000
    said = _left_out([Row("a", "m")] * 30, Settings(texts=200))
    assert said == "30 rows are left out: texts = 230 admits them"

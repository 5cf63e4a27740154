"""`orion data`, from files to a card."""

from __future__ import annotations

import json
import os
import random
import time

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from orionlm.cli.data import STEPS, app
from orionlm.errors import UserError

pytest.importorskip("daft")


def orion(*arguments: object) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


@pytest.fixture
def run(tmp_path):
    draw = random.Random(1)
    texts = [" ".join(f"w{draw.randrange(9999)}" for _ in range(80)) for _ in range(60)]
    texts += [text + " again" for text in texts[:10]]
    texts += [f"tiny <script> {n}" for n in range(200)]  # too much for the held-out text to take all
    rows = [{"text": text, "terms": ("MIT", "GPL-3.0-only")[n % 2]} for n, text in enumerate(texts)]
    (tmp_path / "rows.jsonl").write_text("{broken\n" + "".join(json.dumps(row) + "\n" for row in rows))
    limits = '[gopher]\nmin_words = 10\nmin_stop_words = 0\n[near_copies]\nkeep = "first"\n'
    (tmp_path / "steps.toml").write_text(limits)
    return tmp_path


def test_files_become_a_corpus_whose_losses_can_be_looked_at_and_whose_card_can_be_read(run):
    asked = ("curate", run / "rows.jsonl", "--out", run / "out", "--settings", run / "steps.toml", "-q")
    told = json.loads(orion(*asked, "--licence-field", "terms", "--json"))
    gone = told["curation"]["removed"]
    assert set(gone) == {"gopher", "near_copies"}
    assert set(told["corpus"]["train_licences"]) == {"MIT", "GPL-3.0-only"}
    kept = [pq.read_table(path) for path in (run / "out/artifacts/curated").glob("train-*.parquet")]
    assert sum(map(len, kept)) == told["corpus"]["train"]["documents"]
    shown = json.loads(orion("look", run / "out", "--step", "gopher", "-n", 2, "--json"))
    assert {sample["reason"] for sample in shown} == {"too few words"} and len(shown) == 2
    assert "<script>" in orion("look", run / "out", "--step", "gopher")
    orion("card", run / "out")
    page = (run / "out/card.html").read_text()
    for said in ("too few words", "near copy", "GPL-3.0-only", "broken JSON", "rows.jsonl", "&lt;script&gt;"):
        assert said in page
    assert "<script" not in page


def test_other_steps_are_refused_with_a_mend_that_works(run):
    asked = ("curate", run / "rows.jsonl", "--out", run / "out", "-q")
    orion(*asked)
    with pytest.raises(UserError, match="--redo curated"):
        orion(*asked, "--settings", run / "steps.toml")
    again = json.loads(orion(*asked, "--settings", run / "steps.toml", "--redo", "curated", "--json"))
    assert "gopher" in again["curation"]["removed"]


def test_the_help_names_every_step():
    from orionlm.data.filters import FILTERS

    assert STEPS.split(", ") == [*FILTERS, "near_copies", "lines"]


@pytest.mark.parametrize(
    "written, said",
    [
        ("gopher = 2020-01-01", r"steps\.toml:1: gopher: .*expected true or false or a table"),
        ('kind = "corpus"', r"steps\.toml:1: kind: unknown key"),
        ("near_copies = { threshold = nan }", r"steps\.toml:1: near_copies\.threshold: nan is no usable number"),
    ],
)
def test_a_mistake_in_a_file_of_settings_is_told_with_that_file_s_line(run, written, said):
    (run / "steps.toml").write_text(written)
    with pytest.raises(UserError, match=said):
        orion("curate", run / "rows.jsonl", "--out", run / "out", "--settings", run / "steps.toml", "-q")


def test_a_step_that_is_none_is_refused_by_name(run):
    with pytest.raises(UserError, match="--step: no step 'kind', "):
        orion("curate", run / "rows.jsonl", "--out", run / "out", "--step", "kind", "-q")


def test_names_of_files_may_hold_any_character(run):
    odd = run / 'a"b\\c\x7f\x1b[31m.jsonl'
    (run / "rows.jsonl").rename(odd)
    told = json.loads(orion("curate", odd, "--out", run / "out", "-q", "--json"))
    assert told["corpus"]["train"]["documents"] > 0
    with pytest.raises(UserError, match="not UTF-8"):
        orion("curate", run / "a\udcff.jsonl", "--out", run / "out2", "-q")


def test_what_documents_are_called_cannot_steer_a_terminal(run):
    rows = [{"text": f"short {n} \x1b[2J", "id": f"{n}\x1b]0;evil\x07\nforged line"} for n in range(40)]
    rows += [json.loads(line) for line in (run / "rows.jsonl").read_text().splitlines()[1:61]]
    (run / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("curate", run / "rows.jsonl", "--out", run / "out", "--id-field", "id", "-q")
    orion(*asked, "--settings", run / "steps.toml")
    shown = orion("look", run / "out", "-n", 40)
    assert r"\x1b]0;evil\x07\nforged line" in shown
    assert "\x1b" not in shown and "\x07" not in shown


def test_what_was_damaged_since_it_was_published_is_told_in_a_line(run):
    orion("curate", run / "rows.jsonl", "--out", run / "out", "-q")
    (run / "out/artifacts/curated/samples.json").write_text("{")
    for command in ("look", "card"):
        with pytest.raises(UserError, match=r"samples\.json: corrupt.*--redo curated"):
            orion(command, run / "out")


def test_what_cannot_be_looked_at_or_written_says_why(run):
    orion("curate", run / "rows.jsonl", "--out", run / "out", "-q")
    with pytest.raises(UserError, match="a corpus artifact, and this needs one of kind curate"):
        orion("look", run / "out/artifacts/corpus")
    with pytest.raises(UserError, match="there is no directory"):
        orion("card", run / "out", "--out", run / "nowhere/card.html")
    with pytest.raises(UserError, match="a file is there"):
        orion("fit", run / "rows.jsonl", "--bad", run / "rows.jsonl", "--out", run / "rows.jsonl")


def test_files_that_changed_since_they_were_read_are_named(run, capfd):
    asked = ("curate", run / "rows.jsonl", "--out", run / "out", "-q")
    orion(*asked)
    assert "changed since" not in CliRunner().invoke(app, [str(one) for one in asked]).output
    later = time.time() + 60
    os.utime(run / "rows.jsonl", (later, later))
    assert "rows.jsonl; --redo corpus" in CliRunner().invoke(app, [str(one) for one in asked]).output

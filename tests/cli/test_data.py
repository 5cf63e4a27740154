"""`orion data`, from files to a card."""

from __future__ import annotations

import json
import random

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

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from gain.worlds import WIDTHS, ladder, table
from orionlm.cli.gain import gain
from orionlm.errors import UserError
from orionlm.gain.runs import read_runs, write_runs

app = typer.Typer()
app.command()(gain)


def orion(*words):
    result = CliRunner().invoke(app, [str(word) for word in words])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def runs(tmp_path):
    path = tmp_path / "runs.csv"
    write_runs(path, table(ladder(noise=0.003), ladder("x", 2.0, WIDTHS[-2:], 0.003), ladder("y", 1.1, WIDTHS[-1:])))
    return path


def test_gains_and_the_next_step_are_printed_as_json(runs):
    said = json.loads(orion(runs, "--json"))
    assert [one["lever"] for one in said["gains"]] == ["x", "y"]
    x = said["gains"][0]
    assert x["fresh"]["low"] < 2.0 < x["fresh"]["high"] and x["runs"] == 2 and len(x["scales"]) == 2
    assert said["recommendation"]["step"] == "x"


def test_the_table_for_people_names_the_lever_its_interval_and_the_next_step(runs):
    text = orion(runs, "--lever", "x", "--stock", "5000")
    assert "this stock" in text and "more than ×" in text and "next: pull 'x'" in text


def test_costs_make_the_gain_net(runs, tmp_path):
    costs = tmp_path / "costs.toml"
    costs.write_text("[x]\nonce = 4e12\n")
    x = json.loads(orion(runs, "--lever", "x", "--costs", costs, "--json"))["gains"][0]
    assert x["net"]["value"] == pytest.approx(x["fresh"]["value"] / 2)


def test_a_trackers_export_is_made_a_run_table(tmp_path):
    log = tmp_path / "muon.log"
    log.write_text("step: 10  loss: 4.5  memory: 1GiB\n")
    out = tmp_path / "runs.csv"
    said = orion("--import", log, "--fact", "params=1e6", "--fact", "tokens_per_step=100", "--out", out)
    assert "1 rows written" in said and read_runs(out)["tokens"].tolist() == [1000]


def test_mistakes_are_told_in_one_line(runs, tmp_path):
    for words, said in (
        ((runs, "--lever", "z"), "no row of"),
        ((runs, "--column", "a=b"), "goes with --import"),
        ((runs, runs), "given twice"),
        (("--import", runs, "--column", "loss"), "OURS=VALUE"),
        ((runs, "--metric", "arc"), "no column 'arc'"),
    ):
        with pytest.raises(UserError, match=said):
            orion(*words)


def test_tables_of_two_ladders_are_priced_as_one(tmp_path):
    rows = {"plain": ladder(noise=0.003), "curated": ladder("curated", 2.0, noise=0.003)}
    for name, part in rows.items():
        (tmp_path / name).mkdir()
        write_runs(tmp_path / name / "runs.csv", table([row | {"run": row["scale"]} for row in part]))
    one = json.loads(orion(tmp_path / "plain" / "runs.csv", tmp_path / "curated" / "runs.csv", "--json"))["gains"][0]
    assert one["lever"] == "curated" and one["runs"] == len(WIDTHS)
    assert one["fresh"]["low"] < 2.0 < one["fresh"]["high"] and one["verdict"] == "helps"


def test_the_command_imports_no_numpy_before_it_runs():
    code = "import sys, orionlm.cli.gain; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

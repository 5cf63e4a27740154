from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from orionlm.cli import claim, plateau, wall
from orionlm.errors import UserError

app = typer.Typer()
for command in (claim, plateau, wall):
    command.register(app)


def said(*arguments: str):
    result = CliRunner().invoke(app, list(arguments))
    if result.exception:
        raise result.exception
    return result.stdout


def test_a_claim_file_is_answered_in_json_with_all_its_parts(tmp_path):
    path = tmp_path / "claim.toml"
    path.write_text(
        '[[claim]]\nname = "mine"\nkind = "compute"\naccelerator = "H100"\n'
        'chips = 1000\ndays = "100 days"\nflops = "1e24"\n'
    )
    (found,) = json.loads(said("claim", str(path), "--json"))["claims"]
    assert {"name", "kind", "needs", "probability", "verdict", "words", "warnings", "inputs"} <= set(found)
    assert found["needs"]["utilisation_bf16"]["value"] == pytest.approx(1e24 / (1000 * 989e12 * 100 * 86400))
    assert found["inputs"]["days"] == 100


def test_examples_are_listed_run_by_name_and_shown_to_be_copied(tmp_path):
    names = json.loads(said("claim", "--list", "--json"))
    assert "gpt4-ten-times" in names and "gpt4-ten-times:" in said("claim", "--list")
    assert "614 days" in said("claim", "gpt4-ten-times")
    copy = tmp_path / "mine.toml"
    copy.write_text(said("claim", "gpt4-ten-times", "--show"))
    assert said("claim", str(copy), "--json") == said("claim", "gpt4-ten-times", "--json")


def test_more_chips_and_runs_can_be_named_in_files(tmp_path):
    runs = tmp_path / "runs.toml"
    runs.write_text('[Mine]\nflops = "1e24"\nsource = "here"\n')
    path = tmp_path / "claim.toml"
    path.write_text(
        '[[claim]]\nname = "x"\nkind = "compute"\naccelerator = "H100"\nchips = 9\ntimes = 2\nreference = "Mine"\n'
    )
    (found,) = json.loads(said("claim", str(path), "--runs", str(runs), "--json"))["claims"]
    assert found["needs"]["flops"]["value"] == 2e24


def test_no_source_and_an_unknown_one_are_refused():
    with pytest.raises(UserError, match="--list"):
        said("claim")
    with pytest.raises(UserError, match="no such example"):
        said("claim", "gpt5")
    with pytest.raises(UserError, match="no such file"):
        said("claim", "gpt5.toml")


def test_the_wall_is_printed_with_the_probability_of_a_year(tmp_path):
    found = json.loads(said("wall", "--year", "2026", "--json"))
    assert int(found["median"]) == 2028 and [int(v) for v in found["interval80"]] == [2026, 2032]
    assert 0 < found["probability_before"] < found["probability"] == found["by_year"]["2026"] < 0.5
    assert int(json.loads(said("wall", "--overtraining", "5", "--json"))["median"]) == 2027
    assert "2028" in said("wall") and "warning" not in said("wall")
    path = tmp_path / "wall.toml"
    path.write_text('stock = "30T"\ngrowth = 0.5\n')
    assert json.loads(said("wall", str(path), "--json"))["median"] < 2026
    with pytest.raises(UserError, match="overtraining"):
        said("wall", "--overtraining", "-5")


def test_a_plateau_is_judged_from_a_table(tmp_path):
    path = tmp_path / "line.csv"
    path.write_text("model,flops,score,planned\na,1e22,.3,\nb,1e23,.4,\nc,1e24,.5,\nd,1e25,.6,\ne,1e26,.6,.8\n")
    assert json.loads(said("plateau", str(path), "--json"))["verdict"] == "below its law"
    assert "below its law" in said("plateau", str(path))


def test_the_commands_import_no_numpy_before_they_run():
    code = "import sys, orionlm.cli.claim, orionlm.cli.wall, orionlm.cli.plateau; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

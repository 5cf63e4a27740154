from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import orionlm.plan
from orionlm.cli.fleet import register
from orionlm.errors import UserError

EXAMPLES = Path(orionlm.plan.__file__).with_name("examples")
app = typer.Typer()
register(app)


def test_a_plan_is_printed_as_a_table_and_as_json():
    path = str(EXAMPLES / "fleet.toml")
    shown = CliRunner().invoke(app, [path], env={"COLUMNS": "200"})
    assert (
        shown.exit_code == 0 and "flagship" in shown.stdout and "great hall" in shown.stdout and "binds" in shown.stdout
    )
    said = json.loads(CliRunner().invoke(app, [path, "--json"]).stdout)
    assert said["feasible"] and {run["name"] for run in said["runs"]} >= {"flagship", "successor"}
    assert said["bound"]["cluster"] == "great hall" and said["freed"]["dollars"] <= 25e6


def test_an_infeasible_fleet_names_the_smallest_changes_in_one_line():
    result = CliRunner().invoke(app, [str(EXAMPLES / "fleet-too-late.toml"), "--json"])
    assert isinstance(result.exception, UserError) and "\n" not in str(result.exception)
    assert "move the deadline of large from 2026-08-15 to" in str(result.exception)
    said = json.loads(result.stdout)
    assert not said["feasible"] and len(said["relaxations"]) == 2


@pytest.mark.parametrize("content", ["", "start = 1", "[[run]]\nname = 3", "\x00", None])
def test_a_hopeless_file_is_the_users_mistake(tmp_path, content):
    path = tmp_path / "fleet.toml"
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(app, [str(path)])
    assert isinstance(result.exception, UserError) and "fleet.toml" in str(result.exception)


def test_the_command_imports_no_numpy_before_it_runs():
    code = "import sys, orionlm.cli.fleet; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)

from __future__ import annotations

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import scripted

TESTS = Path(scripted.__file__).parent
COMMANDS = ["run", "report", "complete", "serve", "chat", "ask", "eval", "runs", "gc", "doctor"]


@pytest.fixture
def orion(tmp_path):
    """The command line in a directory of its own, with the scripted stage kinds."""
    (tmp_path / "small.toml").write_text(scripted.RECIPE)

    def call(*arguments: str, **how) -> subprocess.CompletedProcess:
        how.setdefault("stdout", subprocess.PIPE)
        environment = os.environ | {"PYTHONPATH": str(TESTS), "COLUMNS": "120"} | how.pop("env", {})
        return subprocess.run(
            [sys.executable, "-m", "scripted", *arguments], cwd=tmp_path, env=environment, stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL, text=True, timeout=60, **how,
        )  # fmt: skip

    return call


def refused(call: subprocess.CompletedProcess, code: int = 2) -> str:
    """The one line that a failed command printed."""
    assert call.returncode == code, call
    assert not call.stdout
    assert call.stderr.startswith("error: ") and call.stderr.count("\n") == 1, call.stderr
    return call.stderr.removeprefix("error: ").strip()


def test_help_answers_at_once_and_loads_nothing_heavy():
    command = [sys.executable, "-X", "importtime", "-c", "import sys; sys.argv = ['orion', '--help']; "
               "from orionlm.cli import main; main()"]  # fmt: skip
    found = subprocess.run(command, capture_output=True, text=True)
    assert "orion run quickstart" in found.stdout
    loaded = {line.rpartition("|")[2].strip().partition(".")[0] for line in found.stderr.splitlines()}
    assert "typer" in loaded
    assert not loaded & {"numpy", "scipy", "pydantic", "torch", "rich", "pyarrow", "tokenizers", "altair", "jinja2"}
    took = []
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-c", command[-1]], capture_output=True)
        took.append(time.perf_counter() - began)
    assert statistics.median(took) < 0.9


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_json(orion, command):
    shown = orion(command, "--help").stdout
    assert re.search(rf"Examples?:\n +orion {command}", shown)
    assert "--json" in shown


def test_a_run_from_first_to_last(orion, tmp_path):
    done = orion("run", "small.toml", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert [stage["stage"] for stage in result["stages"]] == ["a", "b", "c"]
    assert result["run"] == "runs/small"
    assert (tmp_path / "runs/small/recipe.toml").read_text() == scripted.RECIPE
    again = orion("run", "runs/small", "--json", "--quiet")
    assert [stage["digest"] for stage in json.loads(again.stdout)["stages"]] == [s["digest"] for s in result["stages"]]
    assert again.stderr == ""
    (row,) = json.loads(orion("runs", "--json").stdout)
    assert (row["run"], row["done"], row["total"], row["state"]) == ("runs/small", 3, 3, "finished")
    assert "3/3" in orion("runs").stdout


def test_a_dry_run_prints_numbers_formulas_and_cost_and_writes_nothing(orion, tmp_path):
    shown = orion("run", "small.toml", "--dry-run").stdout
    assert "links = 20 links    links of the inputs + steps" in shown
    assert re.search(r"ahead +1.5e\+10 +1 min 48 s +–", shown)
    assert json.loads(orion("run", "small.toml", "--dry-run", "--json").stdout)["cost"]["seconds"] == 108.0
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rnu"], "no such command 'rnu', did you mean 'run'; see orion --help"),
        (["run"], "missing argument 'recipe'; see orion run --help"),
        (["run", "small.toml", "--dryrun"], "no such option: --dryrun"),
        (["run", "smal.toml"], "'smal.toml': no such file, and no published recipe of that name"),
        (["run", "small.toml", "--until", "d"], "small.toml: no stage 'd', known: a, b, c"),
        (["run", "small.toml", "--redo", "d"], "small.toml: no stage 'd', known: a, b, c"),
        (["report", "nowhere"], "nowhere: no run here; make one with: orion run quickstart"),
        (["runs", "nowhere"], "nowhere: no such directory"),
        (["complete", "nowhere", "x", "--tokens", "0"], "--tokens"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(orion, arguments, line):
    assert line in refused(orion(*arguments))


def test_a_stage_that_refuses_is_one_line_and_its_work_is_kept(orion, tmp_path):
    (tmp_path / "small.toml").write_text(
        scripted.RECIPE.replace('kind = "middle"', 'kind = "middle"\nfail = "too small"')
    )
    refusal = orion("run", "small.toml", "--quiet")
    assert refused(refusal) == "stage b: too small"
    (row,) = json.loads(orion("runs", "--json").stdout)
    assert (row["done"], row["state"]) == (1, "stopped: run it again to go on")


def test_a_fault_of_ours_is_one_line_exit_code_one_and_a_traceback_on_request(orion, tmp_path):
    broken = (TESTS / "scripted.py").read_text().replace('    (out / "inner")', '    1 / 0\n    (out / "inner")', 1)
    (tmp_path / "scripted.py").write_text(broken)
    line = refused(orion("run", "small.toml", "--quiet", env={"PYTHONPATH": str(tmp_path)}), code=1)
    assert line == "ZeroDivisionError: division by zero (a fault of Orion's; ORION_DEBUG=1 shows where)"
    traced = orion("run", "small.toml", "--quiet", env={"PYTHONPATH": str(tmp_path), "ORION_DEBUG": "1"})
    assert traced.returncode == 1 and "1 / 0" in traced.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_does_not_fit_is_one_line(orion):
    with open("/dev/full", "w") as full:
        assert "no space left on device" in refused(orion("run", "small.toml", "--dry-run", "--json", stdout=full))


def test_a_disk_that_fills_up_is_one_line_and_the_run_goes_on_when_there_is_room(orion, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = (
        shutil.which("mount")
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(disk)], capture_output=True
        ).returncode
    )
    if not mounted:
        pytest.skip("may not mount a file system here")
    try:
        line = refused(orion("run", "small.toml", "--quiet", "--dir", "disk/run"))
        assert "no space left on device: free some and run it again; what was finished is kept" in line
        subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
        assert orion("run", "small.toml", "--dir", "disk/run").returncode == 0
        filled = json.loads(orion("run", "small.toml", "--json", "--dir", "disk/run").stdout)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    elsewhere = json.loads(orion("run", "small.toml", "--json").stdout)
    assert [stage["digest"] for stage in filled["stages"]] == [stage["digest"] for stage in elsewhere["stages"]]


def test_gc_deletes_what_is_spent_after_asking_and_nothing_else(orion, tmp_path):
    orion("run", "small.toml", "--until", "b")
    artifacts = tmp_path / "runs/small/artifacts"
    for name in ("a.old", "b.partial", "c.old", "c.partial"):
        (artifacts / name).mkdir()
        (artifacts / name / "weights").write_bytes(bytes(5000))
    assert "10 kB may go" in orion("gc", "--dry-run").stdout
    assert orion("gc").returncode == 2
    assert "add --yes or --dry-run" in refused(orion("gc", "--json"))
    assert len(list(artifacts.iterdir())) == 6
    assert json.loads(orion("gc", "--yes", "--json").stdout)["bytes"] == 10000
    assert sorted(path.name for path in artifacts.iterdir()) == ["a", "b", "c.old", "c.partial"]
    assert "nothing may go" in orion("gc", "--yes").stdout


def test_a_killed_run_is_listed_as_killed(orion, tmp_path):
    orion("run", "small.toml", "--until", "a")
    (tmp_path / "runs/small/lock").write_text("999999\n")
    (row,) = json.loads(orion("runs", "--json").stdout)
    assert (row["state"], row["done"], row["total"]) == ("killed: run it again to go on", 1, 3)


def test_doctor_names_what_it_looked_at(orion):
    looked = orion("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(looked.stdout)}
    assert {"python", "cores", "memory", "disk", "directory", "torch", "compiler", "train", "hf"} <= set(findings)
    assert all(finding["state"] in ("ok", "note", "problem") and finding["found"] for finding in findings.values())
    assert (looked.returncode == 2) == any(finding["state"] == "problem" for finding in findings.values())


def test_a_missing_extra_is_one_line_that_says_what_to_install(orion, tmp_path):
    (tmp_path / "tokenizers.py").write_text("raise ModuleNotFoundError('No module', name='tokenizers')")
    needy = (TESTS / "scripted.py").read_text().replace("    (out /", "    import tokenizers\n    (out /", 1)
    (tmp_path / "scripted.py").write_text(needy)
    line = refused(orion("run", "small.toml", "--quiet", env={"PYTHONPATH": str(tmp_path)}))
    assert line == "this needs tokenizers: pip install 'orion-lm[train]'"

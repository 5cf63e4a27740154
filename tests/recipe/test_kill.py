from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import scripted
from orionlm.artifact import open_artifact
from orionlm.ledger import Ledger
from orionlm.recipe.rundir import RunDirectory

TESTS = Path(scripted.__file__).parent


def start(recipe: Path, directory: Path, pause: float = 0.02) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "scripted", "run", str(recipe), "--dir", str(directory)],
        env=os.environ | {"PYTHONPATH": str(TESTS), "SCRIPTED_PAUSE": str(pause)},
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_lock(directory: Path, process: subprocess.Popen) -> None:
    while process.poll() is None:
        try:
            if (directory / "lock").read_text().strip() == str(process.pid):
                return
        except FileNotFoundError:
            pass
        time.sleep(0.005)


def test_twenty_kills_at_random_moments_change_no_digest(tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(scripted.RECIPE.replace("steps = 5", "steps = 60"))
    undisturbed = start(recipe, tmp_path / "undisturbed", pause=0)
    assert undisturbed.wait(60) == 0, undisturbed.stderr.read()

    moments, kills = random.Random(20), 0
    run = tmp_path / "disturbed"
    while kills < 20:
        process = start(recipe, run)
        wait_for_lock(run, process)
        time.sleep(moments.uniform(0, 0.25))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
    assert kills == 20
    final = start(recipe, run)
    assert final.wait(60) == 0, final.stderr.read()
    for stage in "abc":
        one, other = (open_artifact(tmp_path / name / "artifacts" / stage) for name in ("undisturbed", "disturbed"))
        assert one.digest == other.digest
    assert len(Ledger(run / "ledger.jsonl").entries()) >= 160  # a kill may fall between a link and its entry


def test_interrupts_end_cleanly_and_say_how_to_go_on(tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(scripted.RECIPE.replace("steps = 5", "steps = 20"))
    for number, code in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
        process = start(recipe, tmp_path / "run")
        wait_for_lock(tmp_path / "run", process)
        time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=30)
        assert process.returncode == code, said
        assert said.splitlines()[-1] == "stopped: run it again to go on"
    final = start(recipe, tmp_path / "run")
    assert final.wait(60) == 0
    assert "goes on where it was" in final.stderr.read()


def test_two_runs_in_one_directory_one_waits_outside(tmp_path):
    recipe = tmp_path / "small.toml"
    recipe.write_text(scripted.RECIPE.replace("steps = 5", "steps = 200"))
    first = start(recipe, tmp_path / "run")
    wait_for_lock(tmp_path / "run", first)
    assert RunDirectory(tmp_path / "run").holder() == (first.pid, True)
    second = start(recipe, tmp_path / "run")
    _, said = second.communicate(timeout=30)
    assert second.returncode == 2
    assert (
        said
        == f"error: {tmp_path}/run: in use by process {first.pid}; wait for it, stop it, or choose another directory\n"
    )
    first.kill()
    first.communicate()
    assert RunDirectory(tmp_path / "run").holder() == (first.pid, False)

"""The whole way from text to a verdict, by the command line, in real processes."""

import json
import subprocess
import sys

import pytest

from orionlm.artifact import open_artifact
from orionlm.errors import UserError


def orion(*words, code=0):
    result = subprocess.run([sys.executable, "-m", "orionlm.cli", *words], capture_output=True, text=True, timeout=280)
    assert result.returncode == code, result.stderr
    return result


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True)
def one_cache(cache, own_cache, monkeypatch):
    """What is measured on the machine decides the last bits, so all runs here share it."""
    monkeypatch.setenv("XDG_CACHE_HOME", cache)


@pytest.fixture(scope="module")
def finished(cache, tmp_path_factory):
    run_dir = tmp_path_factory.mktemp("runs") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", cache)
        orion("run", "too-small", "--dir", str(run_dir), "--quiet")
    return run_dir


@pytest.mark.slow
def test_a_ladder_that_is_too_small_says_cannot_tell_and_its_report_too(finished):
    page = json.loads(orion("report", str(finished), "--json").stdout)
    assert page["forecast"]["verdict"] == "cannot tell" and page["forecast"]["predicted"] is None
    assert page["ledger"]["total"]["flops"] > 1e10
    assert "cannot tell" in (finished / "report.html").read_text().lower()


@pytest.mark.slow
def test_the_trained_checkpoint_completes_text(finished):
    page = json.loads(orion("complete", str(finished), "def ", "--tokens", "150", "--json").stdout)
    assert page["completion"]


@pytest.mark.slow
def test_killed_at_random_moments_and_continued_ends_with_the_same_digests(finished, tmp_path):
    import importlib.util
    from pathlib import Path

    script = Path(__file__).parents[1] / "benchmarks" / "kill_resume.py"
    spec = importlib.util.spec_from_file_location("kill_resume", script)
    kill_resume = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(kill_resume)
    run_dir = tmp_path / "disturbed"
    assert kill_resume.killed("too-small", run_dir, kills=5, longest=9.0) >= 3
    kill_resume.finish("too-small", run_dir)
    assert kill_resume.digests(run_dir) == kill_resume.digests(finished)


@pytest.mark.slow
def test_a_byte_flipped_in_the_weights_is_found_and_named(finished, tmp_path):
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    weights = copy / "artifacts" / "run" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-5] ^= 1
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        open_artifact(weights.parent)
    assert "model.safetensors" in orion("complete", str(copy), "def ", code=2).stderr
    line = orion("run", "too-small", "--dir", str(copy), "--quiet", code=2).stderr.strip()
    assert "model.safetensors" in line and "--redo run" in line

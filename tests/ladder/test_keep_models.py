"""A ladder that keeps its models leaves whole, loadable checkpoints, however it was killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orionlm.artifact import open_artifact

RECIPE = """
name = "kept"
seed = 1
[stage.corpus]
kind = "corpus"
sources = [{ files = ["text/*.py"] }]
[stage.tokenizer]
kind = "tokenizer"
inputs = { corpus = "corpus" }
vocabulary = 512
[stage.tokens]
kind = "tokens"
inputs = { corpus = "corpus", tokenizer = "tokenizer" }
[stage.ladder]
kind = "ladder"
inputs = { tokens = "tokens" }
largest_flops = 6e10
widths = [16, 32]
branches = [0.5, 1.0]
validation_tokens = 4096
keep_models = true
training = { context = 64, batch_size = 16, warmup_steps = 5 }
"""
MODELS = ["d16-0", "d16-1", "d32-0", "d32-1"]


@pytest.fixture
def recipe(tmp_path) -> Path:
    """Over text of its own: the sources of what is tested."""
    (tmp_path / "text").mkdir()
    for number, path in enumerate(sorted(Path(__file__).parents[2].glob("src/orionlm/*/*.py"))):
        (tmp_path / "text" / f"{number}.py").write_bytes(path.read_bytes())
    (tmp_path / "kept.toml").write_text(RECIPE)
    return tmp_path / "kept.toml"


def start(recipe: Path, directory: Path, cache: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "orionlm.cli", "run", str(recipe), "--dir", str(directory), "--quiet"],
        cwd=recipe.parent,
        env=os.environ | {"XDG_CACHE_HOME": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(recipe: Path, directory: Path, cache: Path) -> None:
    process = start(recipe, directory, cache)
    assert process.wait(280) == 0, process.stderr.read()  # type: ignore[union-attr]


@pytest.mark.slow
def test_every_point_leaves_a_model_that_loads_and_is_the_same_after_a_kill_between_two(recipe, tmp_path):
    import torch

    from orionlm.evals.stage import found_models
    from orionlm.model.checkpoint import load

    disturbed = tmp_path / "disturbed"
    process = start(recipe, disturbed, tmp_path / "cache")
    deadline = time.monotonic() + 200
    while not list(disturbed.glob("artifacts/*ladder*/models/*/model.safetensors")):
        assert time.monotonic() < deadline and process.poll() is None, "no model was seen before the ladder ended"
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (disturbed / "artifacts" / "ladder" / "manifest.json").exists()
    finish(recipe, disturbed, tmp_path / "cache")
    finish(recipe, tmp_path / "whole", tmp_path / "cache")

    one, other = (open_artifact(folder / "artifacts" / "ladder") for folder in (disturbed, tmp_path / "whole"))
    assert one.digest == other.digest
    models = found_models({"ladder": one})
    assert [model.name for model in models] == MODELS
    for model in models:
        loaded = load(model.folder)
        assert sum(p.numel() for p in loaded.parameters()) == model.params
        logits = loaded(torch.zeros((1, 4), dtype=torch.long))
        assert torch.isfinite(logits).all() and logits.shape[-1] == 512
        assert (model.folder / "tokenizer.json").is_file()

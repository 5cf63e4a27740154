"""What is on disk may be broken in any way: the engine says so in one line, or mends it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from inference.server import tiny
from orionlm.errors import UserError
from orionlm.inference.engine import cpu
from orionlm.inference.engine.load import load_engine
from orionlm.sampling import Sampling


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return tiny.make_checkpoint(tmp_path_factory.mktemp("load") / "tiny")


@pytest.fixture
def checkpoint(whole, tmp_path) -> Path:
    return shutil.copytree(whole, tmp_path / "broken")


@pytest.mark.parametrize("end", ["x", -1, 10**9, True, 1.0])
def test_an_end_that_is_no_token_is_refused(checkpoint, end):
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(config | {"eos_token_id": end}))
    with pytest.raises(UserError, match="eos_token_id"):
        load_engine(checkpoint, slots=1)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("tokenizer.json", b"{}", "not a tokenizer"),
        ("tokenizer.json", b"\xff\xfe", "not a tokenizer"),
        ("config.json", b"[]", "not a readable checkpoint"),
        ("config.json", b'{"model_type": "qwen3", "rope_parameters": 5}', "not a readable checkpoint"),
        ("config.json", b'{"model_type": "llama"}', "only 'qwen3'"),
    ],
)
def test_a_file_of_nonsense_is_one_line(checkpoint, name, content, said):
    (checkpoint / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        load_engine(checkpoint, slots=1)


def test_weights_that_are_no_numbers_are_refused(checkpoint):
    weights = load_file(checkpoint / "model.safetensors")
    weights["model.norm.weight"][0] = float("nan")
    save_file(weights, checkpoint / "model.safetensors")
    with pytest.raises(UserError, match="NaN"):
        load_engine(checkpoint, slots=1)


@pytest.mark.parametrize("name", ["top_k", "max_tokens"])
def test_numbers_that_no_engine_can_hold_are_refused(name):
    with pytest.raises(UserError, match=name):
        Sampling(**{name: 2**63})


LOADED = "from orionlm.inference.engine.cpu import _library; assert _library() is not None"


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a compiler")
def test_a_kept_library_that_was_cut_short_is_built_again(tmp_path):
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", LOADED], env=environment, check=True, timeout=120)
    (kept,) = (tmp_path / "orionlm").iterdir()
    good = kept.read_bytes()
    kept.unlink()  # not written over: this process may have it in memory
    kept.write_bytes(good[:20_000])
    subprocess.run([sys.executable, "-c", LOADED], env=environment, check=True, timeout=120)
    assert cpu._is_whole(kept) and list((tmp_path / "orionlm").iterdir()) == [kept]


@pytest.mark.skipif(not shutil.which("g++"), reason="needs a compiler")
def test_without_a_place_to_keep_it_the_library_serves_and_leaves_nothing(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "scratch").mkdir()
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "file"), "TMPDIR": str(tmp_path / "scratch")}
    subprocess.run([sys.executable, "-c", LOADED], env=environment, check=True, timeout=120)
    assert not list((tmp_path / "scratch").iterdir())

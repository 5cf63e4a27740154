from __future__ import annotations

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from orionlm.cli.synth_probe import probe
from orionlm.recipe.kinds import KINDS, Kind
from synth.teaching import Teaching
from synth.test_probe import candidate, sentences, served, silent, trained, wise  # noqa: F401


@pytest.fixture
def orion(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(
        KINDS, "probe", Kind("orionlm.synth.probe", {"corpus": ("corpus",), "tokenizer": ("tokenizer",)})
    )
    app = typer.Typer()
    app.command()(probe)
    return lambda *arguments: CliRunner().invoke(app, [str(one) for one in arguments])


def asked(folder: Path, *candidates: dict) -> list:
    import random

    rng = random.Random(0)
    (folder / "real.jsonl").write_text("".join(json.dumps({"text": sentences(rng, 60)}) + "\n" for _ in range(60)))
    tables = "".join(
        f"[[candidates]]\nname = {json.dumps(one['name'])}\nseeded = {{}}\nteacher = "
        f"{{ {', '.join(f'{key} = {json.dumps(value)}' for key, value in one['teacher'].items())} }}\n"
        for one in candidates
    )
    head = "rows = 8\nflops = 1e9\nwidth = 16\nseeds = 2\nrounds = 1\ntraining = { context = 16 }\n"
    (folder / "probe.toml").write_text(head + tables)
    return [
        folder / "real.jsonl",
        "--settings",
        folder / "probe.toml",
        "--out",
        folder / "run",
        "--vocabulary",
        "300",
        "-q",
    ]


def test_it_ranks_says_who_is_out_and_prints_what_to_paste(tmp_path, orion, trained):  # noqa: F811
    good, mute = Teaching(wise), Teaching(silent)
    with served(good, mute):
        given = asked(tmp_path, candidate("good", good), candidate("mute", mute))
        found = orion(*given)
        again = orion(*given, "--json")
    assert found.exit_code == 0, found.output
    assert "mute: none of its" in found.output and "[stage.good]" in found.output and "seeded = {}" in found.output
    assert "good is the only one" in found.output
    assert json.loads(again.output)["winners"]["bits"]["name"] == "good"


def test_a_wrong_settings_file_is_named(tmp_path, orion):
    given = asked(tmp_path)
    found = orion(*given)
    assert found.exit_code and "candidates" in str(found.exception)

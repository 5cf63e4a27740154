"""A curation that is a stage of a recipe: what was done before a kill is done."""

from __future__ import annotations

import json

import pytest

from orionlm.data.curation import curate
from orionlm.progress import Progress
from orionlm.recipe.recipe import parse_recipe
from orionlm.recipe.run import run_recipe
from orionlm.settings import parse_toml

RECIPE = """
name = "x"
[stage.corpus]
kind = "corpus"
sources = [{ rows = ["rows.jsonl"] }]
[stage.curated]
kind = "curate"
inputs = { corpus = "corpus" }
near_copies = false
"""


class Killed(BaseException):
    pass


def test_parts_judged_before_a_kill_are_not_judged_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": f"words {n}"}) + "\n" for n in range(50)))
    recipe = parse_recipe(parse_toml(RECIPE, "r.toml"))

    def kill(*_):
        raise Killed

    with monkeypatch.context() as patched, pytest.raises(Killed):
        patched.setattr(curate, "compare", kill)
        run_recipe(recipe, tmp_path / "run", progress=Progress(quiet=True))
    monkeypatch.setattr(curate, "judge", kill)
    done = run_recipe(recipe, tmp_path / "run", progress=Progress(quiet=True))
    assert done["curated"].json("curation.json")["kept"]["domain"]["text"]["documents"] > 40

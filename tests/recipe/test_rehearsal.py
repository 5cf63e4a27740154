from __future__ import annotations

import pytest

from orionlm.progress import Progress
from orionlm.recipe.rehearsal import as_json, cost, rehearse
from orionlm.recipe.run import run_recipe

QUIET = Progress(quiet=True)


def test_a_dry_run_hands_numbers_on_prices_what_is_ahead_and_leaves_no_trace(recipe, tmp_path):
    priced = recipe(("seed = 7\n", 'seed = 7\n[price]\ndollars_per_hour = 10\nsource = "list"\n'))
    rehearsed = rehearse(priced, tmp_path / "run", progress=QUIET)
    assert [item.estimate.numbers[0].value for item in rehearsed] == [5, 10, 20]
    ahead = cost(priced, rehearsed)
    assert (ahead["flops"], ahead["seconds"], ahead["unknown_time"]) == (15e9, 108.0, [])
    assert ahead["dollars"] == pytest.approx(0.3)
    assert not (tmp_path / "run").exists()


def test_what_is_done_costs_nothing_more(recipe, tmp_path):
    run_recipe(recipe(), tmp_path, until="b", progress=QUIET)
    shown = as_json(recipe(), rehearse(recipe(), tmp_path, progress=QUIET))
    assert [stage["done"] for stage in shown["stages"]] == [True, True, False]
    assert (shown["cost"]["flops"], shown["cost"]["seconds"], shown["cost"]["dollars"]) == (5e9, 36.0, None)
    again = as_json(recipe(), rehearse(recipe(), tmp_path, redo=["b"], progress=QUIET))
    assert [stage["done"] for stage in again["stages"]] == [True, False, False]


def test_a_kind_that_says_nothing_beforehand_is_named(recipe, tmp_path, monkeypatch):
    monkeypatch.delattr("scripted.derive")
    shown = as_json(recipe(), rehearse(recipe(), tmp_path, progress=QUIET))
    assert shown["cost"]["unknown_time"] == ["a", "b", "c"]
    assert shown["cost"]["seconds"] is None

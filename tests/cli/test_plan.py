"""`orion plan` as a person uses it."""

import json

import pytest
from typer.testing import CliRunner

from orionlm.cli import app

run = CliRunner().invoke


@pytest.mark.parametrize("name", ["day", "product", "frontier"])
def test_shipped_budgets_make_plans(name):
    said = json.loads(run(app, ["plan", name, "--json"]).stdout)
    assert said["verdict"] in ("go", "no-go", "cannot tell")
    assert said["plan"]["flops"] == pytest.approx(6 * said["plan"]["params"] * said["plan"]["tokens"])
    assert {"binding", "shadow_prices", "neighbours", "time", "cost", "layout", "serving", "formulas"} <= set(said)


def test_every_printed_formula_recomputes_its_number():
    said = json.loads(run(app, ["plan", "product", "--json"]).stdout)
    value = {row["name"]: row["value"] for row in said["formulas"]}
    assert value["device_hours"] == pytest.approx(value["flops"] / value["rate"] / 3600)
    assert value["days"] == pytest.approx(value["device_hours"] / said["time"]["devices"] / 24)
    assert value["rate"] == pytest.approx(989e12 * 0.40 * value["goodput"])
    assert value["serving_flops"] == pytest.approx(2 * said["plan"]["params"] * 1e13)


def test_a_person_reads_what_binds_and_what_more_would_buy():
    said = run(app, ["plan", "day", "--formulas"]).stdout
    assert "what binds: time" in said
    assert "1B tokens of real text" in said
    assert "6 · params · tokens" in said
    assert "1 day " in said


def test_the_same_question_gets_the_same_answer():
    assert run(app, ["plan", "day", "--json"]).stdout == run(app, ["plan", "day", "--json"]).stdout

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from orionlm.cli.fit import register
from orionlm.errors import UserError
from orionlm.plan.laws import BESIROGLU

app = typer.Typer()
register(app)


@pytest.fixture
def runs(tmp_path):
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e8, 1e10, 5), np.geomspace(2e9, 2e11, 5)))
    loss = BESIROGLU.predict(n, d) * np.exp(0.002 * np.random.default_rng(0).standard_normal(25))
    path = tmp_path / "runs.csv"
    path.write_text("params,tokens,loss\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(n, d, loss, strict=True)))
    return path


def test_a_fit_is_printed_written_and_read_by_the_forecast(runs, tmp_path):
    out = tmp_path / "fit.json"
    fitted = CliRunner().invoke(app, ["fit", str(runs), "--bootstrap", "50", "--out", str(out), "--json"])
    value = json.loads(fitted.stdout)
    assert {"A", "B", "E", "alpha", "beta", "sd", "interval", "objective", "n", "seconds"} <= set(value) and value[
        "n"
    ] == 25
    asked = ["forecast", str(out), "--params", "2e10", "--tokens", "4e11"]
    said = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert said["low"] < float(BESIROGLU.predict(2e10, 4e11)) < said["high"] and said["level"] == 0.9
    assert said["extrapolation_factor"] == pytest.approx(4)
    assert "90% interval" in CliRunner().invoke(app, asked).stdout


def test_the_table_for_people_names_every_parameter(runs):
    shown = CliRunner().invoke(app, ["fit", str(runs), "--bootstrap", "0"]).stdout
    assert all(name in shown for name in ("A", "B", "E", "alpha", "beta", "25 rows"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit", "{runs}", "--drop-worst", "25"],
        ["fit", "{runs}", "--bootstrap", "-1"],
        ["fit", "none.csv"],
        ["forecast", "none.json", "--params", "1e9", "--tokens", "1e10"],
        ["forecast", "{runs}", "--params", "1", "--tokens", "1"],
    ],
)
def test_mistakes_are_the_users_and_one_line(runs, arguments):
    result = CliRunner().invoke(app, [argument.format(runs=runs) for argument in arguments])
    assert isinstance(result.exception, UserError) and "\n" not in str(result.exception)

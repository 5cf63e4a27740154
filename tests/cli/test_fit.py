from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from orionlm.cli.fit import register
from orionlm.errors import UserError
from orionlm.plan.laws import BESIROGLU
from orionlm.plan.repetition import effective_tokens

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


@pytest.fixture
def repeated(tmp_path):
    """Runs on 1 to 30 epochs, by the published decay of repeated text."""
    n, u, epochs = (v.ravel() for v in np.meshgrid([1e8, 4e8, 1.6e9], [2e9, 8e9, 3.2e10], [1, 5, 30]))
    loss = BESIROGLU.predict(n, effective_tokens(u * epochs, u))
    loss = loss * np.exp(0.002 * np.random.default_rng(0).standard_normal(len(n)))
    path = tmp_path / "repeated.csv"
    rows = (f"{a},{b},{c},{d}\n" for a, b, c, d in zip(n, u * epochs, u, loss, strict=True))
    path.write_text("params,tokens,unique_tokens,loss\n" + "".join(rows))
    return path


def test_rows_that_repeat_text_are_not_silently_taken_for_fresh(repeated, tmp_path):
    out = tmp_path / "fit.json"
    asked = ["fit", str(repeated), "--bootstrap", "30", "--out", str(out)]
    said = CliRunner().invoke(app, asked).stdout
    assert "18 of 27 rows repeat text" in said and "--unique-tokens" in said
    value = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    assert value["beta"] == pytest.approx(0.3658, abs=0.05) and value["repetition"]["repeated"] == 18
    # Taken for fresh, the same rows do not lie on the law.
    plain = tmp_path / "plain.csv"
    plain.write_text("".join(",".join((r := row.split(","))[:2] + r[3:]) for row in repeated.open()))
    other = json.loads(CliRunner().invoke(app, ["fit", str(plain), "--bootstrap", "0", "--json"]).stdout)
    assert "repetition" not in other and other["objective"] > 1.5 * value["objective"]


def test_a_forecast_on_less_text_is_higher_wider_and_near_the_truth(repeated, runs, tmp_path):
    for table, unique in ((repeated, 1e10), (runs, 1e10)):
        out = tmp_path / "fit.json"
        CliRunner().invoke(app, ["fit", str(table), "--bootstrap", "60", "--out", str(out)])
        asked = ["forecast", str(out), "--params", "1.6e9", "--tokens", "1.6e11", "--json"]
        fresh = json.loads(CliRunner().invoke(app, asked).stdout)
        again = json.loads(CliRunner().invoke(app, [*asked, "--unique-tokens", str(unique)]).stdout)
        assert set(again) == set(fresh) and again["level"] == 0.9
        assert again["extrapolation_factor"] == fresh["extrapolation_factor"]
        assert again["loss"] > fresh["loss"] and again["high"] - again["low"] > fresh["high"] - fresh["low"]
        assert again["low"] < float(BESIROGLU.predict(1.6e9, effective_tokens(1.6e11, unique))) < again["high"]


@pytest.mark.parametrize(
    ("law", "parameters"), [("kaplan", {"A", "B", "alpha", "beta"}), ("gadre", {"A", "E", "beta"})]
)
def test_any_law_can_be_fitted_and_forecast_with(runs, tmp_path, law, parameters):
    out = tmp_path / "fit.json"
    asked = ["fit", str(runs), "--law", law, "--bootstrap", "20", "--out", str(out), "--json"]
    value = json.loads(CliRunner().invoke(app, asked).stdout)
    assert value["law"] == law and parameters <= set(value)
    said = json.loads(
        CliRunner().invoke(app, ["forecast", str(out), "--params", "2e10", "--tokens", "4e11", "--json"]).stdout
    )
    assert set(said["by_law"]) == {law}


def test_the_repetition_law_is_fitted_and_shown(repeated):
    asked = ["fit", str(repeated), "--law", "repetition", "--bootstrap", "40"]
    value = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    low, high = value["interval"]["r_star"]
    assert low < 15.4 < high and value["repeated"] == 18 and value["n"] == 27
    assert "r_star" in CliRunner().invoke(app, asked).stdout


def test_the_default_laws_keys_stay_where_no_text_is_repeated(runs):
    value = json.loads(CliRunner().invoke(app, ["fit", str(runs), "--bootstrap", "20", "--json"]).stdout)
    assert set(value) == {"A", "B", "E", "alpha", "beta", "law", "sd", "interval", "objective", "n", "seconds"}


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["fit", "{runs}", "--law", "chinchila"], "chinchilla"),
        (["fit", "{runs}", "--law", "repetition"], "no row has fewer unique_tokens"),
        (["forecast", "{fit}", "--params", "1e9", "--tokens", "1e10", "--unique-tokens", "-1"], "unique_tokens"),
        (["forecast", "{fit}", "--params", "1e9", "--tokens", "1e10", "--unique-tokens", "1e4"], "epochs"),
    ],
)
def test_mistakes_about_laws_and_text_name_their_mend(runs, tmp_path, arguments, why):
    out = tmp_path / "fit.json"
    CliRunner().invoke(app, ["fit", str(runs), "--bootstrap", "0", "--out", str(out)])
    result = CliRunner().invoke(app, [argument.format(runs=runs, fit=out) for argument in arguments])
    assert isinstance(result.exception, UserError) and why in str(result.exception)
    assert "\n" not in str(result.exception)


def test_a_score_is_forecast_from_the_loss_and_a_wrong_unit_is_refused(runs, tmp_path):
    out, scores = tmp_path / "fit.json", tmp_path / "scores.csv"
    CliRunner().invoke(app, ["fit", str(runs), "--bootstrap", "0", "--out", str(out)])
    loss = np.linspace(2.05, 2.8, 12)
    score = 0.25 + 0.75 / (1 + np.exp(6 * (loss - 2.2)))
    scores.write_text("loss,score\n" + "".join(f"{a},{b}\n" for a, b in zip(loss, score, strict=True)))
    asked = ["forecast", str(out), "--params", "2e10", "--tokens", "4e11", "--scores", str(scores), "--chance", "0.25"]
    said = json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)
    truth = 0.25 + 0.75 / (1 + np.exp(6 * (float(BESIROGLU.predict(2e10, 4e11)) - 2.2)))
    assert said["score"]["low"] < truth < said["score"]["high"] and said["score"]["predictable"] == "yes"
    assert "score 0." in CliRunner().invoke(app, asked).stdout
    for text, why in (
        (scores.read_text().replace("loss", "bits_per_byte"), "no column 'loss'"),
        ("loss,score\n2,x\n", "row 1, score = 'x'"),
        ("loss,score\n2,.5\n", "5 or more"),
    ):
        scores.write_text(text)
        error = CliRunner().invoke(app, asked).exception
        assert isinstance(error, UserError) and why in str(error)

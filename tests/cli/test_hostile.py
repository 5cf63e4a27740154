"""What a clumsy or hostile person gives the planning commands: one line that names the field, never a crash."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from orionlm.cli import app
from orionlm.errors import UserError
from orionlm.plan.best import Means, choose
from orionlm.plan.budget import Budget, reach
from orionlm.plan.outlook import Outlook
from orionlm.settings import parse_toml, validate

FLEET = """start = 2026-01-01
[[cluster]]
name = "hall"
accelerator = "H100"
devices = "20K"
{cluster}
[[run]]
name = "one"
flops = "1e25"
{run}
"""
CLAIM = """[[claim]]
name = "x"
kind = "compute"
accelerator = "H100"
chips = "50K"
days = "90 days"
{more}
"""


def refusal(command: str, path, text: str, *options: str) -> str:
    path.write_text(text, encoding="utf-8")
    error = CliRunner().invoke(app, [command, str(path), *options]).exception
    assert isinstance(error, UserError), error
    return str(error)


@pytest.mark.parametrize(
    "text, said",
    [
        ('[compute]\nflops = "1e24"\n[text]\nunique = "1,5B"', "text.unique: '1,5B' is no amount"),
        (f'[compute]\nflops = 1{"0" * 400}\n[text]\nunique = "1B"', "compute.flops"),
        ('[compute]\nflops = "1e-300"\n[text]\nunique = "1B"', "too little FLOP"),
        (
            '[compute]\nflops = "1e24"\n[text]\nunique = "1B"\n[model]\nsmallest = "7B"\nlargest = "1B"',
            "smallest = 7e+09 is above largest",
        ),
        ('[compute]\nflops = "1"\n[text]\nunique = "1B"', "give 6e+12 times as much"),
    ],
)
def test_absurd_budgets_are_refused(tmp_path, text, said):
    assert said in refusal("plan", tmp_path / "b.toml", text)


@pytest.mark.parametrize("command", ["plan", "claim", "plateau"])
def test_a_name_too_long_for_a_file_is_no_fault(command):
    assert isinstance(CliRunner().invoke(app, [command, "a" * 5000]).exception, UserError)


def test_more_text_is_never_worse():
    outlook = Outlook.of("published")

    def loss(text: str) -> float:
        document = parse_toml(f'[compute]\nflops = "1e24"\n[text]\n{text}', "b.toml")
        budget = validate(Budget, document.values, document)
        return float(outlook.weight @ choose(outlook, Means.of(budget, reach(budget))).losses)

    synthetic = [loss(f'unique = "10B"\nsynthetic = {amount}') for amount in np.geomspace(3e10, 1e15, 9)]
    assert np.diff(synthetic).max() < 2e-4
    epochs = [loss(f'unique = "10B"\nmost_epochs = {most}') for most in (8, 16, 100, 1000)]
    assert np.diff(epochs).max() < 2e-4


@pytest.mark.parametrize(
    "cluster, run, said",
    [
        ('slip = "-1 week"', "", "cluster[0].slip: '-1 week': time must be positive"),
        ("", "min_devices = 0", "run[0].min_devices: 0: count must be positive"),
        ("", "flps = 3", "run[0].flps: unknown key"),
    ],
)
def test_a_mistake_in_one_table_is_named_itself(tmp_path, cluster, run, said):
    assert said in refusal("fleet", tmp_path / "f.toml", FLEET.format(cluster=cluster, run=run))


def test_a_fleet_of_too_many_runs_is_refused_at_once(tmp_path):
    many = "".join(f'[[run]]\nname = "{i}"\nflops = 1e24\n' for i in range(101))
    text = FLEET.format(cluster="", run="")
    assert "102 tables: give 1 to 100" in refusal("fleet", tmp_path / "f.toml", text + many)
    assert "megabyte" in refusal("fleet", tmp_path / "f.toml", text + many * 1000)


def test_a_late_cluster_that_nothing_waits_for_is_json(tmp_path):
    path = tmp_path / "f.toml"
    path.write_text(FLEET.format(cluster='slip = ["1 s", "200 years"]', run=""), encoding="utf-8")
    assert json.loads(CliRunner().invoke(app, ["fleet", str(path), "--json"]).stdout)["bound"]["bound"] is False


@pytest.mark.parametrize(
    "more, said",
    [
        ('times = 10\nreference = {accelerator = "H100"}', "reference.flops: missing"),
        ('flops = "1e26"\nholds = "days <= nan%"', "'nan%' is no amount"),
        ('flops = "1e26"\nholds = "chips >= $5"', "chips is not in dollars"),
    ],
)
def test_absurd_claims_are_refused(tmp_path, more, said):
    assert said in refusal("claim", tmp_path / "c.toml", CLAIM.format(more=more))


def test_a_claim_is_the_same_bytes_whatever_the_hash_seed():
    ask = [sys.executable, "-m", "orionlm.cli", "claim", "gpt4-ten-times", "--json"]
    said = {
        subprocess.run(ask, capture_output=True, check=True, env=os.environ | {"PYTHONHASHSEED": seed}).stdout
        for seed in ("1", "2")
    }
    assert len(said) == 1


def test_showing_a_file_that_is_no_text_is_refused(tmp_path):
    path = tmp_path / "c.toml"
    path.write_bytes(b"\xff\xfe")
    error = CliRunner().invoke(app, ["claim", str(path), "--show"]).exception
    assert isinstance(error, UserError) and "not UTF-8" in str(error)


def test_a_wall_beyond_the_calendar_names_its_inputs(tmp_path):
    said = refusal("wall", tmp_path / "w.toml", 'demand = "1"\ngrowth = 0.01\nstock = "1e20"')
    assert "stock = 1e+20" in said and "growth" in said


@pytest.mark.parametrize(
    "last, said",
    [
        ("1e308", "beyond all bounds"),
        ("60", "mix shares (0 to 1) and percentages"),
        ("nan", "must be a finite number"),
        ("0.6,1", "row 4 has more fields than the header"),
    ],
)
def test_absurd_scores_are_refused(tmp_path, last, said):
    rows = f"model,flops,score\na,1e22,0.2\nb,1e23,0.35\nc,1e24,0.5\nd,1e25,{last}\n"
    assert said in refusal("plateau", tmp_path / "l.csv", rows)


def table(path, change=lambda loss, i: loss, more="", value=""):
    rows = [(n, d) for n in (1e7, 1e8, 1e9) for d in (1e9, 1e10, 1e11)]
    losses = [change(1.8 + 480 / n**0.35 + 2080 / d**0.37, i) for i, (n, d) in enumerate(rows)]
    lines = [f"{n},{d},{loss}{value}" for (n, d), loss in zip(rows, losses, strict=True)]
    path.write_text("\n".join([f"params,tokens,loss{more}", *lines]), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize(
    "change, options, said",
    [
        (lambda loss, i: 2.5, [], "all runs have the same loss"),
        (lambda loss, i: loss * 1e300, [], "no loss in nats or bits"),
        (lambda loss, i: loss, ["--bootstrap", "100000000"], "give 0 to 100,000 resamples"),
        (lambda loss, i: loss, ["--out", "."], "is a directory"),
        (lambda loss, i: loss, ["--out", "b" * 5000, "--bootstrap", "2"], "choose another place"),
    ],
)
def test_absurd_fits_are_refused(tmp_path, change, options, said):
    error = CliRunner().invoke(app, ["fit", table(tmp_path / "r.csv", change), *options]).exception
    assert isinstance(error, UserError) and said in str(error)


def test_a_fit_of_noise_is_still_json(tmp_path):
    rng = np.random.default_rng(0)
    path = table(tmp_path / "r.csv", lambda loss, i: rng.uniform(1, 1e3))
    answer = CliRunner().invoke(app, ["fit", path, "--json", "--bootstrap", "50"])
    assert answer.exit_code == 0 and json.loads(answer.stdout, parse_constant=pytest.fail)["n"] == 9


def test_rows_of_one_run_give_no_interval(tmp_path):
    path = table(tmp_path / "r.csv", more=",run", value=",only")
    assert json.loads(CliRunner().invoke(app, ["fit", path, "--json", "--bootstrap", "50"]).stdout)["interval"] == {}


def test_a_fit_file_without_laws_and_a_run_without_end_are_refused(tmp_path):
    fit = tmp_path / "fit.json"
    assert CliRunner().invoke(app, ["fit", table(tmp_path / "r.csv"), "--out", str(fit)]).exit_code == 0
    ask = ["forecast", str(fit), "--params", "1e8", "--extrapolate", "--json", "--tokens"]
    assert "tokens = 1e+308: give 1 to 1e+20" in str(CliRunner().invoke(app, [*ask, "1e308"]).exception)
    fit.write_text(json.dumps(json.loads(fit.read_text(encoding="utf-8")) | {"laws": []}), encoding="utf-8")
    assert "malformed" in str(CliRunner().invoke(app, [*ask, "1e10"]).exception)
    fit.write_text("[" * 100_000, encoding="utf-8")
    assert "not a fit in JSON" in str(CliRunner().invoke(app, [*ask, "1e10"]).exception)

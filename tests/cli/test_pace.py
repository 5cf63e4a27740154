"""`orion pace` as a person uses it."""

import json
import math

import pytest
from typer.testing import CliRunner

from orionlm.cli import app
from orionlm.errors import UserError

run = CliRunner().invoke


def test_trends_and_a_slower_pace_are_told_and_follow_from_each_other():
    said = json.loads(run(app, ["pace", "--pace", "0.5", "--years", "4", "--json"]).stdout)
    trend = said["trends"]["flops_per_dollar"]
    assert set(said["trends"]) == {"flops", "flops_per_dollar", "flops_per_watt"}
    assert trend["doubling_years"] == pytest.approx(math.log(2) / math.log(trend["growth"]["value"]))
    assert said["slower"]["compute"]["value"] == pytest.approx(trend["growth"]["value"] ** -2, rel=0.02)
    assert said["slower"]["delay_days"]["value"] == pytest.approx(4 * 365.25)
    assert "doubles in" in run(app, ["pace"]).stdout


def test_a_short_run_starts_and_an_endless_one_waits():
    def asked(money):
        return json.loads(run(app, ["pace", "--flops", "1e26", "--money", money, "--json"]).stdout)

    assert asked("$5B")["wait"]["verdict"] == "train now"
    late = asked("$5M")
    assert late["wait"]["verdict"] == "wait"
    assert late["wait_at_pace"]["break_even_days"]["value"] > late["wait"]["break_even_days"]["value"]


def test_a_year_ahead_is_told_and_one_too_far_refused():
    said = json.loads(run(app, ["pace", "--year", "2028", "--json"]).stdout)
    assert said["chip"]["flops"]["low"] < said["chip"]["flops"]["value"] < said["chip"]["flops"]["high"]
    assert said["frontier_dollars"]["value"] == pytest.approx(40.7e6 * 2.4**4.8)
    assert "frontier run of 2028" in run(app, ["pace", "--year", "2028"]).stdout
    assert isinstance(run(app, ["pace", "--year", "2060"]).exception, UserError)


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--flops", "1e26"], "--money is missing"),
        (["--flops", "1e26", "--money", "500"], "unit is missing"),
        (["--flops", "-1", "--money", "$5M"], "positive"),
        (["--pace", "0"], "pace = 0"),
        (["--years", "-1"], "years = -1"),
    ],
)
def test_mistakes_are_told_in_one_line(arguments, why):
    error = run(app, ["pace", *arguments]).exception
    assert isinstance(error, UserError) and why in str(error) and "\n" not in str(error)

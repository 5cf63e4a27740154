from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.ranking import RISK, concluded, contrast, standings
from orionlm.synth.worth import LEVEL, REAL, difference

FREE = {"a": 1.0, "b": 1.0, "c": 1.0}
losses = st.lists(st.floats(0.5, 5), min_size=2, max_size=4).map(np.array)


def bits(seeds: int = 3, noise: float = 0.003, **means: float) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {arm: mean + noise * rng.standard_normal(seeds) for arm, mean in ({REAL: 2.0} | means).items()}


def verdicts(lines):
    return {line["name"]: line["verdict"] for line in lines}


@given(st.fixed_dictionaries({REAL: losses, "a": losses, "b": losses}))
def test_a_contrast_of_two_arms_is_their_difference(found):
    one, other = contrast(found, {"a": 1, REAL: -1}, LEVEL), difference(found, "a")
    assert all(one[name] == pytest.approx(other[name]) for name in ("value", "low", "high"))


def test_the_best_is_first_and_what_is_clearly_behind_it_is_worse():
    lines = standings(bits(a=1.8, b=1.6, c=1.9), None, FREE, 1)
    assert [line["name"] for line in lines] == ["b", "a", "c"]
    assert verdicts(lines) == {"b": "best", "a": "worse", "c": "worse"}
    assert [line["pays"] for line in lines] == ["yes"] * 3


def test_a_tie_is_called_one_for_both_sides_of_it():
    lines = standings(bits(a=1.8, b=1.801, c=1.9), None, FREE, 1)
    assert verdicts(lines) == {"a": "cannot tell", "b": "cannot tell", "c": "worse"}


def test_single_runs_tell_nothing():
    assert set(verdicts(standings(bits(seeds=1, a=1.0, b=1.9), None, {"a": 1.0, "b": 1.0}, 1)).values()) == {
        "cannot tell"
    }


def test_what_it_cost_counts():
    found = bits(a=1.6, b=1.7, c=1.9)
    assert standings(found, None, FREE, 1)[0]["name"] == "a"
    dear = standings(found, None, FREE | {"a": 3.0}, 1)
    assert verdicts(dear) == {"b": "best", "a": "worse", "c": "worse"}
    assert dear[1]["value"] == pytest.approx((found[REAL].mean() - found["a"].mean()) / 3)


def test_what_saves_nothing_is_not_the_better_for_being_dear():
    lines = standings(bits(a=2.2, b=2.1), None, {"a": 10.0, "b": 1.0}, 1)
    assert [line["name"] for line in lines] == ["b", "a"] and lines[0]["pays"] == lines[1]["pays"] == "no"
    assert verdicts(lines) == {"b": "best", "a": "worse"}


def test_gains_are_compared_draw_by_draw_and_paid_for():
    common = np.random.default_rng(0).normal(0, 1, 2000)  # the baseline's, the same behind both
    gains = {"a": 0.5 + common, "b": 0.4 + common}
    lines = standings(bits(a=1.8, b=1.8), gains, {"a": 1.0, "b": 1.0}, 1)
    assert verdicts(lines) == {"a": "best", "b": "worse"} and {line["pays"] for line in lines} == {"cannot tell"}
    assert lines[1]["behind"]["value"] == pytest.approx(np.exp(0.1))
    lines = standings(bits(a=1.8, b=1.8), gains, {"a": 1.2, "b": 1.0}, 1)
    assert verdicts(lines) == {"b": "best", "a": "worse"}
    assert lines[1]["value"] == pytest.approx(np.exp(np.median(gains["a"])) / 1.2, rel=0.01)


@pytest.mark.parametrize("rounds", [1, 3])
def test_the_best_is_given_up_no_more_often_than_promised(rounds):
    rng, names, trials = np.random.default_rng(1), ["a", "b", "c", "d"], 1500
    lost = 0
    for _ in range(trials):
        found = {arm: 2 + 0.01 * rng.standard_normal(3) for arm in [REAL, *names]}
        lost += verdicts(standings(found, None, dict.fromkeys(names, 1.0), rounds))["a"] == "worse"
    assert lost / trials <= RISK / rounds + 0.012


def found(number, **values):
    lines = standings(bits(**values), None, dict.fromkeys(values, 1.0), 3)
    told = {"flops": lines, "dollars": [], "bits": lines}
    return {"round": number, "candidates": dict.fromkeys(values), "standings": told}


def test_all_rounds_make_one_ranking_in_which_the_later_stands_first():
    page = concluded([found(1, a=1.9, b=1.6, c=1.65), found(2, b=1.5, c=1.501)], {"a": "stopped"}, "bits")
    told = page["rankings"]["flops"]
    assert [(line["name"], line["round"], line["left"]) for line in told][2] == ("a", 1, "stopped")
    assert {line["name"] for line in told[:2]} == {"b", "c"}
    assert page["winners"]["flops"]["tied"] and "dollars" not in page["winners"]
    assert page["says"][0].startswith("net per FLOP: cannot tell b from c") and "it pays" in page["says"][0]
    assert page["says"][1] == "net per dollar: not known of any candidate"

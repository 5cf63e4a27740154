from __future__ import annotations

import json

import numpy as np
import pytest

from gain.worlds import WIDTHS, ladder, table
from orionlm.errors import UserError
from orionlm.gain.decide import COMPUTE, recommend, recommend_from
from orionlm.gain.gain import price_levers


def test_a_clear_winner_is_recommended_and_sure():
    said = recommend_from(table(ladder(noise=0.004), ladder("good", 3.0), ladder("fair", 1.3)))
    assert (said.step, said.runner_up, said.sure) == ("good", "fair", True)
    assert said.probability > 0.99 and sum(said.candidates.values()) == pytest.approx(1.0)
    json.dumps(said.to_json(), allow_nan=False)


def test_levers_that_hurt_leave_plain_compute_as_the_next_step():
    said = recommend_from(table(ladder(), ladder("bad", 0.6)))
    assert said.step == COMPUTE and said.gain == 1.0 and "plain compute" in said.says


def test_two_equal_levers_cannot_be_told_apart_and_an_experiment_is_named():
    rows = table(ladder(noise=0.004), ladder("one", 1.5, WIDTHS[-1:], 0.004), ladder("three", 1.5, WIDTHS[-1:], 0.004))
    said = recommend_from(rows)
    assert not said.sure and said.says.startswith("cannot tell yet")
    assert said.experiment.lever in ("one", "three") and said.experiment.value > 0


def test_an_experiment_is_asked_of_the_lever_in_doubt_not_of_one_out_of_the_race():
    rows = table(
        ladder(noise=0.004),
        ladder("first", 1.5, WIDTHS[-1:], 0.004),
        ladder("second", 1.5, WIDTHS[-1:], 0.004),
        ladder("last", 0.5, WIDTHS[-1:]),
    )
    assert recommend_from(rows).experiment.lever != "last"


def test_no_experiment_is_worth_its_price_where_the_choice_is_clear():
    assert recommend_from(table(ladder(), ladder("good", 5.0), ladder("bad", 0.5))).experiment is None


def test_a_cost_can_turn_the_choice():
    from orionlm.gain.costs import LeverCost
    from orionlm.plan.quantity import FLOPS, Quantity

    rows = table(ladder(), ladder("dear", 3.0), ladder("cheap", 2.0))
    assert recommend(price_levers(rows)).step == "dear"
    costs = {"dear": LeverCost(once=Quantity.exact(8e12, FLOPS))}
    assert recommend(price_levers(rows, costs=costs)).step == "cheap"


def test_nothing_to_choose_from_is_a_mistake():
    with pytest.raises(UserError, match="no lever was priced"):
        recommend([])


def test_simulated_decisions_are_right_about_as_often_as_they_say():
    from orionlm.gain.simulate import calibration

    rng = np.random.default_rng(0)
    stated = rng.uniform(0.4, 1.0, 4000)
    honest = [{"stated": p, "hit": float(rng.random() < p)} for p in stated]
    boastful = [{"stated": p, "hit": float(rng.random() < p - 0.3)} for p in stated]
    assert all(b["low"] - 0.03 < b["stated"] < b["high"] + 0.03 for b in calibration(honest))
    assert not any(b["low"] < b["stated"] < b["high"] for b in calibration(boastful))

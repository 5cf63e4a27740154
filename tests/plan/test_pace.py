from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orionlm.errors import UserError
from orionlm.plan.accelerators import load
from orionlm.plan.pace import COST_GROWTH, frontier_cost, slower, trends, wait
from orionlm.plan.quantity import Quantity

TABLE = load()


def test_the_trends_hold_the_published_doubling_times_or_come_near():
    said = trends(TABLE)
    assert 1.2 < said["flops"].doubling_years < 2.6
    price, watt = said["flops_per_dollar"], said["flops_per_watt"]
    assert price.growth.low < 2 ** (1 / 2.1) < price.growth.high
    assert watt.growth.low < 2 ** (1 / 3.0) < watt.growth.high


def test_a_table_made_on_a_line_gives_the_line_back():
    rows = {
        str(n): replace(TABLE["H100"], released=2018.0 + n, bf16=1e14 * 1.5**n, power=500.0, estimated=())
        for n in range(6)
    }
    said = trends(rows)["flops"]
    assert said.growth.median == pytest.approx(1.5) and said.growth.high == pytest.approx(1.5)
    assert said.at(2026.0).median == pytest.approx(1e14 * 1.5**8)


def test_estimated_values_are_left_out():
    worse = {**TABLE, "bad": replace(TABLE["H100"], name="bad", power=1e-3, estimated=("power",))}
    assert trends(worse)["flops_per_watt"] == trends(TABLE)["flops_per_watt"]


def test_beyond_its_reach_a_trend_refuses_unless_asked():
    trend = trends(TABLE)["flops"]
    with pytest.raises(UserError, match="extrapolate"):
        trend.at(2040)
    assert trend.at(2040, extrapolate=True).median > trend.at(2027).median
    with pytest.raises(UserError):
        trends({"H100": TABLE["H100"]})


def test_short_runs_do_not_wait_and_long_ones_do():
    growth = Quantity.exact(1.35)
    short, long = wait(1e26, 1e9, TABLE["H100"], growth), wait(1e26, 2e7, TABLE["H100"], growth)
    assert (
        short.verdict == "train now" and short.wait_days.median == 0 and short.train_days < short.break_even_days.median
    )
    assert long.verdict == "wait" and long.finish_days.median < long.train_days
    assert long.break_even_days.median == pytest.approx(365.25 / math.log(1.35))


def test_the_wait_is_the_best_one():
    chip = replace(TABLE["H100"], price=Quantity.exact(25_000.0))
    said = wait(1e26, 2e7, chip, Quantity.exact(1.35), utilisation=0.4, server_overhead=2.0)
    years = 1e26 / (2e7 / 50_000 * 989e12 * 0.4) / (365.25 * 86400)
    finish = min(w / 100 + years * 1.35 ** (-w / 100) for w in range(3000))
    assert said.train_days == pytest.approx(years * 365.25)
    assert said.finish_days.median / 365.25 == pytest.approx(finish, rel=1e-4)


def test_without_progress_nobody_waits_and_a_slower_pace_ends_later():
    growth = trends(TABLE)["flops_per_dollar"].growth
    assert wait(1e26, 2e7, TABLE["H100"], growth, pace=0).verdict == "train now"
    full, slow = (wait(1e26, 2e7, TABLE["H100"], growth, pace=pace) for pace in (1, 0.1))
    assert slow.finish_days.median > full.finish_days.median and slow.worth_waiting < full.worth_waiting


def test_what_a_slower_pace_leaves():
    said = slower(Quantity.exact(1.4), 3, 0.5)
    assert said.compute.median == pytest.approx(1.4**-1.5) and said.dollars.median == pytest.approx(1.4**1.5)
    assert said.delay_days.median == pytest.approx(3 * 365.25)
    assert slower(Quantity.exact(1.4), 3, 1).compute.median == 1


def test_the_frontiers_cost_grows_as_published():
    assert (COST_GROWTH.median, COST_GROWTH.low, COST_GROWTH.high) == (2.4, 2.0, 2.9)
    assert frontier_cost(2025.2).median == pytest.approx(40.7e6 * 2.4**2)
    assert frontier_cost(2027.2).median > 1e9  # the paper's "more than a billion dollars by 2027"
    with pytest.raises(UserError, match="extrapolate"):
        frontier_cost(2035)


@pytest.mark.parametrize("bad", [{"flops": 0}, {"dollars": -1}, {"utilisation": 2}, {"pace": -1}, {"flops": math.nan}])
def test_impossible_values_are_named(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        wait(**{"flops": 1e24, "dollars": 1e6, "accelerator": TABLE["H100"], "growth": Quantity.exact(1.3)} | bad)
    with pytest.raises(UserError, match="no price"):
        wait(1e24, 1e6, TABLE["TPU v5e"], Quantity.exact(1.3))

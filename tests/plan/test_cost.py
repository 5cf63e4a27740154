from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orionlm.errors import UserError
from orionlm.plan.accelerators import load
from orionlm.plan.cost import cost
from orionlm.plan.quantity import Quantity

TABLE = load()
EXACT = {"utilisation_power": 0.75, "pue": 1.1, "electricity_dollars_per_kwh": 0.08, "lifetime_years": 3.0,
         "server_overhead": 2.0, "host_power": 2.0}  # fmt: skip


@pytest.mark.parametrize("days", [90, 95, 100])
def test_gpt4_costs_what_was_published(days):
    said = cost(TABLE["A100"], 25_000, days, age_years=1.5)
    assert said.acquisition.median == pytest.approx(778e6, rel=0.15)
    assert said.owned.median == pytest.approx(40.7e6, rel=0.15)
    assert said.cloud.median == pytest.approx(78.6e6, rel=0.2)
    for part, published in ((said.acquisition, 778e6), (said.owned, 40.7e6), (said.cloud, 78.6e6)):
        assert part.low < published < part.high


def test_exact_inputs_give_the_products_by_hand():
    chip = replace(TABLE["H100"], price=Quantity.exact(30_000.0), rent=Quantity.exact(2.0))
    said = cost(chip, 1000, 30, **EXACT)
    assert said.acquisition.median == pytest.approx(6e7) and said.acquisition.is_exact
    assert said.hardware.median == pytest.approx(6e7 * (1 - math.exp(-30 / 365.25 / 3)))
    assert said.energy_kwh.median == pytest.approx(0.75 * 2 * 1.1 * 0.7 * 1000 * 720)
    assert said.power_dollars.median == pytest.approx(said.energy_kwh.median * 0.08)
    assert said.cloud.median == pytest.approx(2 * 720_000) and said.device_hours == 720_000
    assert said.owned.median == pytest.approx(said.hardware.median + said.power_dollars.median)


def test_older_hardware_and_shorter_runs_cost_less():
    new, old = cost(TABLE["H100"], 1000, 30), cost(TABLE["H100"], 1000, 30, age_years=2)
    assert old.hardware.median < 0.7 * new.hardware.median and old.power_dollars == new.power_dollars
    assert cost(TABLE["H100"], 1000, 15).owned.median == pytest.approx(new.owned.median / 2, rel=0.05)


def test_without_a_price_or_a_rent_nothing_is_made_up():
    said = cost(TABLE["TPU v5e"], 256, 10)
    assert said.hardware is None and said.owned is None and said.cloud is None and said.energy_kwh.median > 0
    assert cost(TABLE["TPU v5e"], 256, 10, rent=1.2).cloud.median == pytest.approx(1.2 * 256 * 240)


def test_the_same_seed_the_same_cost():
    assert cost(TABLE["H100"], 8, 1) == cost(TABLE["H100"], 8, 1) != cost(TABLE["H100"], 8, 1, seed=1)


@pytest.mark.parametrize("bad", [{"devices": 0}, {"days": -1}, {"days": math.nan}, {"pue": 0.9},
                                 {"utilisation_power": 1.2},
                                 {"lifetime_years": 0}, {"electricity_dollars_per_kwh": -1}, {"server_overhead": 0.5},
                                 {"age_years": -1}, {"rent": -2.0}])  # fmt: skip
def test_impossible_values_are_named(bad):
    with pytest.raises(UserError, match=next(iter(bad))):
        cost(**{"accelerator": TABLE["H100"], "devices": 8, "days": 1} | bad)

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.draws import Draws
from orionlm.plan.quantity import FACTOR, SHARE, TOKENS, Quantity
from orionlm.plan.stock import Wall, exhaustion, probability_by, read_wall

FEW = Draws(4000)


def median(**inputs) -> float:
    return float(np.median(Wall(**inputs).years(FEW)[1:]))


def test_by_default_text_runs_out_in_2028_and_most_likely_between_2026_and_2032():
    said = exhaustion()
    low, high = said.interval80
    assert int(said.median) == round(said.median) == 2028
    assert int(low) == round(low) == 2026 and int(high) == round(high) == 2032


def test_over_training_brings_the_published_years_nearer():
    for factor, year in ((5.0, 2027), (100.0, 2025)):
        found = median(overtraining=Quantity.exact(factor))
        assert int(found) == round(found) == year


def test_the_effective_stock_has_the_published_median_and_95_percent_interval():
    stock = Wall().stock_draws(Draws())[1:]
    low, middle, high = np.quantile(stock, [0.025, 0.5, 0.975])
    assert middle == pytest.approx(320e12, rel=0.02)
    assert low == pytest.approx(65e12, rel=0.03) and high == pytest.approx(1700e12, rel=0.03)


@given(
    stock=st.floats(1e14, 1e16),
    times=st.floats(0.2, 20),
    growth=st.floats(0.1, 1.0),
)
@settings(max_examples=40, deadline=None)
def test_a_stock_k_times_as_large_lasts_log10_k_over_the_growth_longer(stock, times, growth):
    rate = Quantity.exact(growth)
    before = median(stock=Quantity.exact(stock, TOKENS), growth=rate)
    after = median(stock=Quantity.exact(stock * times, TOKENS), growth=rate)
    assert after - before == pytest.approx(math.log10(times) / growth, abs=1e-9)


def test_the_filter_moves_the_median_by_its_orders_of_magnitude_over_the_growth():
    rate = Quantity.exact(0.38)
    fifth = median(quality=Quantity.exact(0.2, SHARE), growth=rate)
    tenth = median(quality=Quantity.exact(0.1, SHARE), growth=rate)
    assert fifth - tenth == pytest.approx(math.log10(2) / 0.38, abs=1e-6)


def test_twice_the_growth_halves_the_time_left():
    slow = median(growth=Quantity.exact(0.38), demand_year=2024.0)
    fast = median(growth=Quantity.exact(0.76), demand_year=2024.0)
    assert (slow - 2024) == pytest.approx(2 * (fast - 2024), rel=1e-9)


def test_a_demand_a_year_later_moves_the_wall_by_that_year():
    assert median(demand_year=2025.56) - median() == pytest.approx(1.0)


def test_synthetic_text_of_equal_worth_takes_its_share_from_the_demand():
    rate, worth = Quantity.exact(0.38), Quantity.exact(1.0)
    half = median(synthetic_share=Quantity.exact(0.5, SHARE), synthetic_worth=worth, growth=rate)
    assert half - median(growth=rate) == pytest.approx(math.log10(2) / 0.38, abs=1e-6)
    worthless = Quantity.exact(1e-9)
    none = median(synthetic_share=Quantity.exact(0.5, SHARE), synthetic_worth=worthless, growth=rate)
    assert none == pytest.approx(median(growth=rate), abs=1e-6)


def test_the_probabilities_rise_with_the_year_to_certainty():
    said = exhaustion(draws=FEW)
    shares = list(said.by_year.values())
    assert shares == sorted(shares) and shares[0] < 0.05 and shares[-1] > 0.94
    assert said.by_year[2027] < 0.5 < said.by_year[2028]


def test_the_levers_move_the_wall_the_right_way():
    shift = {row["name"]: row["shift_years"] for row in exhaustion(draws=FEW).levers}
    assert shift["over-training 100×"] < shift["over-training 5×"] < 0 < shift["repetition worth ×5"]
    assert shift["Common Crawl alone"] < shift["every token once"] < 0 < shift["the whole web"]
    assert shift["a third of the tokens synthetic"] > 0


def test_the_same_seed_gives_the_same_answer_and_another_hardly_differs():
    assert exhaustion(draws=FEW) == exhaustion(draws=FEW)
    assert exhaustion(draws=Draws(20_000, seed=1)).median == pytest.approx(exhaustion().median, abs=0.05)


def test_a_changed_input_leaves_the_draws_of_the_others_alone():
    one, other = Wall(), Wall(repetition=Quantity.exact(3.0, FACTOR))
    ratio = one.stock_draws(FEW) / other.stock_draws(FEW)
    assert np.allclose(ratio, FEW.of("repetition", one.repetition) / 3.0)


def test_a_file_overrides_what_it_names(tmp_path):
    path = tmp_path / "wall.toml"
    path.write_text('web = "whole web"\ngrowth = [0.2, 0.4, 0.5]\ndemand = "30T tokens"\ndemand_year = 2025.5\n')
    wall = read_wall(path)
    assert wall.growth == Quantity(0.4, 0.2, 0.5) and wall.demand.median == 30e12
    assert wall.quality == Wall().quality and exhaustion(wall, FEW).inputs["web"] == "whole web"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("growth = 0", "growth"),
        ("growth = 40", "growth"),
        ('stock = "-3T"', "stock"),
        ('demand = "3 days"', "demand"),
        ('quality = "140%"', "quality"),
        ("repetition = 0.5", "repetition"),
        ('synthetic_share = "100%"', "synthetic_share"),
        ("demand_year = 20.5", "demand_year"),
        ('web = "moon"', "web"),
        ("stok = 3", "stok"),
        ("overtraining = nan", "overtraining"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path, text, named):
    path = tmp_path / "wall.toml"
    path.write_text(text + "\n")
    with pytest.raises(UserError, match=named) as error:
        read_wall(path)
    assert "\n" not in str(error.value)


def test_a_year_that_is_none_is_refused():
    with pytest.raises(UserError, match="year = 26"):
        probability_by(np.array([2028.0]), 26)

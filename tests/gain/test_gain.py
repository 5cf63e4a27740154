from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gain.worlds import FLOPS, WIDTHS, ladder, loss, table
from orionlm.errors import UserError
from orionlm.gain.costs import LeverCost
from orionlm.gain.gain import price_levers
from orionlm.plan.quantity import FLOPS as FLOP
from orionlm.plan.quantity import MONEY, Quantity


def price(*parts, **options):
    return price_levers(table(ladder(), *parts), **options)[0]


@settings(max_examples=6, deadline=None)
@given(st.floats(0.4, 4.0))
def test_a_lever_that_is_k_times_the_compute_in_disguise_is_measured_as_k(gain):
    measured = price(ladder("x", gain))
    assert measured.fresh.value == pytest.approx(gain, rel=0.03)
    assert measured.fresh.low <= gain <= measured.fresh.high


def test_twice_the_compute_is_two_when_it_stands_in_the_parameters_but_not_in_the_flops():
    rows = [
        row
        | {"params": row["params"] * 2**0.5, "tokens": row["tokens"] * 2**0.5, "unique_tokens": row["tokens"] * 2**0.5}
        for row in ladder("x", 2.0)
    ]
    assert price(rows).fresh.value == pytest.approx(2.0, rel=0.03)


def test_a_lever_that_does_nothing_is_worth_one_wherever_its_run_stands():
    for width in WIDTHS:
        assert price(ladder("x", 1.0, (width,))).fresh.value == pytest.approx(1.0, abs=0.03)


def test_flops_that_the_lever_adds_to_its_own_runs_count_against_it():
    assert price(ladder("x", 2.0, extra_flops=1.6)).fresh.value == pytest.approx(2.0 / 1.6, rel=0.04)


def test_noise_widens_the_interval_and_seeds_narrow_it():
    rng_rows = [ladder("x", 2.0, WIDTHS[-1:], 0.005, seed) for seed in range(6)]
    plain = ladder(noise=0.005)
    one = price_levers(table(plain, rng_rows[0]))[0].fresh
    six = price_levers(table(plain, *rng_rows))[0].fresh
    exact = price(ladder("x", 2.0, WIDTHS[-1:])).fresh
    assert exact.width < six.width < one.width < 1.4
    assert six.low < 2.0 < six.high


def test_the_net_gain_counts_the_levers_own_cost_in_flops_and_dollars():
    cost = LeverCost(once=Quantity.exact(FLOPS, FLOP), once_dollars=Quantity.exact(30.0, MONEY))
    measured = price(ladder("x", 2.0), costs={"x": cost}, dollars_per_flop=10 / FLOPS)
    assert measured.net.value == pytest.approx(measured.fresh.value / 2)
    # The run costs $10, the lever's FLOPs $10, its dollars $30: five times the run.
    assert measured.net_dollars.value == pytest.approx(measured.fresh.value / 5)
    assert measured.verdict == "cannot tell" and price(ladder("x", 2.0)).verdict == "helps"
    assert price(ladder("x", 0.7)).verdict == "hurts"


def test_a_cost_for_each_token_and_request_is_as_large_as_the_run_it_is_added_to():
    tokens = FLOPS / (6 * WIDTHS[0])
    cost = LeverCost(per_token=Quantity.exact(6 * WIDTHS[0], FLOP))
    measured = price(ladder("x", 2.0), costs={"x": cost})
    assert measured.net.value == pytest.approx(measured.fresh.value / 2)
    rng = np.random.default_rng(0)
    served = LeverCost(per_request=Quantity.exact(3.0, FLOP), requests=Quantity.exact(7.0))
    assert served.flops(tokens, 3, rng).tolist() == [21.0] * 3


def test_where_the_text_does_not_bind_the_stock_is_worth_as_much_as_fresh_text():
    measured = price(ladder("x", 2.0), stock=1e12)
    assert measured.stock.value == pytest.approx(measured.fresh.value, rel=1e-6)


def test_the_gain_on_a_stock_rises_as_the_stock_shrinks_until_no_compute_buys_it():
    values = [price(ladder("x", 2.0, WIDTHS[-1:]), stock=stock).stock for stock in (1e6, 4e5, 2e5, 1e5)]
    known = [value.value or np.inf for value in values]
    assert known == sorted(known) and known[-1] > 1.3 * known[0]
    none = price(ladder("x", 2.0, WIDTHS[-1:]), stock=5e3)
    assert none.stock.value is None and none.stock_says.startswith("more than ×")
    assert "no compute buys this" in none.stock_says and none.fresh.value == pytest.approx(2.0, rel=0.03)


def test_more_unique_text_at_the_same_size_is_what_the_text_gain_means():
    rows = ladder("x", 1.0, WIDTHS[-1:])
    for row in rows:
        row["bits_per_byte"] = loss(row["params"], 1.5 * row["tokens"])
    assert price(rows).text.value == pytest.approx(1.5, rel=0.04)


def test_a_gain_that_fades_with_compute_is_seen_to_fade():
    rows = ladder("x", 1.0)
    for row in rows:
        gain = 2.0 * (row["flops"] / FLOPS) ** -0.3
        row["bits_per_byte"] = loss(row["params"] * gain**0.5, row["tokens"] * gain**0.5)
    trend = price(rows).trend
    assert trend.value == pytest.approx(10**-0.3, rel=0.1) and trend.high < 1
    assert price(ladder("x", 2.0)).trend.value == pytest.approx(1.0, rel=0.05)


def test_past_sixteen_times_the_largest_plain_run_a_gain_is_bounded_from_below_only():
    rows = ladder("x", 60.0)
    measured = price(rows)
    assert measured.fresh.value is None and measured.fresh.low == pytest.approx(16.0)
    assert any("--extrapolate" in line for line in measured.warnings)
    assert price(rows, extrapolate=True).fresh.value == pytest.approx(60, rel=0.5)


def test_runs_of_one_path_are_priced_along_it_and_say_what_they_cannot_tell():
    path = [
        {"lever": lever, "params": n, "tokens": 20 * n, "loss": loss(n * g**0.5, 20 * n * g**0.5), "validation": "v"}
        for lever, g, sizes in (("", 1.0, np.geomspace(1e5, 3e6, 7)), ("x", 2.0, [1e6]))
        for n in sizes
    ]
    measured = price_levers(table(path))[0]
    assert measured.fresh.value == pytest.approx(2.0, rel=0.05)
    assert measured.stock is None and "params and tokens" in measured.stock_says


def test_plain_runs_of_one_size_are_priced_in_tokens():
    rows = [
        {"lever": lever, "params": 1e6, "tokens": t, "loss": loss(1e6, t * g), "validation": "v"}
        for lever, g, tokens in (("", 1.0, np.geomspace(2e5, 1e7, 7)), ("x", 2.0, [2e6]))
        for t in tokens
    ]
    measured = price_levers(table(rows))[0]
    assert measured.fresh.value == pytest.approx(2.0, rel=0.05)
    assert measured.text.value == pytest.approx(2.0, rel=0.05)


def test_repeated_plain_runs_lean_on_the_law_of_repetition_and_say_so():
    rows = ladder(unique=4e5)
    for row in rows:
        unique = row["unique_tokens"]
        worth = unique * (1 + 15.4 * -np.expm1(-(row["tokens"] / unique - 1) / 15.4))
        row["bits_per_byte"] = loss(row["params"], worth)
    measured = price_levers(table(rows, ladder("x", 2.0, WIDTHS[-1:], unique=4e5)))[0]
    assert measured.fresh.low < 2.0 < measured.fresh.high
    assert any("repeat text" in line for line in measured.warnings)


def test_the_same_seed_gives_the_same_numbers():
    rows = table(ladder(noise=0.005), ladder("x", 2.0, WIDTHS[-1:], 0.005))
    assert price_levers(rows, seed=3)[0].to_json() == price_levers(rows, seed=3)[0].to_json()


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        ({"validation": "other"}, {}, "different data do not compare"),
        ({}, {"levers": ["y"]}, "no row of"),
        ({}, {"level": 1.0}, "level = 1.0"),
        ({}, {"stock": -5.0}, "stock = -5"),
        ({}, {"stock": float("nan")}, "stock = nan"),
        ({}, {"costs": {"y": LeverCost()}}, "no row of"),
        ({"lever": ""}, {}, "every row is of the plain recipe"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_mend(change, options, words):
    rows = [row | change for row in ladder("x", 2.0, WIDTHS[-1:])]
    with pytest.raises(UserError, match=words) as failure:
        price_levers(table(ladder(), rows), **options)
    assert "\n" not in str(failure.value)


def test_a_table_without_plain_rows_or_with_too_few_is_refused():
    with pytest.raises(UserError, match="no plain rows"):
        price_levers(table(ladder("x", 2.0)))
    with pytest.raises(UserError, match="too few"):
        price_levers(table(ladder()[:2], ladder("x", 2.0)))
    with pytest.raises(UserError, match="no column 'lever'"):
        price_levers(table([{"params": 1e6, "tokens": 1e6, "loss": 2.0}]))


def test_a_run_far_from_any_plain_run_is_warned_about():
    far = [row | {"params": 1e8, "run": "far"} for row in ladder("x", 1.0, WIDTHS[-1:])]
    assert any("outside the plain runs'" in line for line in price(far, extrapolate=True).warnings)

from __future__ import annotations

import datetime
import itertools
import re
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import orionlm.plan.fleet
from orionlm.errors import UserError
from orionlm.plan.fleet import plan, read_fleet
from orionlm.plan.schedule import Problem, solve

EXAMPLES = Path(orionlm.plan.fleet.__file__).with_name("examples")
DATE = datetime.date


def brute(problem: Problem) -> tuple[float, float] | None:
    """Fewest days late, then least weighted finish, over assignments and orders; None if none is possible."""
    runs, machines = problem.days.shape
    best = None
    for where in itertools.product(range(machines), repeat=runs):
        rows = np.arange(runs)
        if not np.isfinite(problem.days[rows, where]).all() or problem.dollars[rows, where].sum() > problem.money:
            continue
        for order in itertools.permutations(range(runs)):
            clock, late, cost = problem.online.copy(), 0.0, 0.0
            for r in order:
                clock[where[r]] += problem.days[r, where[r]]
                late += max(0.0, clock[where[r]] - problem.deadline[r])
                cost += problem.weight[r] * clock[where[r]]
            best = min(best or (np.inf, np.inf), (late if late > 1e-6 else 0.0, cost))
    return best


def draw(rng) -> Problem:
    runs, machines = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    days = rng.uniform(5, 100, (runs, machines))
    days[rng.random((runs, machines)) < 0.15] = np.inf
    deadline = np.where(rng.random(runs) < 0.6, rng.uniform(40, 250, runs), np.inf)
    dollars = np.where(rng.random((runs, machines)) < 0.3, rng.uniform(1, 9, (runs, machines)), 0.0)
    money = float(rng.choice([np.inf, 8.0]))
    return Problem(days, rng.uniform(0, 60, machines), deadline, rng.uniform(0.5, 3, runs), dollars, money)


def test_no_other_order_or_place_is_better():
    rng, kinds = np.random.default_rng(1), [0, 0, 0]
    for _ in range(60):
        problem = draw(rng)
        truth, made = brute(problem), solve(problem)
        assert (truth is None) == (made is None)
        if truth is None:
            kinds[0] += 1
            continue
        assert made.late.sum() == pytest.approx(truth[0], abs=0.02) and made.feasible == (truth[0] == 0)
        assert made.dollars <= problem.money + 1e-6
        kinds[1 if truth[0] else 2] += 1
        if truth[0] == 0:
            assert problem.weight @ made.finish == pytest.approx(truth[1], rel=1e-5)
    assert min(kinds) > 0


def test_runs_on_one_machine_never_overlap_and_start_when_it_is_there():
    rng = np.random.default_rng(2)
    for _ in range(20):
        problem = replace(draw(rng), money=np.inf)
        made = solve(problem)
        if made is None:
            continue
        assert np.allclose(made.finish - made.start, problem.days[np.arange(len(made.machine)), made.machine])
        for m in set(made.machine):
            order = np.argsort(made.start[made.machine == m])
            starts, ends = made.start[made.machine == m][order], made.finish[made.machine == m][order]
            assert starts[0] == pytest.approx(problem.online[m]) and np.all(starts[1:] >= ends[:-1] - 1e-9)


def test_a_large_fleet_is_planned_at_once():
    rng = np.random.default_rng(3)
    begun = time.monotonic()
    made = solve(Problem(rng.uniform(5, 100, (60, 20)), rng.uniform(0, 60, 20), np.full(60, 500.0), np.ones(60),
                         np.zeros((60, 20)), np.inf))  # fmt: skip
    assert time.monotonic() - begun < 10 and made.feasible and not made.proven


FLEET = """
start = 2026-01-01
{top}
[[cluster]]
name = "hall"
accelerator = "H100"
devices = "20K"
utilisation = "38.5%"
online = {online}
[[cluster]]
name = "lab"
accelerator = "H100"
devices = {lab}
utilisation = "38.5%"
{rent}
[[run]]
name = "large"
flops = "1e26"
{large}
[[run]]
name = "small"
flops = "1e25"
{small}
"""
RENT = '[[rent]]\nname = "cloud"\naccelerator = "H100"\ndevices = "4K"\nprice = "$2"\nutilisation = "38.5%"\n'


def made(tmp_path, online="2026-01-01", lab='"2K"', rent="", large="", small="", top=""):
    path = tmp_path / "fleet.toml"
    path.write_text(FLEET.format(online=online, lab=lab, rent=rent, large=large, small=small, top=top))
    return plan(*read_fleet(path))


def run(said, name):
    return next(placed for placed in said.runs if placed.name == name)


def test_1e26_takes_five_months_on_20k_h100(tmp_path):
    said = run(made(tmp_path, large="min_devices = 20000"), "large")
    days = 1e26 / (20_000 * 989e12 * 0.385 * 86400)
    assert (said.finish - said.start).days == pytest.approx(days, abs=1.01) and 150 < days < 154


def test_a_small_run_goes_first_where_it_delays_the_large_one_least(tmp_path):
    said = made(tmp_path, lab="10")
    assert run(said, "small").finish <= run(said, "large").start and said.proven
    assert run(made(tmp_path, lab="10", large="priority = 30"), "large").start == DATE(2026, 1, 1)


def test_min_devices_is_kept(tmp_path):
    assert run(made(tmp_path, online="2027-06-01", large='min_devices = "10K"'), "large").start >= DATE(2027, 6, 1)
    with pytest.raises(UserError, match=r"run large: min_devices = 50,000: .*20,000"):
        made(tmp_path, large='min_devices = "50K"')


def test_building_the_largest_cluster_binds_or_does_not(tmp_path):
    late = made(tmp_path, online="2026-12-01", large='min_devices = "10K"')
    assert (
        late.bound.bound
        and late.bound.cluster == "hall"
        and late.bound.days_sooner["large"] == pytest.approx(334, abs=16)
    )
    assert not made(tmp_path).bound.bound
    late = made(tmp_path, online="2030-01-01", lab='"19K"')
    assert not late.bound.bound or late.bound.days_sooner  # never "binds" with nothing to show


def test_the_earliest_date_is_that_of_a_run_alone(tmp_path):
    said = made(tmp_path, lab="10")
    alone = DATE(2026, 1, 1) + datetime.timedelta(days=int(np.ceil(1e26 / (20_000 * 989e12 * 0.385 * 86400))))
    assert run(said, "large").earliest == alone < run(said, "large").finish


def test_renting_frees_the_large_cluster_and_keeps_to_the_money(tmp_path):
    hours = 1e25 / (989e12 * 0.385 * 3600)
    said = made(tmp_path, lab="10", rent=RENT, top='money = "$30M"', large="priority = 10")
    assert run(said, "small").cluster == "cloud" and said.dollars == pytest.approx(2 * hours)
    assert said.freed.runs == ["small"] and said.freed.freed_days["hall"] == pytest.approx(15.2, abs=0.2)
    poor = made(tmp_path, lab="10", rent=RENT, top='money = "$1M"')
    assert poor.dollars == 0 and poor.freed.runs == [] and run(poor, "small").cluster == "hall"


@pytest.mark.parametrize(
    "large", ["deadline = 2026-06-10", "deadline = 2026-04-01", 'deadline = 2026-06-03\nmin_devices = "20K"']
)
def test_the_deadline_relaxation_is_enough_and_a_day_less_is_not(tmp_path, large):
    small = "deadline = 2026-01-20"
    said = made(tmp_path, lab="10", large=large, small=small)
    assert not said.feasible and said.relaxations
    moved = dict(re.findall(r"of (\w+) from [\d-]+ to ([\d-]+)", said.relaxations[0]))
    fields = {"large": large, "small": small}
    for name, date in moved.items():
        fields[name] = re.sub(r"\d{4}-\d\d-\d\d", date, fields[name])
    assert made(tmp_path, lab="10", **fields).feasible
    name, date = next(iter(moved.items()))
    earlier = (DATE.fromisoformat(date) - datetime.timedelta(days=1)).isoformat()
    fields[name] = fields[name].replace(date, earlier)
    assert not made(tmp_path, lab="10", **fields).feasible


def test_the_money_relaxation_is_enough_and_less_is_not(tmp_path):
    case = {"lab": "10", "rent": RENT, "large": "deadline = 2026-06-10", "small": "deadline = 2026-03-20"}
    said = made(tmp_path, top='money = "$3M"', **case)
    assert not said.feasible
    needed = float(re.search(r"raise money from \$3M to \$([\d.]+)M", said.relaxations[-1])[1])
    assert made(tmp_path, top=f'money = "${needed}M"', **case).feasible
    assert not made(tmp_path, top=f'money = "${0.998 * needed}M"', **case).feasible


def test_without_an_offer_the_rent_that_would_do_is_named(tmp_path):
    case = {"lab": "10", "large": "deadline = 2026-06-10", "small": "deadline = 2026-03-20"}
    words = made(tmp_path, **case).relaxations[-1]
    size, dollars = re.search(r"rent ([\d,]+) H100 .* about (\$[\d.]+M)", words).groups()
    offer = RENT.replace('"4K"', size.replace(",", "")).replace("$2", "$2.35")
    assert made(tmp_path, rent=offer, top=f'money = "{dollars}"', **case).feasible


def test_uncertain_quantities_give_dates_with_intervals_and_a_chance(tmp_path):
    slip = '2026-03-01\nslip = ["1 week", "3 months"]'
    said = run(made(tmp_path, lab="10", online=slip, large="deadline = 2026-11-01\npriority = 99"), "large")
    assert said.low < said.finish < said.high and 0.5 < said.on_time < 1
    again = run(made(tmp_path, lab="10", online=slip, large="deadline = 2026-11-01\npriority = 99"), "large")
    assert said == again


@pytest.mark.parametrize(("change", "said"), [
    ({"lab": "-3"}, "devices: -3"), ({"lab": '"2K dollars"'}, "no unit"),
    ({"small": "deadline = 2025-01-01"}, "not after start"),
    ({"rent": RENT}, "nothing may be spent"), ({"top": 'money = "$1M"'}, "nothing to rent"),
    ({"rent": RENT.replace("H100", "H1000"), "top": 'money = "$1M"'}, "did you mean H100"),
    ({"rent": RENT.replace("cloud", "hall"), "top": 'money = "$1M"'}, "twice"), ({"small": "size = 3"}, "unknown key"),
    ({"rent": RENT.replace("H100", "TPU v5e").replace('price = "$2"', ""), "top": 'money = "$1M"'},
     "no rent in the table"),
    ({"small": 'deadline = "soon"'}, "deadline"), ({"online": "2026-01-01\nutilisation_ = 1"}, "utilisation"),
    ({"small": 'flops = "1e26"'}, "not TOML"), ({"top": 'accelerators = "none.toml"'}, "no such file"),
])  # fmt: skip
def test_mistakes_are_one_line_and_say_where(tmp_path, change, said):
    with pytest.raises(UserError, match=said) as caught:
        made(tmp_path, **change)
    assert "\n" not in str(caught.value) and "toml" in str(caught.value)


def test_absurd_sizes_end_in_dates_not_in_errors(tmp_path):
    said = made(tmp_path, lab="0.001", large="priority = 1e6", small="priority = 1e-6", online="9999-01-01")
    assert all(placed.finish <= DATE.max for placed in said.runs)


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("fleet*.toml")), ids=lambda p: p.name)
def test_the_examples_run(path):
    said = plan(*read_fleet(path))
    assert said.proven and said.feasible == ("too-late" not in path.name) and said.to_json()["runs"]


def test_fp8_is_not_taken_to_train_twice_as_fast(tmp_path):
    days = {}
    for precision in ("bf16", "fp8"):
        path = tmp_path / f"{precision}.toml"
        path.write_text(
            'start = 2026-01-01\n[[cluster]]\nname = "a"\naccelerator = "H100"\ndevices = 1000\n'
            f'precision = "{precision}"\n[[run]]\nname = "r"\nflops = "1e25"\n'
        )
        (run,) = plan(*read_fleet(path)).runs
        days[precision] = (run.finish - run.start).days
    assert days["bf16"] / days["fp8"] == pytest.approx(1.2, rel=0.02)

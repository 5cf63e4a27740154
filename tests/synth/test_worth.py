import numpy as np
import pytest

from orionlm.gain.runs import RunTable
from orionlm.synth.worth import difference, price

SHAPE = {"params": 3e5, "loss": 1.0, "induction": 0.4, "standard_error": 0.01, "epochs": 1.0, "read": {}}


def point(bits, flops=1e12, tokens=5e5, unique=5e5):
    return SHAPE | {"bits_per_byte": bits, "flops": flops, "tokens": tokens, "unique_tokens": unique}


def law(params, tokens):
    return 1.0 + (params / 1e5) ** -0.3 * 0.5 + (tokens / 1e5) ** -0.35


def ladder():
    """Plain runs that follow a law with a little noise."""
    rng = np.random.default_rng(0)
    rows = []
    for params in (1e5, 2e5, 3e5, 4e5):
        for tokens in (2e5, 4e5, 8e5, 1.6e6):
            bits = law(params, tokens) * np.exp(0.003 * rng.standard_normal())
            rows.append({"run": f"d{params:g}", "lever": "", "params": params, "tokens": tokens, "bits_per_byte": bits})
    return RunTable.from_rows([row | {"validation": "v", "vocabulary": 512} for row in rows])


def students(real, synthetic, seeds=3):
    """Runs whose losses are those of plain runs on so many fresh tokens; the real ones overfit at their end."""
    rng = np.random.default_rng(1)
    measured = []
    for seed in range(seeds):
        for arm, tokens in (("real", real), ("ungated", synthetic)):
            bits = law(3e5, tokens) * np.exp(0.003 * rng.standard_normal())
            early = point(bits, 6 * 3e5 * 2.5e5, 2.5e5, 5e4)
            late = point(bits * (1.1 if arm == "real" else 1.05), 6 * 3e5 * 5e5, 5e5, 5e4)
            measured.append({"arm": arm, "seed": seed, "points": [early, late]})
    return measured


def priced(real, synthetic, costs=None, baseline=True, **more):
    costs = costs or {"writing": 0.0, "teacher": None}
    return price(students(real, synthetic, **more), 512, "v", 50_000, ladder() if baseline else None, costs, seed=0)[1]


def test_the_gain_over_real_text_is_the_ratio_of_the_fresh_compute_that_gives_the_same():
    page = priced(3e5, 6e5)
    over = page["gains"]["ungated"]["over_real"]["gross"]
    # Twice the fresh tokens at one size lies between twice and four times the compute of a run that grows in both.
    assert 1.2 < over["low"] < over["value"] < over["high"] < 4


def test_what_does_nothing_is_worth_one():
    over = priced(4e5, 4e5)["gains"]["ungated"]["over_real"]["gross"]
    assert over["low"] < 1 < over["high"]


def test_the_cost_of_writing_is_counted_against_the_whole_budget():
    page = priced(3e5, 6e5, {"writing": 6 * 3e5 * 5e5, "teacher": 6 * 3e5 * 5e5 * 8})
    over = page["gains"]["ungated"]["over_real"]
    assert over["net"]["value"] == pytest.approx(over["gross"]["value"] / 2, rel=1e-6)
    assert over["net_of_teacher"]["value"] == pytest.approx(over["gross"]["value"] / 10, rel=1e-6)


def test_writing_that_no_student_reads_does_not_count_against_an_arm():
    costs = {"writing": 6 * 3e5 * 5e5, "teacher": 0.0}
    measured = students(3e5, 6e5)
    page = price(measured, 512, "v", 50_000, ladder(), costs, 0, used={"ungated": 0.25})[1]
    over = page["gains"]["ungated"]["over_real"]
    assert over["net"]["value"] == pytest.approx(over["gross"]["value"] / 1.25, rel=1e-6)


def test_a_cost_that_nobody_knows_leaves_the_net_gain_open():
    over = priced(3e5, 6e5, {"writing": None, "teacher": None})["gains"]["ungated"]["over_real"]
    assert over["gross"] and over["net"] is None and over["net_of_teacher"] is None


def test_every_run_has_its_best_branch_at_the_compute_of_its_whole_budget():
    table, page = price(students(3e5, 6e5), 512, "v", 50_000, None, {"writing": 0.0, "teacher": None}, 0)
    assert set(table["flops"]) == {6 * 3e5 * 5e5}
    assert {run["branch"] for arm in page["arms"].values() for run in arm["runs"]} == {0}
    assert page["gains"] == {} and "bits per byte" in page["says"][0]


def test_differences_hold_the_truth_as_often_as_they_say():
    rng, held = np.random.default_rng(3), 0
    for _ in range(400):
        bits = {arm: 2 + 0.02 * rng.standard_normal(3) for arm in ("real", "ungated", "admitted")}
        found = difference(bits, "admitted")
        held += found["low"] < 0 < found["high"]
    assert 0.86 < held / 400 < 0.94


def test_single_runs_have_a_difference_and_no_interval():
    found = difference({"real": np.array([2.0]), "ungated": np.array([1.5])}, "ungated")
    assert found == {"value": -0.5, "low": None, "high": None, "n": 1}


def test_a_gain_past_what_the_baseline_reaches_is_at_least_as_far_as_that_goes_and_no_further():
    found = priced(3e5, 1e12)["gains"]
    over, plain = found["ungated"]["over_real"]["gross"], found["real"]["fresh"]
    assert over["value"] is None and over["high"] is None
    assert found["ungated"]["fresh"]["low"] / plain["high"] * 0.99 <= over["low"] <= 200 / plain["low"]


def test_where_both_arms_are_past_the_baseline_nothing_is_said_of_their_ratio():
    assert priced(1e12, 1e12)["gains"]["ungated"]["over_real"]["gross"] is None

import pytest

from orionlm.gain.runs import RunTable
from orionlm.ladder.outcome import judge
from orionlm.ladder.regime import judge_regime
from orionlm.plan.baselines import baselines


def table(scores):
    rows = [
        {"run": f"d{n}", "params": n * 1e4, "tokens": 1e5 * 2**i, "bits_per_byte": 3 - 0.1 * i, "induction": score}
        for n, along in scores.items()
        for i, score in enumerate(along)
    ]
    return RunTable.from_rows(rows)


def test_a_ladder_past_the_onset_of_copying_is_settled():
    assert judge_regime(table({48: [0.3, 0.32, 0.35], 64: [0.3, 0.3, 0.38]}))["settled"]


def test_a_point_that_does_not_copy_yet_is_named():
    regime = judge_regime(table({48: [0.3, 0.32, 0.35], 64: [0.01, 0.3, 0.38]}))
    assert not regime["settled"] and "d64 at 100,000 tokens does not copy" in regime["why"]


def test_a_jump_along_a_run_is_named():
    regime = judge_regime(table({48: [0.3, 0.32, 0.35], 64: [0.2, 0.25, 0.6]}))
    assert not regime["settled"] and "+0.35 up to d64" in regime["why"]


def test_baselines_are_the_last_rung_and_the_line_through_the_last_two():
    flops, losses = [1e12, 1.01e12, 2e12, 2.01e12, 4e12], [2.2, 2.1, 2.0, 1.9, 1.8]
    said = baselines(flops, losses, 8e12)
    assert said["last rung"] == 1.8
    assert said["straight line"] == pytest.approx(1.8 * 1.8 / 1.9, rel=2e-2)


SAID = {
    "verdict": "forecast", "predicted": 1.5, "low": 1.45, "high": 1.55, "level": 0.9, "half_width": 0.033,
    "flops_ratio": 4.0, "baselines": {"last rung": 1.8, "straight line": 1.6},
}  # fmt: skip


@pytest.mark.parametrize(("measured", "verdict", "beats"), [(1.52, "inside", True), (1.58, "outside", False)])
def test_the_verdict_is_whether_the_measurement_lies_in_the_interval(measured, verdict, beats):
    page = judge(SAID, {"bits_per_byte": measured, "standard_error": 0.01, "induction": 0.4})
    assert page["verdict"] == verdict and page["beats_baselines"] is beats


def test_where_nothing_was_forecast_the_verdict_is_cannot_tell():
    refused = SAID | {"verdict": "cannot tell", "predicted": None, "low": None, "high": None}
    page = judge(refused, {"bits_per_byte": 1.5, "standard_error": 0.01, "induction": 0.4})
    assert page["verdict"] == "cannot tell" and page["error"] is None

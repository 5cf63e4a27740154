from __future__ import annotations

import numpy as np
import pytest

from evals.simulated import Simulated, choices, suite
from orionlm.evals.run import evaluate
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.synth import specialists
from orionlm.synth.specialists import Settings, compared

ASKED = suite(choices(200))


@pytest.fixture
def scored(tmp_path):
    def runs(kind: str, *accuracies: float) -> list:
        return [
            evaluate(ASKED, Simulated(f"{kind}{n}", accuracy), tmp_path / f"{kind}{n}")
            for n, accuracy in enumerate(accuracies)
        ]

    def compare(plain: tuple[float, ...], specialist: tuple[float, ...]) -> dict:
        (line,) = compared({"plain": runs("plain", *plain), "specialist": runs("specialist", *specialist)})
        return line

    return compare


def test_a_difference_that_all_runs_show_counts(scored):
    line = scored((0.5, 0.52, 0.48), (0.8, 0.82, 0.81))
    assert line["verdict"] == "better" and "3 runs of each: better" in line["says"]
    assert line["over_runs"]["value"] == pytest.approx(line["specialist"]["mean"] - line["plain"]["mean"])
    assert line["over_questions"]["value"] == pytest.approx(line["over_runs"]["value"])


def test_and_so_does_one_in_the_other_direction(scored):
    assert scored((0.8, 0.82, 0.81), (0.5, 0.52, 0.48))["verdict"] == "worse"


def test_one_lucky_run_does_not_count_though_the_questions_are_many(scored):
    line = scored((0.3, 0.8, 0.35), (0.4, 0.85, 0.8))
    assert line["over_questions"]["low"] > 0 and line["over_runs"]["low"] < 0
    assert line["verdict"] == "cannot tell"


def test_single_runs_tell_nothing(scored):
    line = scored((0.3,), (0.9,))
    assert line["verdict"] == "cannot tell" and line["over_runs"]["low"] is None


def test_the_dry_run_counts_both_kinds(tmp_path, monkeypatch):
    monkeypatch.setattr("orionlm.ladder.run.seconds_for", lambda context, runs: runs[0][1])
    told = specialists.derive(
        Settings(suite="stories", flops=1e9, width=16, seeds=4), {"tokenizer": {"vocabulary": 300}},
        Context("s", 0, tmp_path, Progress(quiet=True)),
    )  # fmt: skip
    assert {number.name: number.value for number in told.numbers}["models"] == 8
    assert told.flops == pytest.approx(8e9, rel=0.1) and np.isclose(told.seconds, told.flops / 2)

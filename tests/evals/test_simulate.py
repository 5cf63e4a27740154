from __future__ import annotations

import numpy as np
import pytest

from orionlm.evals.power import pilot
from orionlm.evals.simulate import World, coverage, family, rejections


def test_simulated_models_have_the_skill_and_the_variances_they_say():
    world = World(40_000, 0.2, 0.3, samples=3, correlation=0.6)
    a, b = world.draw(np.random.default_rng(0))
    assert a.mean() == pytest.approx(0.2, abs=0.01) and b.mean() == pytest.approx(0.3, abs=0.01)
    said, found = world.variances(), pilot(a.tolist(), b.tolist())
    assert found.between == pytest.approx(said.between, rel=0.1)
    assert found.within_a == pytest.approx(said.within_a, rel=0.05)


def test_questions_of_a_passage_are_alike():
    world = World(4000, 0.5, sizes=(4,), spread=3.0, shared=0.9)
    a = world.draw(np.random.default_rng(0))[0].reshape(1000, 4)
    assert a.mean(1).var() > 2 * a.var() / 4
    assert world.clusters()[:5] == ["c0"] * 4 + ["c1"]


@pytest.mark.parametrize(
    "world",
    [
        World(10, 0.5, 0.6),
        World(30, 0.02, 0.05, samples=5),
        World(164, 0.97, 0.9, samples=5, sizes=(5,), spread=6.0),
        World(164, 0.5, 0.6, sizes=(1, 1, 2, 4, 12)),
    ],
)
def test_intervals_hold_the_truth_as_often_as_they_say(world):
    found = coverage(world, repeats=300)
    for one in found.values():
        assert one["coverage"] > 0.95 - 0.02 - 3 * 0.0126
    assert found["mean"]["width"] < 3 * found["mean"]["ideal"]


@pytest.mark.parametrize("world", [World(164, 0.5, 0.6), World(164, 0.5, 0.57, samples=5)])
def test_the_paired_test_has_the_power_that_was_predicted(world):
    found = rejections(world, repeats=400)
    assert 0.4 < found["predicted"] < 0.9
    assert found["rejected"] == pytest.approx(found["predicted"], abs=3.5 * 0.025)


def test_without_a_difference_the_paired_test_seldom_finds_one():
    assert rejections(World(100, 0.5, 0.5), repeats=400)["rejected"] < 0.05 + 3 * 0.011


def test_holm_keeps_the_family_wise_error_where_single_tests_do_not():
    tasks = [World(100, p, p) for p in (0.3, 0.4, 0.5, 0.5, 0.6)] + [World(100, 0.5, 0.75)]
    found = family(tasks, repeats=150)
    assert found["holm"] < 0.05 + 3 * 0.018 < 0.13 < found["uncorrected"]

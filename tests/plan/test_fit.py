from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.gain.runs import read_runs
from orionlm.plan.fit import Points, fit_robust
from orionlm.plan.laws import LAWS

SHARED = Path(os.environ.get("ORION_SHARED", Path(__file__).parents[2].parent / "shared"))
CHINCHILLA_POINTS = SHARED / "data" / "chinchilla_points.csv"


def grid(law="chinchilla", noise=0.0, seed=0, sizes=6, counts=6):
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e10, sizes), np.geomspace(1e9, 1e12, counts)))
    table = {
        "a": np.log(400),
        "b": np.log(1500),
        "e": np.log(1.7),
        "alpha": 0.34,
        "beta": 0.36,
        "k": 6.0,
        "gamma": 0.18,
    }
    theta = np.array([table[name] for name in LAWS[law].parameters])
    loss = LAWS[law].predict(theta, n, d) * np.exp(noise * np.random.default_rng(seed).standard_normal(len(n)))
    return Points(n, d, loss, np.array([f"run-{i}" for i in range(len(n))], dtype=object)), theta


@pytest.mark.skipif(not CHINCHILLA_POINTS.exists(), reason="the shared data is not beside the repository")
def test_besiroglu_is_reproduced_on_the_chinchilla_runs():
    fit = fit_robust(read_runs(CHINCHILLA_POINTS).points().without_worst(5), bootstrap=1000)
    expected = {"A": 477.8, "B": 2143, "E": 1.8172, "alpha": 0.3473, "beta": 0.3672}
    assert {name: float(v) for name, v in fit.values().items()} == pytest.approx(expected, rel=0.02)
    assert fit.objective <= 1.0183e-3
    sd = fit.sd()
    assert [sd[name] for name in ("E", "alpha", "beta")] == pytest.approx([0.027, 0.015, 0.021], rel=0.25)


@pytest.mark.parametrize("law", ["chinchilla", "gadre", "coupled"])
def test_known_parameters_are_recovered_without_noise(law):
    points, theta = grid(law)
    np.testing.assert_allclose(fit_robust(points, LAWS[law]).theta, theta, rtol=1e-3)


def test_a_tenth_of_wild_rows_moves_the_fit_little():
    points, theta = grid(noise=0.002)
    loss = points.loss.copy()
    loss[::10] *= 1.5
    fit = fit_robust(Points(points.params, points.tokens, loss, points.run))
    clean = fit_robust(points)
    assert abs(fit.theta[2] - clean.theta[2]) < 0.02 and abs(fit.theta[3] - theta[3]) < 0.03


def test_rows_of_one_run_are_resampled_together():
    points, _ = grid(noise=0.01, sizes=8)
    shared = np.array([f"{n:.3g}" for n in points.params], dtype=object)
    alone = fit_robust(points, bootstrap=200).sd()
    together = fit_robust(Points(points.params, points.tokens, points.loss, shared), bootstrap=200).sd()
    assert together != alone and fit_robust(points, bootstrap=200).sd() == alone


def test_intervals_of_the_bootstrap_hold_the_truth():
    inside = []
    for seed in range(20):
        points, _ = grid(noise=0.01, seed=seed)
        low, high = fit_robust(points, bootstrap=200, seed=seed).interval()["alpha"]
        inside.append(low <= 0.34 <= high)
    assert np.mean(inside) >= 0.65


def test_few_runs_still_give_finite_resamples():
    points, _ = grid(noise=0.005, sizes=3, counts=4)
    shared = np.array([f"{n:.3g}" for n in points.params], dtype=object)
    assert np.isfinite(fit_robust(Points(points.params, points.tokens, points.loss, shared), bootstrap=100).draws).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d: (n[:5], d[:5]), "5 rows are too few"),
        (lambda n, d: (np.full_like(n, 1e9), d), "params: all runs have about the same value"),
        (lambda n, d: (n, np.full_like(d, 1e9)), "tokens: all runs have about the same value"),
        (lambda n, d: (n, 20 * n), "one line"),
    ],
)
def test_runs_that_cannot_tell_parameters_apart_are_refused(change, words):
    points, _ = grid()
    n, d = change(points.params, points.tokens)
    with pytest.raises(UserError, match=words):
        fit_robust(Points(n, d, points.loss[: len(n)], points.run[: len(n)]))


def test_one_size_alone_is_fitted_by_the_law_of_tokens():
    d = np.geomspace(1e8, 1e11, 10)
    loss = 1.9 + 800 / d**0.35
    fit = fit_robust(Points(np.full(10, 1e8), d, loss, np.arange(10).astype(object)), LAWS["data"])
    assert float(fit.values()["beta"]) == pytest.approx(0.35, rel=1e-3)


@pytest.mark.parametrize("count", [-1, 36, 1000])
def test_dropping_an_impossible_number_of_rows_is_refused(count):
    with pytest.raises(UserError, match="drop-worst"):
        grid()[0].without_worst(count)


def test_dropping_the_worst_drops_the_highest_losses():
    points, _ = grid()
    kept = points.without_worst(4)
    assert len(kept) == 32 and kept.loss.max() == np.sort(points.loss)[-5]

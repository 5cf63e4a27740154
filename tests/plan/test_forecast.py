from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.plan.fit import Points
from orionlm.plan.forecast import forecast, optimum, quantiles, wall
from orionlm.plan.laws import LAWS
from orionlm.plan.posterior import VERSION, Fits, fit_laws, read_fits
from orionlm.plan.simulate import Ladder, coverage, draw_world, observe


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(3)
    return observe(draw_world("chinchilla", Ladder(), rng), Ladder(), rng)


@pytest.fixture(scope="module")
def fits(points):
    return fit_laws(points)


@pytest.mark.parametrize("kind", ["chinchilla", "broken"])
def test_intervals_hold_new_runs_about_as_often_as_they_say(kind):
    near, far = coverage(kind, (4.0, 10.0), repeats=16)
    for row in (near, far):
        assert row["coverage"] >= 0.68  # 0.9 less three standard errors
        assert row["error"] < row["last_rung"] / 3 and row["error"] < row["line"] / 2
    assert near["half_width"] < 0.03 and near["half_width"] < far["half_width"] < 0.05


def test_intervals_at_half_are_not_too_wide():
    (row,) = coverage("gadre", (4.0,), repeats=16, level=0.5)
    assert 0.13 <= row["coverage"] <= 0.87


def test_the_same_points_give_the_same_forecast_before_and_after_storage(points, fits, tmp_path):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fits.to_json()))
    stored, again = forecast(read_fits(path), 2e6, 8e6), forecast(fit_laws(points), 2e6, 8e6)
    for said in (stored, again):
        assert (said.loss, said.low, said.high) == pytest.approx(
            [getattr(forecast(fits, 2e6, 8e6), name) for name in ("loss", "low", "high")], rel=1e-7
        )


def test_the_unit_and_the_origin_of_losses_do_not_matter(points, fits):
    scaled = forecast(fit_laws(replace(points, loss=points.loss * 3)), 2e6, 8e6)
    assert scaled.loss / 3 == pytest.approx(forecast(fits, 2e6, 8e6).loss, rel=2e-3)


def test_disagreement_of_laws_is_shown_and_widens_the_interval(points):
    said = forecast(fit_laws(points), 3e6, 1.2e7)
    assert set(said.by_law) == {"chinchilla", "gadre", "coupled", "kaplan"}
    assert sum(row["weight"] for row in said.by_law.values()) == pytest.approx(1)
    assert min(row["low"] for row in said.by_law.values()) <= said.low < said.loss
    assert said.loss < said.high <= max(row["high"] for row in said.by_law.values())


def test_the_interval_is_never_narrower_than_the_noise_of_one_run(fits, points):
    inside = forecast(fits, float(points.params.max()), float(points.tokens.max()))
    sigma = np.sqrt(np.median(np.concatenate([fit.variance for fit in fits.laws])))
    assert inside.half_width > 1.2 * sigma


def test_noisier_ladders_and_longer_reaches_give_wider_intervals():
    rng = np.random.default_rng(0)
    world = draw_world("chinchilla", Ladder(), rng)
    worlds = (replace(world, noise=noise) for noise in (0.002, 0.02))
    quiet, loud = (fit_laws(observe(each, Ladder(), np.random.default_rng(1))) for each in worlds)
    assert forecast(loud, 2e6, 8e6).half_width > 1.3 * forecast(quiet, 2e6, 8e6).half_width
    assert forecast(quiet, 4e6, 1.6e7).half_width > forecast(quiet, 1.2e6, 5e6).half_width


def test_far_forecasts_are_refused_unless_asked_for(fits):
    with pytest.raises(UserError, match="--extrapolate"):
        forecast(fits, 1e7, 4e7)
    said = forecast(fits, 1e7, 4e7, extrapolate=True)
    assert said.extrapolation_factor == pytest.approx(100) and "extrapolates 100 times" in said.warnings[0]


@pytest.mark.parametrize(
    ("params", "tokens", "level", "word"),
    [
        (-1, 1e6, 0.9, "params"),
        (1e6, float("nan"), 0.9, "tokens"),
        (1e6, 0, 0.9, "tokens"),
        (1e6, float("inf"), 0.9, "tokens"),
        (1e6, 1e6, 1.0, "level"),
        (1e6, 1e6, -0.5, "level"),
    ],
)
def test_absurd_questions_are_refused(fits, params, tokens, level, word):
    with pytest.raises(UserError, match=word):
        forecast(fits, params, tokens, level)


def test_places_below_or_beside_the_ladder_are_warned_of(fits):
    assert any("below the smallest" in line for line in forecast(fits, 1e4, 1e6).warnings)
    assert any("tokens a parameter" in line for line in forecast(fits, 2e5, 1e8).warnings)


def test_a_law_of_one_variable_stays_on_its_path():
    d = np.geomspace(1e8, 1e10, 8)
    at_one_size = Points(np.full(8, 1e8), d, 1.9 + 800 / d**0.35, np.arange(8).astype(str).astype(object))
    fits = fit_laws(at_one_size, laws=("data",))
    said = forecast(fits, 1e8, 4e10)
    assert said.low < 1.9 + 800 / 4e10**0.35 < said.high
    with pytest.raises(UserError, match="knows only"):
        forecast(fits, 2e8, 2e10)
    with pytest.raises(UserError, match="does not tell parameters from tokens"):
        optimum(fits, 1e19)


def test_the_optimum_holds_the_true_one_and_the_wall_falls():
    law, theta = LAWS["chinchilla"], np.array([6.0, 6.5, 0.5, 0.34, 0.34])
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e7, 1e9, 6), np.geomspace(1e9, 1e11, 6)))
    loss = law.predict(theta, n, d) * np.exp(0.002 * np.random.default_rng(0).standard_normal(36))
    fits = fit_laws(Points(n, d, loss, np.arange(36).astype(str).astype(object)))
    flops = 2e21
    g = np.exp((theta[0] - theta[1]) / 0.68)
    best = optimum(fits, flops)
    assert best.params_low < g * (flops / 6) ** 0.5 < best.params_high
    assert best.params * best.tokens * 6 == pytest.approx(flops)
    assert best.low < law.predict(theta, best.params, best.tokens) < best.high
    rows = wall(fits, steps=3)
    assert [row["extrapolation_factor"] for row in rows] == pytest.approx([1, 10, 100, 1000])
    assert all(later["loss"] < earlier["loss"] for earlier, later in zip(rows, rows[1:], strict=False))
    assert rows[1]["drop_low"] < rows[1]["drop"] < rows[1]["drop_high"]
    assert rows[3]["drop"] < rows[1]["drop"]
    with pytest.raises(UserError, match="--extrapolate"):
        optimum(fits, 1e25)


def test_quantiles_of_one_normal_are_its_own():
    found = quantiles(np.zeros(3), np.ones(3), np.full(3, 1 / 3), [0.05, 0.5, 0.95])
    assert found == pytest.approx([-1.644854, 0, 1.644854], abs=1e-5)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 99}', '{"version": 1}', "\x00"])
def test_a_broken_fit_file_is_named(tmp_path, text):
    path = tmp_path / "fit.json"
    path.write_text(text)
    with pytest.raises(UserError, match="orion fit"):
        read_fits(path)
    with pytest.raises(UserError, match="no such readable file"):
        read_fits(tmp_path / "other.json")


def test_an_unknown_law_names_the_known_ones(points):
    with pytest.raises(UserError, match="chinchilla"):
        fit_laws(points, laws=("magic",))


def test_version_is_stored(fits):
    assert Fits.from_json(fits.to_json()).version == fits.to_json()["version"] == VERSION

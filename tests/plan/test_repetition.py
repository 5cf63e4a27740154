from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.fit import Points
from orionlm.plan.forecast import forecast
from orionlm.plan.laws import BESIROGLU
from orionlm.plan.posterior import fit_laws
from orionlm.plan.repeated import forecast_repeated, read_repetition
from orionlm.plan.repetition import (
    BROAD,
    EFFECT,
    FRESH,
    MEASURED,
    R_STAR,
    R_STAR_SD,
    RepetitionFit,
    effect,
    effective_tokens,
    fit_repetition,
    published_loss,
)

REAL = Path(__file__).parents[3] / "shared" / "data" / "repetition_runs.csv"
positive = st.floats(1e3, 1e15)


def world(noise=0.003, seed=0):
    """Runs of three sizes on several stocks, by the published decay (R* = 15.4) with no overfitting."""
    n, u, epochs = (v.ravel() for v in np.meshgrid([1e8, 4e8, 1.6e9], [1e9, 4e9, 1.6e10], [1, 4, 16, 60]))
    loss = BESIROGLU.predict(n, effective_tokens(u * epochs, u))
    return n, u * epochs, u, loss * np.exp(noise * np.random.default_rng(seed).standard_normal(len(n)))


@pytest.fixture(scope="module")
def fitted():
    return fit_repetition(*world(), bootstrap=60)


def test_the_published_worth_of_epochs_comes_out():
    # 2305.16264 by hand: 3.73 unique sets' worth at 4 epochs, 10.6 at 16, never more than 16.4
    worth = effective_tokens([4.0, 16.0, 1e6], 1.0)
    assert worth == pytest.approx([3.73, 10.58, 16.39], rel=0.005)


@given(positive, positive, st.floats(1, 500))
def test_effective_tokens_lie_between_the_text_and_the_tokens_and_rise(unique, tokens, r_star):
    worth = float(effective_tokens(tokens, unique, r_star))
    assert min(unique, tokens) * (1 - 1e-9) <= worth <= tokens * (1 + 1e-9)
    assert float(effective_tokens(tokens * 1.5, unique, r_star)) >= worth * (1 - 1e-9)


def test_an_endless_r_star_makes_every_epoch_fresh():
    assert float(effective_tokens(5e9, 1e9, 1e9)) == pytest.approx(5e9, rel=1e-6)


@pytest.mark.parametrize("bad", [(0.0, 1.0, 15.0), (1.0, -1.0, 15.0), (np.nan, 1.0, 15.0), (1.0, 1.0, 0.0)])
def test_amounts_that_are_not_positive_are_refused(bad):
    with pytest.raises(UserError):
        effective_tokens(*bad)


def test_the_prior_of_r_star_holds_90_percent_in_8_to_60():
    draws = R_STAR * np.exp(R_STAR_SD * np.random.default_rng(0).standard_normal(100_000))
    assert np.quantile(draws, [0.05, 0.95]) == pytest.approx([8, 60], rel=0.03)


@given(st.floats(1e6, 1e11), st.floats(1e8, 1e12))
def test_fresh_text_has_neither_decay_nor_overfitting(params, tokens):
    worth, h = effect(MEASURED.draws(20), np.array([params]), np.array([tokens]), np.array([tokens]))
    assert (worth == 0).all() and (h == 0).all()


@given(st.floats(1e7, 1e10), st.floats(1e8, 1e11), st.floats(1.01, 100), st.floats(1.05, 10))
def test_overfitting_grows_with_epochs_and_with_size_and_is_bounded(params, unique, epochs, more):
    # Size counts past the onset too: p > k·q in the middle of the prior.
    theta = np.array(MEASURED.mean)
    n, u = np.array([params, params, params * more]), np.full(3, unique)
    h = effect(theta, n, u * np.array([epochs, epochs * more, epochs]), u)[1]
    assert h[1] >= h[0] >= 0 and h[2] >= h[0] * (1 - 1e-9)
    assert (h <= np.exp(theta[EFFECT.index("h_max")]) + 1e-12).all()


def test_a_fit_finds_the_decay_that_made_the_runs_and_no_overfitting(fitted):
    n, d, u, _ = world(0.0)
    assert np.abs(fitted.predict(n, d, u) / BESIROGLU.predict(n, effective_tokens(d, u)) - 1).max() < 0.02
    low, high = np.quantile(fitted.values(fitted.draws)["r_star"], [0.05, 0.95])
    assert low < 15.4 < high


def test_its_interval_holds_new_runs(fitted):
    n, d, u, loss = world(seed=1)
    low, high = fitted.interval(n, d, u)
    assert 0.75 <= np.mean((low < loss) & (loss < high)) <= 1
    assert (high / low).max() < 1.2


def test_what_the_runs_do_not_tell_stays_as_wide_as_its_prior():
    n, d = (v.ravel() for v in np.meshgrid([1e8, 4e8, 1.6e9], [1e9, 4e9, 1.6e10]))
    fit = fit_repetition(n, d, d, BESIROGLU.predict(n, d), bootstrap=200)
    assert fit.repeated == 0
    assert fit.draws[:, len(FRESH)].std() == pytest.approx(BROAD.sd[0], rel=0.2)


def test_past_its_runs_it_refuses_unless_asked(fitted):
    with pytest.raises(UserError, match="FLOPs"):
        fitted.predict(1e12, 1e13, 1e13)
    with pytest.raises(UserError, match="epochs"):
        fitted.predict(1e8, 1e12, 1e9)
    with pytest.raises(UserError, match="a unique token"):
        fitted.predict(1e9, 1e8, 1e7)
    assert np.isfinite(fitted.predict(1e12, 1e13, 1e13, extrapolate=True))


def test_it_survives_json_and_equal_seeds_give_equal_fits(fitted):
    again = RepetitionFit.from_json(json.loads(json.dumps(fitted.to_json())))
    assert again.predict(3e8, 8e9, 1e9) == pytest.approx(float(fitted.predict(3e8, 8e9, 1e9)))
    twin = fit_repetition(*world(), bootstrap=60)
    assert (twin.draws == fitted.draws).all()
    with pytest.raises(UserError, match="malformed"):
        RepetitionFit.from_json({"fit": {}})


@pytest.mark.parametrize(
    "rows",
    [
        ([1e8] * 3, [1e9] * 3, [1e9] * 3, [3.0] * 3),
        ([1e8] * 9, [1e9] * 9, [0.0] * 9, [3.0] * 9),
        ([1e8] * 9, [1e9] * 9, [1e9] * 9, [-3.0] * 9),
    ],
)
def test_tables_that_are_too_small_or_not_positive_are_refused(rows):
    with pytest.raises(UserError), np.errstate(invalid="ignore"):
        fit_repetition(*rows)


@pytest.fixture(scope="module")
def fits():
    n, d = (v.ravel() for v in np.meshgrid(np.geomspace(1e8, 4e9, 4), np.geomspace(2e9, 8e10, 4)))
    run = np.arange(16).astype(str)
    loss = BESIROGLU.predict(n, d) * np.exp(0.002 * np.random.default_rng(0).standard_normal(16))
    return fit_laws(Points(n, d, loss, run), ("chinchilla", "gadre"), draws=200)


def test_a_forecast_on_enough_text_is_the_plain_one(fits):
    assert forecast_repeated(fits, 4e9, 8e10, 9e10) == forecast(fits, 4e9, 8e10)


def test_the_fewer_unique_tokens_the_higher_the_loss_and_the_wider_the_interval(fits):
    said = [forecast_repeated(fits, 4e9, 8e10, unique) for unique in (8e10, 2e10, 8e9, 2e9)]
    assert all(a.loss < b.loss for a, b in zip(said, said[1:], strict=False))
    assert said[0].high - said[0].low < said[1].high - said[1].low < said[3].high - said[3].low
    assert all(one.extrapolation_factor == said[0].extrapolation_factor for one in said)
    assert "4 epochs" in said[1].warnings[-1]


def test_a_forecast_far_past_what_repetition_was_measured_on_is_refused(fits):
    with pytest.raises(UserError, match="epochs"):
        forecast_repeated(fits, 4e9, 8e10, 1e6)
    with pytest.raises(UserError, match="parameters a unique token"):
        forecast_repeated(fits, 4e9, 8e10, 8e6)
    assert forecast_repeated(fits, 4e9, 8e10, 1e6, extrapolate=True).loss > 4


def test_a_file_without_repeated_runs_has_no_repetition(tmp_path, fits, fitted):
    path = tmp_path / "fit.json"
    path.write_text(json.dumps(fits.to_json()))
    assert read_repetition(path) is None
    path.write_text(json.dumps(fits.to_json() | {"repetition": fitted.to_json()}))
    assert read_repetition(path).theta == pytest.approx(fitted.theta)


@pytest.mark.skipif(not REAL.is_file(), reason="the real runs are not here")
def test_on_real_runs_of_sizes_it_has_not_seen_it_beats_the_published_law_and_sees_harm():
    n, d, u, loss = np.genfromtxt(REAL, delimiter=",", skip_header=1).T
    out = np.isin(n, [146500000, 421200000, 1096300000])
    fit = fit_repetition(n[~out], d[~out], u[~out], loss[~out], bootstrap=0)
    said = fit.predict(n, d, u, extrapolate=True)
    ours, theirs = (np.median(np.abs(v - loss)[out]) for v in (said, published_loss(n, d, u)))
    assert ours < 0.12 and ours < theirs / 1.5
    # 421M parameters on 100M tokens: 27 epochs are best, 320 are ruinous
    at = {tokens: float(fit.predict(421.2e6, tokens, 1e8)) for tokens in (2.7e9, 3.2e10)}
    assert at[3.2e10] > 1.2 * at[2.7e9]

"""What is a token worth the second time, and when do more epochs hurt?

Muennighoff et al. (2305.16264, eq. 5–6) let a repeated token decay: D' = U·[1 + R*·(1 − e^{−R/R*})] for U unique tokens
seen 1 + R times. D' only grows, whereas real runs overfit: with U fixed, loss turns up, sooner and more steeply the
larger the model. This project's form, chosen on their runs (so its held-out errors are a little flattered):

    L = [E + A/N^α + B/D'^β + S/D^σ] · e^h,    h = H·(1 − e^{−g/H}),
    g = c·(N/U)^p·(U/10⁹)^r · softplus(q·ln(R/R_h))/q,    R_h = R_0·(N/U)^k

- S/D^σ is the price of few optimiser steps (the S_min term of Kaplan et al., 2001.08361, eq. 1.6): steps on old text
  count like steps on new text. Without it the small, short runs pull R* from about 30 to over 100.
- h is overfitting: a power of the epochs up to R_h repeats, then growing with their logarithm, steeper in N/U (room to
  memorise the text), and levelling off at e^H times the loss. It is a factor, so it holds in nats and bits per byte.
- At R = 0 nothing is left of either: fresh text follows the ordinary law.

R* has a wide prior, lognormal with 90% in 8–60: published 15.4, refits to subsets of the same runs 14–60.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError
from orionlm.plan.fit import Points, minimise

Array = np.ndarray
R_STAR, R_STAR_SD = 21.9, 0.6125  # the lognormal's median, and its spread in ln: 90% in 8–60
FRESH = ("a", "alpha", "b", "beta", "e", "s", "sigma")
EFFECT = ("r_star", "c", "p", "r", "q", "r_0", "k", "h_max")
LOGS = ("r_star", "c", "q", "r_0", "h_max")  # held as logarithms
NOISE, DELTA = 0.02, 0.01
MAX_FLOPS, MAX_REPEATS = 16.0, 4.0
SOURCE = "this project's form over Muennighoff et al. 2023, 2305.16264, eq. 5"


@dataclass(frozen=True)
class Prior:
    """Means and standard deviations (8,) of the parameters EFFECT, logarithms where LOGS says so."""

    mean: tuple[float, ...]
    sd: tuple[float, ...]
    source: str

    def draws(self, count: int, seed: int = 0) -> Array:
        """`count` seeded draws (count, 8)."""
        return np.random.default_rng(seed).normal(self.mean, self.sd, (count, len(EFFECT)))


BROAD = Prior(
    (float(np.log(R_STAR)), -2.0, 1.0, 0.0, 0.0, float(np.log(30.0)), 0.0, 0.3),
    (R_STAR_SD, 2.0, 0.7, 0.5, 0.5, 1.0, 0.5, 0.4),
    "this project's, before any run",
)
MEASURED = Prior(
    (float(np.log(R_STAR)), -2.9, 2.0, 0.5, 0.7, 2.3, 0.75, 0.25),
    (R_STAR_SD, 0.3, 0.3, 0.1, 0.3, 0.4, 0.25, 0.15),
    "this project's fit to 229 runs of Muennighoff et al. 2023 (7M–8.7B parameters, 0.1B–178B unique tokens)",
)
MEASURED_UNIQUE, MEASURED_PARAMS = (1e8, 1.78e11), (7e6, 8.7e9)
MEASURED_EPOCHS, MEASURED_ROOM = 9000.0, 87.0
HURT = 0.05
FOLDS, NORMAL_90 = 5, 1.6449  # sizes it takes to hold one out; a normal's central 90% in standard deviations


def effective_tokens(tokens: ArrayLike, unique_tokens: ArrayLike, r_star: ArrayLike = 15.3878) -> Array:
    """D' = U·[1 + R*·(1 − e^{−R/R*})], R = D/U − 1; D itself where D ≤ U (2305.16264, eq. 5). Broadcasts."""
    tokens, unique, r_star = (np.asarray(v, float) for v in (tokens, unique_tokens, r_star))
    for name, value in (("tokens", tokens), ("unique_tokens", unique), ("r_star", r_star)):
        if not ((value > 0) & np.isfinite(value)).all():
            raise UserError(f"{name} = {np.min(value):g}: give positive, finite numbers")
    repeats = np.maximum(tokens / unique - 1, 0)
    return np.where(tokens <= unique, tokens, unique * (1 - r_star * np.expm1(-repeats / r_star)))


def even_unique(tokens: float, effective: float, r_star: float) -> float:
    """The unique tokens of a text that, read evenly, is worth `effective` after `tokens`: `effective_tokens` solved."""
    from scipy.optimize import brentq

    if effective >= tokens:
        return tokens
    low = effective / (1 + r_star)  # no text is worth more than 1 + R* times its unique tokens
    return float(brentq(lambda unique: float(effective_tokens(tokens, unique, r_star)) - effective, low, tokens))


def published_loss(params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike) -> Array:
    """Nats a token by 2305.16264, eq. 5–7, with its constants, N' included.

    Runs .15–.22 nats below the runs it was fitted to and never turns up: for comparison, not for planning.
    """
    params, unique = np.asarray(params, float), np.minimum(tokens, np.asarray(unique_tokens, float))
    fitting = np.minimum(params, 0.051 * unique)
    useful = fitting * (1 - 5.3097 * np.expm1(-(params / fitting - 1) / 5.3097))
    data = effective_tokens(tokens, unique)
    return np.exp(0.6254804) + np.exp(6.255414) / useful**0.3526596 + np.exp(7.3049974) / data**0.3526596


def effect(theta: Array, params: Array, tokens: Array, unique: Array) -> tuple[Array, Array]:
    """ln(D'/D) and overfitting h, both (…, n), of parameters EFFECT (…, 8) and runs (n,)."""
    value = {name: np.exp(np.clip(theta[..., i, None], -30, 30)) if name in LOGS else theta[..., i, None]
             for i, name in enumerate(EFFECT)}  # fmt: skip
    repeats = np.maximum(tokens / unique - 1, 0)
    worth = 1 - value["r_star"] * np.expm1(-repeats / value["r_star"])
    room, scale = np.log(params / unique), np.log(unique / 1e9)
    late = np.log(np.maximum(repeats, 1e-9)) - np.log(value["r_0"]) - value["k"] * room
    steep = np.exp(np.clip(np.log(value["c"]) + value["p"] * room + value["r"] * scale, -50, 50))
    g = steep * np.logaddexp(0, value["q"] * late) / value["q"]
    h = np.where(repeats > 0, -value["h_max"] * np.expm1(-g / value["h_max"]), 0.0)
    return np.log(worth / (1 + repeats)), h


def _log_loss(theta: Array, params: Array, tokens: Array, unique: Array, origin: tuple[float, float]) -> Array:
    """ln L (…, n) of theta (…, 15): FRESH, measured from `origin` in ln N and ln D, then EFFECT."""
    at = {name: theta[..., i, None] for i, name in enumerate(FRESH)}
    worth, h = effect(theta[..., len(FRESH) :], params, tokens, unique)
    x, z = np.log(params) - origin[0], np.log(tokens) - origin[1]
    text = np.logaddexp(at["b"] - at["beta"] * (z + worth), at["s"] - at["sigma"] * z)
    return np.logaddexp(np.logaddexp(at["a"] - at["alpha"] * x, text), at["e"]) + h


@dataclass(frozen=True)
class RepetitionFit:
    """The law fitted to runs. theta (15,) and draws (m, 15): FRESH measured from `origin`, then EFFECT.

    `noise` is the spread of ln L about the law: from 90% of the errors at each size when it is held out (with fewer
    than 5 sizes, of the residuals). The ranges are those of the runs.
    """

    theta: Array
    draws: Array
    origin: tuple[float, float]
    noise: float
    n: int
    repeated: int
    max_flops: float
    max_epochs: float
    max_room: float
    unit: str = "loss"
    source: str = SOURCE

    def predict(
        self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike, extrapolate: bool = False
    ) -> Array:
        """Loss of runs in the unit of the fit; arguments broadcast. Refuses what lies outside, see `check`."""
        n, d, u = self.check(params, tokens, unique_tokens, extrapolate)
        shape = np.broadcast_shapes(np.shape(params), np.shape(tokens), np.shape(unique_tokens))
        return np.exp(_log_loss(self.theta, n, d, u, self.origin)).reshape(shape)

    def interval(
        self,
        params: ArrayLike,
        tokens: ArrayLike,
        unique_tokens: ArrayLike,
        level: float = 0.9,
        extrapolate: bool = False,
        seed: int = 0,
    ) -> tuple[Array, Array]:
        """Low and high (n,) of new runs: the bootstrap's draws and the noise of a run."""
        value = _log_loss(self.draws, *self.check(params, tokens, unique_tokens, extrapolate), self.origin)
        value = value + self.noise * np.random.default_rng(seed).standard_normal(value.shape)
        low, high = np.exp(np.quantile(value, [(1 - level) / 2, (1 + level) / 2], axis=0))
        return low, high

    def fresh(self, points: Points, unique_tokens: Array) -> tuple[Points, Array]:
        """The runs as if on fresh text: at D' tokens, their loss without overfitting; and which rows are kept (n,).

        Rows whose loss overfitting raised by more than 5% are left out: they say little about fresh text.
        """
        n, d, u = as_runs(points.params, points.tokens, unique_tokens)
        worth, h = effect(self.theta[len(FRESH) :], n, d, u)
        kept = h <= HURT
        return replace(points, tokens=d * np.exp(worth), loss=points.loss * np.exp(-h)).select(kept), kept

    def check(
        self, params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike, extrapolate: bool
    ) -> tuple[Array, Array, Array]:
        """The arguments as arrays (n,). Raises UserError past 16× the fitted FLOPs, or 4× the repeats or N/U."""
        n, d, u = as_runs(params, tokens, unique_tokens)
        asked = (6 * n * d).max(), (d / u).max(), (n / u)[d > u].max(initial=0)
        for name, value, known, limit in zip(
            ("FLOPs", "epochs", "parameters a unique token"),
            asked,
            (self.max_flops, self.max_epochs, self.max_room),
            (MAX_FLOPS, MAX_REPEATS, MAX_REPEATS),
            strict=True,
        ):
            if value > limit * known * (1 + 1e-9) and not extrapolate:
                raise UserError(
                    f"repetition: {value:.3g} {name} is {value / known:.3g} times the most fitted, past the limit of "
                    f"{limit:g}; fit such runs, or ask for it with --extrapolate"
                )
        return n, d, u

    def values(self, theta: Array | None = None) -> dict[str, Array]:
        """Parameters by name, as they stand in the formula, of `theta` (…, 15) or the best fit."""
        theta = self.theta if theta is None else theta
        at = {name: theta[..., i] for i, name in enumerate(FRESH + EFFECT)}
        x, z = self.origin
        moved = {"A": at["a"] + at["alpha"] * x, "B": at["b"] + at["beta"] * z, "S": at["s"] + at["sigma"] * z}
        plain = {name: np.exp(value) for name, value in (moved | {"E": at["e"]}).items()}
        plain |= {name: at[name] for name in ("alpha", "beta", "sigma")}
        return plain | {name: np.exp(at[name]) if name in LOGS else at[name] for name in EFFECT}

    def to_json(self) -> dict:
        """Values with standard deviations and 90% intervals, and under `fit` what `from_json` needs."""
        spread = self.values(self.draws) if len(self.draws) > 1 else {}
        held = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("theta", "draws")}
        return {name: float(v) for name, v in self.values().items()} | {
            "law": "repetition",
            "sd": {name: float(np.std(v, ddof=1)) for name, v in spread.items()},
            "interval": {name: np.quantile(v, [0.05, 0.95]).tolist() for name, v in spread.items()},
            "noise": self.noise,
            "n": self.n,
            "repeated": self.repeated,
            "source": self.source,
            "fit": held | {"theta": self.theta.tolist(), "draws": np.round(self.draws, 6).tolist()},
        }

    @classmethod
    def from_json(cls, value: dict) -> RepetitionFit:
        """Reads `to_json`. Raises UserError if parts are missing."""
        try:
            held = dict(value["fit"])
            held |= {name: np.array(held[name], float) for name in ("theta", "draws")}
            return cls(**held | {"origin": tuple(held["origin"])})
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"fit: repetition: {error!r} is missing or malformed; fit the runs again") from None


def as_runs(params: ArrayLike, tokens: ArrayLike, unique_tokens: ArrayLike) -> tuple[Array, Array, Array]:
    """The three broadcast to float arrays (n,), unique_tokens at most tokens. Raises UserError if not positive."""
    columns = [np.atleast_1d(np.asarray(v, float)) for v in (params, tokens, unique_tokens)]
    for name, column in zip(("params", "tokens", "unique_tokens"), columns, strict=True):
        if not ((column > 0) & np.isfinite(column)).all():
            raise UserError(f"{name} = {column.min():g}: give positive, finite numbers")
    n, d, u = (column.ravel() for column in np.broadcast_arrays(*columns))
    return n, d, np.minimum(u, d)


def fit_repetition(
    params: ArrayLike,
    tokens: ArrayLike,
    unique_tokens: ArrayLike,
    loss: ArrayLike,
    seed: int = 0,
    bootstrap: int = 100,
    run: Array | None = None,
    prior: Prior = BROAD,
    unit: str = "loss",
) -> RepetitionFit:
    """The law that best describes runs (n,): robust in log loss, with priors, and `bootstrap` refits.

    Each refit resamples runs (rows of one `run` together) and draws the priors' centres anew, so that what the runs do
    not tell stays as wide as its prior. `prior` is BROAD, or MEASURED where few rows repeat. Raises UserError for rows
    that are too few or not positive.
    """
    n, d, u = as_runs(params, tokens, unique_tokens)
    y = np.log(np.asarray(loss, float))
    if len(y) != len(n) or not np.isfinite(y).all():
        raise UserError("loss: give one positive, finite loss a run")
    if len(y) < 4:
        raise UserError(f"runs: {len(y)} rows are too few for the law 'repetition'; give at least 4")
    origin = float(np.log(n).mean()), float(np.log(d).mean())
    middle = float(np.median(y))
    mean = np.array([middle - 1.2, 0.34, middle - 1.2, 0.34, y.min() - 0.9, middle - 2.5, 0.8, *prior.mean])
    sd = np.array([1.0, 0.1, 1.0, 0.06, 0.6, 1.5, 0.1, *prior.sd])
    rng = np.random.default_rng(seed)

    def model(centres: Array, counts: Array):
        def cost(theta: Array, which: Array) -> tuple[Array, Array, Array]:
            value = _log_loss(theta, n, d, u, origin)
            slope = np.empty((*value.shape, len(mean)))
            for i in range(len(mean)):
                step = np.zeros(len(mean))
                step[i] = 1e-6
                slope[..., i] = (_log_loss(theta + step, n, d, u, origin) - value) / 1e-6
            residual, off = value - y, (theta - centres[which]) / sd
            size = np.abs(residual)
            weight = counts[which] / NOISE**2
            huber = np.where(size < DELTA, residual**2 / 2, DELTA * (size - DELTA / 2))
            pulled = (weight * np.minimum(1, DELTA / np.maximum(size, DELTA)))[..., None] * slope
            total = (weight * huber).sum(-1) + (off**2).sum(-1) / 2
            curve = pulled.swapaxes(-1, -2) @ slope + np.diag(sd**-2)
            return np.nan_to_num(total, nan=np.inf), (residual[:, None, :] @ pulled)[:, 0] + off / sd, curve

        return cost

    starts = mean + 0.5 * sd * rng.standard_normal((12, len(mean)))
    starts[0] = mean
    found, cost = minimise(model(np.tile(mean, (12, 1)), np.ones((12, len(y)))), starts, 200, 1e-8)
    theta = found[int(np.argmin(cost))]
    draws = np.empty((0, len(mean)))
    if bootstrap:
        _, member = np.unique(np.arange(len(y)) if run is None else run, return_inverse=True)
        count = int(member.max()) + 1
        counts = rng.multinomial(count, np.full(count, 1 / count), size=bootstrap)[:, member].astype(float)
        centres = mean + sd * rng.standard_normal((bootstrap, len(mean)))
        draws, _ = minimise(model(centres, counts), np.tile(theta, (bootstrap, 1)), 30, 1e-4)
    sizes, size_of = np.unique(n, return_inverse=True)
    off = np.abs(_log_loss(theta, n, d, u, origin) - y)
    if len(sizes) >= FOLDS:
        others = (size_of != np.arange(len(sizes))[:, None]).astype(float)
        left, _ = minimise(model(np.tile(mean, (len(sizes), 1)), others), np.tile(theta, (len(sizes), 1)), 30, 1e-4)
        off = np.abs(_log_loss(left, n, d, u, origin)[size_of, np.arange(len(y))] - y)
    again = u < d
    return RepetitionFit(
        theta,
        draws,
        origin,
        float(np.quantile(off, 0.9)) / NORMAL_90,
        len(y),
        int(again.sum()),
        float((6 * n * d).max()),
        float((d / u).max()),
        float((n / u)[again].max(initial=(n / u).max())),
        unit,
    )

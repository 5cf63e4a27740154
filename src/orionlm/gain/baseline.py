"""What loss would the plain recipe reach here, and with m times the compute? The curve that prices a lever.

The plain rows of a run table (no lever) are fitted by `plan.posterior`. A baseline is an equally weighted sample of
that posterior: each draw is a law, its constants, a departure of the world from the law, and a run's noise. Along the
*ray* of a run of N parameters on D tokens, the plain recipe with e^u times its compute has N·e^(u/2) parameters and
reads D·e^(u/2) tokens that it has not seen: its tokens a parameter stay. (Both optima of Hoffmann et al., 2203.15556,
eq. 4, and Besiroglu et al., 2404.10102, grow so within their error; a wrong balance of the run is not held against it.)
Where all plain runs are of one size, compute grows in tokens alone; where they lie on one path, along that path.

Text that repeats counts D′ = U[1 + R*(1 − e^(−R/R*))] (Muennighoff et al., 2305.16264, eq. 5). R* = 15.4 is theirs, and
refits of their runs put it anywhere in 14–60: here it has the wide prior of `plan.repetition`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable
from orionlm.plan.fit import Points
from orionlm.plan.laws import JOINT
from orionlm.plan.posterior import Fits, LawFit, covariances, departure, departure_variance, fit_laws
from orionlm.plan.repetition import R_STAR, R_STAR_SD, effective_tokens

Array = np.ndarray
DRAWS = 1200
NODES = (-0.9674, 0.0, 0.9674)  # centres of the thirds of a normal distribution
DEPARTURE_AT = 1.4  # the departure is taken at the run and at e^1.4 = 4 times its compute, straight between and beyond
REPEATED = 1.05


@dataclass(frozen=True)
class Part:
    """The draws of one law, `take` of `fit.theta`; `origin` is what the law measures ln N and ln D from."""

    fits: Fits
    fit: LawFit
    take: Array

    @property
    def theta(self) -> Array:
        return self.fit.theta[self.take]


@dataclass(frozen=True)
class Baseline:
    """`noise` (m,) is the variance of a row's log loss, `shared` (m,) the part that rows of one run have in common.

    `kind` is joint, compute (one path) or data (one size). `r_star` (m,) is what repeated text is worth; `scores` (m,)
    says where within its departure's uncertainty each draw lies.
    """

    parts: tuple[Part, ...]
    kind: str
    points: Points
    flops: Array
    r_star: Array
    noise: Array
    shared: Array
    scores: Array
    warnings: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.noise)

    def flops_at(self, params: Array, tokens: Array) -> Array:
        """FLOPs of plain runs at (N, D), by the convention of the table: 6·N·D times its own factor at that size."""
        order = np.argsort(self.points.params)
        factor = np.log(self.flops / (6 * self.points.params * self.points.tokens))[order]
        return 6 * params * tokens * np.exp(np.interp(np.log(params), np.log(self.points.params[order]), factor))

    def curves(self, params: Array, tokens: Array, u: Array, share: float = 0.5) -> Array:
        """Log loss of plain runs on fresh text along rays from (N, D), each (n,); u (n, g) → (m, n, g).

        N grows with e^(share·u), D with e^((1−share)·u); a baseline of one size grows D alone.
        """
        share = 0.0 if self.kind == "data" else share
        x = (np.log(params)[:, None] + share * u).ravel()
        z = (np.log(tokens)[:, None] + (1 - share) * u).ravel()
        out, start = [], 0
        for part in self.parts:
            score = self.scores[start : start + len(part.take)]
            start += len(part.take)
            x0, z0 = part.fits.origin
            law = part.fit.law.log_loss(part.theta, x - x0, z - z0)[0].reshape(-1, *u.shape)
            places = [(params * up**share, tokens * up ** (1 - share)) for up in (1.0, np.exp(DEPARTURE_AT))]
            near, far = (_departure(part, n, d, score) for n, d in places)
            slope = (far - near)[:, :, None] / DEPARTURE_AT
            out.append(law + near[:, :, None] + slope * np.maximum(u, 0))
        return np.concatenate(out)


def fit_baseline(table: RunTable, draws: int = DRAWS, seed: int = 0) -> Baseline:
    """The baseline of the plain rows (`lever` empty) of a table.

    Raises UserError where there are none, too few, or where they cannot tell a law's parameters apart.
    """
    plain = table.select(_plain(table))
    if not len(plain):
        raise UserError(f"{table.source}: lever: no plain rows; leave lever empty in the runs of the plain recipe")
    points = Points(plain["active_params"], plain["tokens"], plain[table.metric], plain["run"], table.metric)
    warnings: list[str] = []
    kind, laws = _laws(points)
    rng = np.random.default_rng(seed)
    epochs = points.tokens / plain["unique_tokens"]
    if (epochs <= REPEATED).all():
        fits = [fit_laws(points, laws, 500, seed)]
        r_star = R_STAR * np.exp(R_STAR_SD * rng.standard_normal(draws))
        shares = np.ones(1)
    else:
        values = [R_STAR * np.exp(R_STAR_SD * node) for node in NODES]
        fits = [
            fit_laws(
                replace(points, tokens=effective_tokens(points.tokens, plain["unique_tokens"], r)), laws, 500, seed
            )
            for r in values
        ]
        # The evidence for each value, by the noise that it leaves: (floor + misfit)^(−dof/2), as in `posterior`.
        left = np.array([np.median(np.concatenate([fit.variance for fit in f.laws])) for f in fits])
        shares = np.exp(-(len(points) + 4) / 2 * (np.log(left) - np.log(left.min())))
        shares /= shares.sum()
        warnings.append(
            f"plain rows repeat text up to {epochs.max():.1f} times: their law leans on the law of repetition"
        )
        r_star = np.empty(0)
    parts, stars = [], []
    counts = _apportion(
        np.concatenate([s * np.array([fit.weight for fit in f.laws]) for s, f in zip(shares, fits, strict=True)]), draws
    )
    every = [(f, fit, k) for k, f in enumerate(fits) for fit in f.laws]
    for (f, fit, k), count in zip(every, counts, strict=True):
        if count:
            parts.append(Part(f, fit, rng.permutation(np.arange(count) % len(fit.theta))))
            if len(fits) > 1:
                stars.append(np.full(count, values[k]))
    noise = np.concatenate([part.fit.variance[part.take] for part in parts])
    shared = np.concatenate([_shared(part.fits, part.fit)[part.take] for part in parts])
    r_star = np.concatenate(stars) if stars else r_star
    return Baseline(
        tuple(parts), kind, points, plain["flops"], r_star, noise, shared, rng.standard_normal(draws), tuple(warnings)
    )


def _plain(table: RunTable) -> Array:
    lever = table.columns.get("lever")
    return np.ones(len(table), bool) if lever is None else lever == ""


def _laws(points: Points) -> tuple[str, tuple[str, ...]]:
    """What the table can tell apart: N and D, compute along one path, or tokens at one size."""
    x, z = np.log(points.params), np.log(points.tokens)
    if np.ptp(x) < 0.1:
        return "data", ("data",)
    centred = np.stack([x - x.mean(), z - z.mean()])
    if np.linalg.svd(centred, compute_uv=False)[1] < 0.05 * np.sqrt(len(x)):
        return "compute", ("compute",)
    return "joint", JOINT


def _shared(fits: Fits, fit: LawFit) -> Array:
    """The share of a row's noise that a run's rows have in common, for each draw."""
    return np.array([rho for rho, _ in fits.cells])[fit.cell]


def _departure(part: Part, params: Array, tokens: Array, z: Array) -> Array:
    """How far the world lies from the law at places (k,): a draw of it, at standard normal scores z (m,) → (m, k).

    Carried over from the rows (kriging: Rasmussen & Williams 2006, eq. 2.23–2.24). Unlike a forecast's, it has no floor
    that grows from the corner of the largest size and the most tokens: a lever's plain twin lies among the plain runs.
    """
    fits, fit, points = part.fits, part.fit, part.fits.points
    kappa = np.array([kappa for _, kappa in fits.cells])[:, None, None]
    toward = departure(points, params, tokens)
    carry = kappa * (np.linalg.inv(covariances(points, fits.row_variance, fits.cells)) @ toward)
    own = np.array([departure_variance(points, n, d) for n, d in zip(params, tokens, strict=True)])
    left = np.maximum(kappa[:, 0] * (own - (carry * toward).sum(1)), 0)
    x0, z0 = fits.origin
    law = fit.law.log_loss(fit.theta, np.log(points.params) - x0, np.log(points.tokens) - z0)[0]
    cell, residual = fit.cell[part.take], (np.log(points.loss) - law)[part.take]
    sd = np.sqrt(fit.variance[part.take, None] * left[cell])
    return (carry[cell] * residual[:, :, None]).sum(1) + sd * z[:, None]


def _apportion(weight: Array, count: int) -> Array:
    """Whole numbers in proportion to `weight` that sum to `count`."""
    return np.diff(np.round(np.cumsum(weight / weight.sum()) * count).astype(int), prepend=0)

"""What score on a task does a loss promise, and can this task be forecast at all?

Two steps (OLMo's ladder, 2412.04403, eq. 1–2; Llama 3, 2407.21783, §3.2): a law gives the loss, then a sigmoid the
accuracy, b + a/(1 + e^{k(L − L0)}), with b the score of guessing. Only about 39% of tasks follow such a curve
(Lourie et al., 2507.00885): the fit says whether this one does, from points that it was not shown.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError
from orionlm.plan.fit import minimise

Array = np.ndarray
GOOD, POOR = 0.9, 0.5
MARGIN = 0.5
PRIOR_SD = 2.0


def read_scores(path: Path, unit: str) -> tuple[Array, Array]:
    """Losses (n,) in `unit`, the column of that name, and their `score`s, of a CSV. Raises UserError naming the row."""
    if not path.is_file():
        raise UserError(f"{path}: no such file; give a CSV with the columns {unit} and score")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            rows = [{(k or "").strip(): v for k, v in row.items()} for row in csv.DictReader(stream)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a UTF-8 CSV file ({error}); save it as one") from None
    for name in (unit, "score"):
        if rows and name not in rows[0]:
            raise UserError(f"{path.name}: no column '{name}'; give {unit}, the unit of the fit, and score (0 to 1)")
    found = np.empty((len(rows), 2))
    for i, row in enumerate(rows):
        for j, name in enumerate((unit, "score")):
            try:
                found[i, j] = float(row[name] or "")
            except ValueError:
                raise UserError(f"{path.name}: row {i + 1}, {name} = {row[name]!r} is not a number") from None
    if len(rows) < 5:
        raise UserError(f"{path.name}: {len(rows)} rows are too few for a curve of scores; give 5 or more")
    return found[:, 0], found[:, 1]


def accuracy(theta: Array, loss: Array, chance: float) -> Array:
    """The sigmoid (…, n) of theta (…, 3) = (logit of the range used above chance, ln k, L0) at losses (n,)."""
    top, steep, middle = (theta[..., i, None] for i in range(3))
    reach = (1 - chance) / (1 + np.exp(-np.clip(top, -30, 30)))
    return chance + reach / (1 + np.exp(np.clip(np.exp(np.clip(steep, -10, 10)) * (loss - middle), -50, 50)))


@dataclass(frozen=True)
class AccuracyFit:
    """A task's sigmoid: theta (3,), bootstrap draws (m, 3), the points' noise, and how well it told held-out points.

    `explained`: the share of the scores' variance that leave-one-out predictions explain (at most 1, below 0 if a
    constant does better). `verdict`: yes (from .9 on), no (below .5) or cannot tell, that the task can be forecast.
    """

    theta: Array
    draws: Array
    chance: float
    noise: float
    losses: tuple[float, float]
    n: int
    explained: float
    verdict: str
    warnings: tuple[str, ...]

    def predict(self, loss: ArrayLike, extrapolate: bool = False) -> Array:
        """Accuracy at losses (n,). Refuses losses further below the fitted than half their range."""
        loss = np.atleast_1d(np.asarray(loss, float))
        self._check(loss, extrapolate)
        return accuracy(self.theta, loss, self.chance)

    def forecast(
        self,
        loss: float,
        low: float | None = None,
        high: float | None = None,
        level: float = 0.9,
        extrapolate: bool = False,
        seed: int = 0,
    ) -> tuple[float, float, float]:
        """Median, low and high accuracy of a run whose loss is forecast as `loss`, low to high at `level`.

        Carries the loss's interval, the sigmoid's bootstrap and the scatter of the points.
        """
        from scipy.special import ndtri

        low, high = loss if low is None else low, loss if high is None else high
        if not 0 < low <= loss <= high:
            raise UserError(f"loss = {loss}, {low} to {high}: give a positive loss within its interval")
        self._check(np.array([loss]), extrapolate)
        rng = np.random.default_rng(seed)
        z = rng.standard_normal(4000)
        spread = np.where(z > 0, np.log(high / loss), np.log(loss / low)) / ndtri((1 + level) / 2)
        draws = self.draws if len(self.draws) else self.theta[None]
        which = rng.integers(len(draws), size=len(z))
        score = accuracy(draws[which], (loss * np.exp(spread * z))[:, None], self.chance)[:, 0]
        score = np.clip(score + self.noise * rng.standard_normal(len(z)), 0, 1)
        below, above = np.quantile(score, [(1 - level) / 2, (1 + level) / 2])
        middle = float(self.predict(loss, extrapolate=True)[0])
        return middle, float(min(below, middle)), float(max(above, middle))

    def _check(self, loss: Array, extrapolate: bool) -> None:
        least, most = self.losses
        if not (np.isfinite(loss).all() and (loss > 0).all()):
            raise UserError(f"loss = {loss.min()}: give positive, finite losses")
        if loss.min() < least - MARGIN * (most - least) and not extrapolate:
            raise UserError(
                f"loss = {loss.min():.4g}: the fit saw {least:.4g} to {most:.4g}, and is asked further below than half "
                "of that range; measure better runs, or ask for it with --extrapolate"
            )


def fit_accuracy(
    loss: ArrayLike, score: ArrayLike, chance: float = 0.0, bootstrap: int = 500, seed: int = 0
) -> AccuracyFit:
    """The sigmoid through (loss, accuracy) points (n,), least squares with weak priors; bootstrap over points.

    Raises UserError for fewer than 5 points, one loss only, or scores outside 0 to 1.
    """
    x, y = np.atleast_1d(np.asarray(loss, float)), np.atleast_1d(np.asarray(score, float))
    if x.shape != y.shape or not (np.isfinite(x).all() and (x > 0).all()):
        raise UserError("loss: give one positive, finite loss a score")
    if not (np.isfinite(y).all() and (y >= 0).all() and (y <= 1).all()):
        raise UserError("accuracy: give scores from 0 to 1")
    if not 0 <= chance < 1:
        raise UserError(f"chance = {chance}: give the score of guessing, from 0 to below 1")
    if len(x) < 5 or np.ptp(x) < 1e-3:
        raise UserError(f"runs: {len(x)} points over losses {x.min():.4g} to {x.max():.4g}; give 5 or more that differ")
    width = float(np.ptp(x))
    mean = np.array([2.0, np.log(4 / width), x.min()])
    sd = np.array([PRIOR_SD, 1.0, 2 * width])
    sigma = max(0.02, 0.1 * float(np.ptp(y)))

    def solve(counts: Array, starts: Array, steps: int) -> tuple[Array, Array]:
        def model(theta: Array, which: Array) -> tuple[Array, Array, Array]:
            value = accuracy(theta, x, chance)
            slope = np.stack([(accuracy(theta + step, x, chance) - value) / 1e-6 for step in 1e-6 * np.eye(3)], axis=-1)
            residual, off = value - y, (theta - mean) / sd
            weighted = counts[which][..., None] / sigma**2 * slope
            cost = (counts[which] * residual**2).sum(-1) / sigma**2 / 2 + (off**2).sum(-1) / 2
            curve = weighted.swapaxes(-1, -2) @ slope + np.diag(sd**-2)
            return np.nan_to_num(cost, nan=np.inf), (residual[:, None] @ weighted)[:, 0] + off / sd, curve

        return minimise(model, starts, steps, 1e-9)

    grid = np.array([[t, mean[1] + s, x.min() + m * width] for t in (0, 2) for s in (-1, 0, 1) for m in (-0.5, 0, 0.5)])
    found, cost = solve(np.ones((len(grid), len(x))), grid, 200)
    theta = found[int(np.argmin(cost))]
    left, _ = solve(1 - np.eye(len(x)), np.tile(theta, (len(x), 1)), 200)
    missed = accuracy(left, x, chance)[np.arange(len(x)), np.arange(len(x))] - y
    constant = (y.sum() - y) / (len(y) - 1) - y
    explained = float(1 - (missed**2).sum() / max(float((constant**2).sum()), 1e-12))
    draws = np.empty((0, 3))
    if bootstrap:
        counts = np.random.default_rng(seed).multinomial(len(x), np.full(len(x), 1 / len(x)), size=bootstrap)
        draws, _ = solve(counts.astype(float), np.tile(theta, (bootstrap, 1)), 60)
    verdict = "yes" if explained >= GOOD else "no" if explained < POOR else "cannot tell"
    warnings = []
    if verdict != "yes":
        warnings.append(
            f"a sigmoid of the loss explains {100 * max(explained, 0):.0f}% of held-out scores: this task "
            f"{'cannot' if verdict == 'no' else 'may not'} be forecast from loss (only about 39% of tasks can)"
        )
    if y.max() < chance + 0.05:
        warnings.append("every score is about that of guessing: the points are blind to progress")
    if y.min() > 0.95:
        warnings.append("every score is near 1: the task is saturated")
    noise = float(np.sqrt((missed**2).sum() / max(len(x) - 1, 1)))
    return AccuracyFit(
        theta, draws, chance, noise, (float(x.min()), float(x.max())), len(x), explained, verdict, tuple(warnings)
    )

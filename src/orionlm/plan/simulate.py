"""Does a 90% interval hold the run 90% of the time? Simulated ladders, in worlds inside and outside the fitted laws."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from orionlm.plan.baselines import baselines
from orionlm.plan.fit import Points
from orionlm.plan.forecast import forecast
from orionlm.plan.laws import LAWS
from orionlm.plan.posterior import fit_laws

Array = np.ndarray
NOISE_GROWTH = 0.3


@dataclass(frozen=True)
class Ladder:
    """A ladder's design: one trajectory a size, a point at each number of tokens (branches of the trajectory)."""

    params: tuple[float, ...] = (2e5, 4.5e5, 1e6)
    tokens: tuple[float, ...] = (0.5e6, 1e6, 2e6, 4e6)

    @property
    def rows(self) -> tuple[Array, Array, Array]:
        """params, tokens and run of every point (n,)."""
        params, tokens = (grid.ravel() for grid in np.meshgrid(self.params, self.tokens, indexing="ij"))
        return params, tokens, np.array([f"{n:.0f}" for n in params], dtype=object)


@dataclass(frozen=True)
class World:
    """The true mean log loss at (ln N, ln D), its noise at ln D = `middle`, and the share of it a run's rows share.

    Noise grows with the length of a run: trainings of the quickstart's ladder anew differ by .47% at the middle rung,
    those of its target, 5.3 times as long, by .8% (docs/NOTES.md).
    """

    log_loss: Callable[[Array, Array], Array]
    noise: float
    share: float
    middle: float

    def spread(self, tokens: Array) -> Array:
        """Standard deviation of log loss of runs of `tokens` (n,)."""
        return self.noise * np.exp(NOISE_GROWTH * (np.log(tokens) - self.middle))


def draw_world(kind: str, ladder: Ladder, rng: np.random.Generator) -> World:
    """A world of one kind, its constants drawn at random: losses near 2 bits per byte, noise .3–.8%.

    `chinchilla`, `gadre`, `coupled`, `kaplan`: the fitted laws. Not among them: `periodic`, with a log-periodic wobble
    of .5%; `drifting`, whose exponents shrink or grow along the ladder, by up to 1.3% of the loss at 10×; `broken`,
    with a smooth break in the data term (Caballero et al., 2210.14891); `max`, the larger of the terms over a floor.
    """
    params, tokens, _ = ladder.rows
    x0, z0 = float(np.log(params).mean()), float(np.log(tokens).mean())
    law = LAWS[kind] if kind in LAWS else LAWS["chinchilla"]
    floor = rng.uniform(0.3, 0.9)
    level = rng.uniform(1.8, 2.2) - (floor if "e" in law.parameters else 0)
    share = rng.uniform(0.25, 0.75)
    alpha, beta = rng.uniform(0.07, 0.2, 2) if kind == "kaplan" else rng.uniform(0.22, 0.45, 2)
    constants = {"a": np.log(level * share), "b": np.log(level * (1 - share)), "e": np.log(floor), "alpha": alpha}
    constants["beta"] = beta
    theta = np.array([constants[name] for name in law.parameters])
    phase, bend, knee = rng.uniform(0, 2 * np.pi), rng.uniform(-0.005, 0.005), rng.uniform(-1, 1.5)
    turn = rng.choice([-1, 1]) * rng.uniform(0.05, 0.1)

    def log_loss(x: Array, z: Array) -> Array:
        x, z = x - x0, z - z0
        if kind == "max":
            terms = 2 * level * share * np.exp(-alpha * x), 2 * level * (1 - share) * np.exp(-beta * z)
            return np.log(floor + np.maximum(*terms))
        if kind == "broken":
            z = z + turn / beta * 0.5 * np.logaddexp(0, (z - knee) / 0.5)
        value = law.log_loss(theta, x, z)[0]
        if kind == "periodic":
            return value + 0.005 * np.sin(2 * np.pi * (x + z) / np.log(30) + phase)
        return value + bend * (x + z) ** 2 / 2 if kind == "drifting" else value

    return World(log_loss, rng.uniform(0.003, 0.008), rng.uniform(0.2, 0.8), z0)


WORLDS = ("chinchilla", "gadre", "coupled", "kaplan", "periodic", "drifting", "broken", "max")


def observe(world: World, ladder: Ladder, rng: np.random.Generator) -> Points:
    """One ladder trained in a world."""
    params, tokens, run = ladder.rows
    _, member = np.unique(run, return_inverse=True)
    common = rng.standard_normal(member.max() + 1)[member]
    own = rng.standard_normal(len(run))
    noise = world.spread(tokens) * (np.sqrt(world.share) * common + np.sqrt(1 - world.share) * own)
    return Points(params, tokens, np.exp(world.log_loss(np.log(params), np.log(tokens)) + noise), run, "bits_per_byte")


def repeat(
    kind: str, ratios: tuple[float, ...], ladder: Ladder, seed: int, level: float = 0.9
) -> list[dict[str, float]]:
    """One ladder in one world, and at each ratio to its largest FLOPs a forecast and the run. Errors are relative."""
    rng = np.random.default_rng(seed)
    world = draw_world(kind, ladder, rng)
    points = observe(world, ladder, rng)
    fits = fit_laws(points, seed=seed)
    rows = []
    for ratio in ratios:
        params, tokens = points.params.max() * ratio**0.5, points.tokens.max() * ratio**0.5
        mean = float(world.log_loss(np.log([params]), np.log([tokens]))[0])
        measured = float(np.exp(mean + float(world.spread(np.array(tokens))) * rng.standard_normal()))
        said = forecast(fits, params, tokens, level)
        naive = baselines(points.flops, points.loss, said.flops)
        rows.append(
            {
                "inside": float(said.low <= measured <= said.high),
                "half_width": said.half_width,
                "error": said.loss / measured - 1,
                "last_rung": naive["last rung"] / measured - 1,
                "line": naive["straight line"] / measured - 1,
            }
        )
    return rows


def coverage(
    kind: str,
    ratios: tuple[float, ...] = (4.0, 10.0),
    repeats: int = 500,
    ladder: Ladder | None = None,
    level: float = 0.9,
    seed: int = 0,
) -> list[dict]:
    """For each ratio: the share of intervals that hold the run, their median half-width, the mean signed error, and the
    median absolute errors of the forecast and of two baselines, the last rung and a line through the last two."""
    results = [repeat(kind, ratios, ladder or Ladder(), seed + i, level) for i in range(repeats)]
    summary = []
    for j, ratio in enumerate(ratios):
        column = {name: np.array([rows[j][name] for rows in results]) for name in results[0][j]}
        summary.append(
            {
                "world": kind,
                "ratio": ratio,
                "repeats": repeats,
                "coverage": float(column["inside"].mean()),
                "half_width": float(np.median(column["half_width"])),
                "bias": float(column["error"].mean()),
            }
            | {name: float(np.median(np.abs(column[name]))) for name in ("error", "last_rung", "line")}
        )
    return summary

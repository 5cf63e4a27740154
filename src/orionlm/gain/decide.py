"""Which lever next, how sure is that, and which small experiment would most change the decision?

The candidates are the levers, and *compute*: the plain recipe with nothing but more compute, whose gain is exactly 1.
The next step is the candidate of highest expected ln net gain; its probability of being the best is the share of joint
draws in which it is, levers sharing their baseline's draws. Gains that no compute reaches count as CAP.

An experiment is one more run of a lever at its largest scale. It shrinks what is not shared with the baseline: of a
variance s² of ln gain, n runs brought v/n, and one more leaves v/(n+1). What it is worth is the expected rise of the
best expected ln gain, its result simulated before it is made (Raiffa & Schlaifer 1961, preposterior analysis).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.gain.costs import LeverCost
from orionlm.gain.gain import Gain, price_levers
from orionlm.gain.runs import RunTable

Array = np.ndarray
COMPUTE = "compute"
CAP = np.log(100.0)
SIMULATED = 20_000


@dataclass(frozen=True)
class Experiment:
    """One more run of a lever. `value` is the expected rise in ln net gain by choosing with its result in hand, and
    `chance` the probability that the result changes the choice; the one of most value for its FLOPs is named."""

    lever: str
    flops: float
    value: float
    chance: float
    says: str


@dataclass(frozen=True)
class Recommendation:
    """`step` is the best candidate; `probability` that it is best of all, `over_runner_up` that it beats that one."""

    step: str
    probability: float
    gain: float
    low: float
    high: float | None
    runner_up: str
    over_runner_up: float
    experiment: Experiment | None
    sure: bool
    candidates: dict[str, float]
    says: str
    warnings: tuple[str, ...]

    def to_json(self) -> dict:
        """Plain numbers."""
        return asdict(self)


def recommend(gains: list[Gain], seed: int = 0, sure: float = 0.9) -> Recommendation:
    """The best next step out of levers priced against one baseline (`price_levers`); `sure` from which probability on.

    Raises UserError where there is nothing to choose from.
    """
    if not gains:
        raise UserError("gains: no lever was priced; give runs of at least one")
    names = [COMPUTE] + [gain.lever for gain in gains]
    draws = np.stack([np.zeros(len(gains[0].net.draws))] + [_finite(gain.net.draws) for gain in gains])
    mean = draws.mean(1)
    order = np.argsort(-mean, kind="stable")
    best, second = int(order[0]), int(order[1])
    share = np.bincount(draws.argmax(0), minlength=len(names)) / draws.shape[1]
    versus = float((draws[best] > draws[second]).mean())
    experiment = _experiment(gains, draws, best, np.random.default_rng(seed))
    chosen = gains[best - 1].net if best else None
    gain, low, high = (float(np.exp(mean[best])), chosen.low or 0.0, chosen.high) if chosen else (1.0, 1.0, 1.0)
    certain = share[best] >= sure
    what = f"pull '{names[best]}'" if best else "buy plain compute: no lever is worth more"
    says = f"{what}: best with probability {share[best]:.2f}; runner-up {names[second]} (beaten with {versus:.2f})"
    if not certain:
        says = f"cannot tell yet; {says}" + (f"; first {experiment.says}" if experiment else "")
    return Recommendation(
        names[best],
        float(share[best]),
        gain,
        low,
        high,
        names[second],
        versus,
        experiment,
        bool(certain),
        {name: float(p) for name, p in zip(names, share, strict=True)},
        says,
        tuple(dict.fromkeys(line for g in gains for line in g.warnings)),
    )


def recommend_from(table: RunTable, seed: int = 0, costs: dict[str, LeverCost] | None = None) -> Recommendation:
    """The best next step out of all levers of a run table."""
    return recommend(price_levers(table, costs=costs, seed=seed), seed)


def _finite(draws: Array) -> Array:
    return np.clip(draws, -CAP, CAP)


def _experiment(gains: list[Gain], draws: Array, best: int, rng: np.random.Generator) -> Experiment | None:
    """The experiment of highest value for its FLOPs; None where no single run is expected to change anything."""
    mean = draws.mean(1)
    found = []
    for k, gain in enumerate(gains, 1):
        # Only the runs' own noise shrinks: that of n runs is to that of one more as n + 1 to n.
        noise = min(gain.run_noise**2 / gain.runs, float(draws[k].var()))
        learned = np.sqrt(noise * (1 - gain.runs / (gain.runs + 1)))
        if learned <= 0:
            continue
        after = mean[k] + learned * rng.standard_normal(SIMULATED)
        others = np.delete(mean, k).max()
        value = float(np.maximum(after, others).mean() - mean[best])
        chance = float(((after > others) != (k == best)).mean())
        says = f"one more run of '{gain.lever}' at {gain.flops:.3g} FLOPs (changes the choice with {chance:.2f})"
        found.append(Experiment(gain.lever, gain.flops, max(value, 0.0), chance, says))
    useful = [e for e in found if e.chance >= 0.01 and e.value > 0]
    return max(useful, key=lambda e: e.value / e.flops, default=None)

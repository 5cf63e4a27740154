"""What is the best model that a budget buys, what holds it back, and what would one more unit of each resource buy?

For every size N, runs up to the longest that all limits allow are weighed; the lowest expected loss wins (2203.15556,
eq. 4, under more limits than compute; with demand for inference, 2401.00448, eq. 3). A shadow price is the fall in loss
when one resource grows by a twentieth and the plan is made anew, per unit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.budget import Budget, Reach
from orionlm.plan.outlook import Outlook, Text
from orionlm.plan.synthetic import generation_flops

Array = np.ndarray
SIZES = 80
# Lengths tried at each size, as shares of the longest run: text read too often does harm.
LENGTHS, SHORTEST = 24, 1e-4
STEP = 1.05
MOST = 1e4
TRAIN, INFER = 6.0, 2.0  # FLOPs a parameter and token (2001.08361, §2.1)


@dataclass(frozen=True)
class Means:
    """What a plan draws on: device hours, FLOPs, text and the demand, each alone, so that each can be relaxed alone."""

    limits: dict[str, float]
    flops: float | None
    text: Text
    served: float  # tokens over the model's life that the same money and device hours pay for
    rate: float
    serving_rate: float
    smallest: float
    largest: float
    text_share: float = 1.0
    generator: float = 0.0  # parameters of the model that writes synthetic text; 0 where that is paid elsewhere

    @classmethod
    def of(cls, budget: Budget, reach: Reach) -> Means:
        demand = budget.demand.tokens.median if budget.demand.tokens and budget.demand.from_budget else 0.0
        share = budget.model.text_share if budget.model.kind == "fusion" else 1.0
        model = budget.model
        return cls(
            reach.limits,
            reach.flops,
            budget.stock,
            demand,
            reach.rate,
            reach.serving_rate,
            model.smallest.median,
            model.largest.median,
            share,
            budget.text.generator_params.median if budget.text.generator_params else 0.0,
        )

    def longest(self, params: Array) -> dict[str, Array]:
        """The most training tokens each limit allows at each size (n,). All tokens, those of other modes included."""
        tokens = {}
        serving_hours = INFER * params * self.served / self.serving_rate / 3600
        for name, hours in self.limits.items():
            # Serving comes after training, so a deadline for the run does not wait for it.
            left = hours - (0.0 if name == "time" else serving_hours)
            tokens[name] = self._trained(params, np.maximum(left, 0) * 3600 * self.rate, self.rate / self.serving_rate)
        if self.flops is not None:
            tokens["flops"] = self._trained(params, np.maximum(self.flops - INFER * params * self.served, 0), 1.0)
        tokens["text"] = np.full(len(params), self.text.most_tokens / self.text_share)
        return tokens

    def _trained(self, params: Array, flops: Array, dearer: float) -> Array:
        """Tokens (n,) that `flops` (n,) train on, the writing of synthetic text included, whose FLOPs cost `dearer`."""
        high = flops / (TRAIN * params)
        a_token = generation_flops(1.0, self.generator) * dearer
        if not (a_token and self.text.synthetic):
            return high
        low, high = np.zeros(len(params)), np.broadcast_to(high, params.shape)
        for _ in range(50):
            middle = (low + high) / 2
            spent = TRAIN * params * middle + a_token * self.text.synthetic_read(middle * self.text_share)
            low, high = np.where(spent <= flops, middle, low), np.where(spent <= flops, high, middle)
        return low

    def scaled(self, name: str, factor: float) -> Means:
        """The same with one resource `factor` times as large."""
        if name == "flops":
            assert self.flops is not None
            return replace(self, flops=self.flops * factor)
        if name == "real text":
            return replace(self, text=replace(self.text, unique=self.text.unique * factor))
        if name == "synthetic text":
            return replace(self, text=replace(self.text, synthetic=self.text.synthetic * factor))
        return replace(self, limits=self.limits | {name: self.limits[name] * factor})


@dataclass(frozen=True)
class Choice:
    """N and D (`tokens` of all kinds, `text_tokens` of them text), what ends the run, each draw's loss (m,)."""

    params: float
    tokens: float
    text_tokens: float
    limit: str
    losses: Array

    @property
    def flops(self) -> float:
        return TRAIN * self.params * self.tokens


def choose(outlook: Outlook, means: Means, params: float | None = None) -> Choice:
    """The best plan, or the plan at `params`. Raises UserError where no size can be trained at all."""
    low, high = (np.log(params),) * 2 if params else (np.log(means.smallest), np.log(means.largest))
    briefest, whole = np.log(SHORTEST), 0.0
    for _ in range(3):
        grid = np.exp(np.linspace(low, high, 1 if params else SIZES))
        by_limit = means.longest(grid)
        names, stacked = list(by_limit), np.stack(list(by_limit.values()))
        # A run of less than a token a parameter is no run that any law has seen.
        able = np.flatnonzero(stacked.min(0) >= grid)
        if not len(able):
            raise UserError(_nothing(means, grid, names, stacked))
        shares = np.linspace(briefest, whole, LENGTHS)
        sizes = np.repeat(grid[able], LENGTHS)
        tokens = (stacked.min(0)[able, None] * np.exp(shares)).ravel()
        losses = outlook.loss(sizes, tokens * means.text_share, means.text)
        best = int((outlook.weight @ losses).argmin())
        index, length = able[best // LENGTHS], best % LENGTHS
        low, high = np.log(grid[max(index - 2, 0)]), np.log(grid[min(index + 2, len(grid) - 1)])
        briefest, whole = shares[max(length - 1, 0)], shares[min(length + 1, LENGTHS - 1)]
    ended = names[int(stacked[:, index].argmin())] if shares[length] > -1e-3 else "repetition"
    chosen = float(tokens[best])
    return Choice(float(grid[index]), chosen, chosen * means.text_share, ended, losses[:, best])


def _nothing(means: Means, grid: Array, names: list[str], stacked: Array) -> str:
    """Why not even the smallest size can be trained on as many tokens as it has parameters, and the smallest mend."""
    shortest = int(stacked[:, 0].argmin())
    reached, name = float(stacked[shortest, 0]), names[shortest]
    more = f"give {grid[0] / reached:.3g} times as much" if reached > 1e-9 else "nothing is left for it: raise it"
    if means.served and name != "text":
        return (
            f"budget: serving {means.served:.3g} tokens with {grid[0]:.3g} parameters already takes all of {name}; "
            "lower demand.tokens, raise the budget, or set demand.from_budget = false"
        )
    field = {"text": "text.unique"}.get(name, f"compute.{name}")
    return (
        f"budget: {field} does not train the smallest model, {grid[0]:.3g} parameters, on a token for each; "
        f"{more}, or lower model.smallest"
    )


def _above_zero(interval: tuple[float, float, float]) -> tuple[float, float, float]:
    """Smoothing carries a quantile of falls that are all 0 or more a hair below 0."""
    middle, low, high = (max(0.0, value) for value in interval)
    return middle, low, high


def _fall(outlook: Outlook, means: Means, chosen: Choice, name: str, amount: float, more: float) -> Array:
    """Each draw's fall in loss (m,) when `more` of a resource is added to `amount`. Never below 0."""
    if amount:
        richer = means.scaled(name, 1 + more / amount)
    else:
        richer = replace(means, text=replace(means.text, synthetic=more))
    return np.maximum(chosen.losses - choose(outlook, richer).losses, 0.0)


@dataclass(frozen=True)
class Shadow:
    """One resource: the fall in loss of a twentieth more of it, and per `unit`, each (median, low, high)."""

    name: str
    amount: float
    unit: str
    per_unit: tuple[float, float, float]
    per_twentieth: tuple[float, float, float]


def shadows(outlook: Outlook, means: Means, chosen: Choice, units: dict[str, tuple[float, float, str]]) -> list[Shadow]:
    """The price of each resource in `units` (name → amount now, one unit of it, the unit's name), dearest first.

    Draws are shared between the plan and its neighbour, so the difference carries the laws' uncertainty alone.
    """
    found = []
    for name, (amount, unit, label) in units.items():
        # A unit that is small beside what there is drowns in the search's own tolerance: then a twentieth, scaled.
        more = max(unit, (STEP - 1) * (amount or means.text.unique))
        one = _fall(outlook, means, chosen, name, amount, more)
        twentieth = _fall(outlook, means, chosen, name, amount, (STEP - 1) * (amount or means.text.unique))
        per_unit = _above_zero(outlook.interval(one * min(unit / more, 1.0)))
        found.append(Shadow(name, amount, label, per_unit, _above_zero(outlook.interval(twentieth))))
    return sorted(found, key=lambda shadow: -shadow.per_twentieth[0])


def needed(outlook: Outlook, means: Means, loss: float, names: list[str]) -> dict[str, float | None]:
    """The factor on each resource alone at which the expected loss is `loss`; None where none up to `MOST` does."""
    from scipy.optimize import brentq

    factors: dict[str, float | None] = {}
    for name in names:

        def excess(log_factor: float, name: str = name) -> float:
            chosen = choose(outlook, means.scaled(name, float(np.exp(log_factor))))
            return float(outlook.weight @ chosen.losses) - loss

        end = float(np.log(MOST))
        if excess(end) > 0:
            factors[name] = None
        else:
            factors[name] = float(np.exp(brentq(excess, 0.0, end, xtol=1e-3))) if excess(0.0) > 0 else 1.0
    return factors

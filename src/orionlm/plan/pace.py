"""How fast do chips improve, should a run wait for better ones, and what does a slower pace do to a plan?

Trends are log-linear regressions of the accelerator table on release dates; their interval is Student's for the slope.
Published for comparison: FLOP/s double every 2.3 years, FLOP/$ every 2.1, FLOP/W every 3.0 (Hobbhahn, Heim and Aydos
2023, "Trends in machine learning hardware"; that table reaches back to 2010 and fp32, ours to tensor formats of 2016).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator
from orionlm.plan.cost import SERVER_OVERHEAD, summary
from orionlm.plan.quantity import FACTOR, MONEY, Quantity

Array = np.ndarray
Measure = Literal["flops", "flops_per_dollar", "flops_per_watt"]
NEEDS: dict[Measure, str | None] = {"flops": None, "flops_per_dollar": "price", "flops_per_watt": "power"}
REACH_YEARS = 6.0

COST_GROWTH = Quantity(2.4, 2.0, 2.9, FACTOR)
"""Growth a year of the cost of frontier runs, amortised with energy, 2016 to 2024 (Cottier et al. 2024, 2405.21015)."""
GPT4 = (2023.2, 40.7e6)
"""Date and amortised cost with energy, in dollars, of the run the forecast starts from (same source)."""


@dataclass(frozen=True)
class Trend:
    """exp(intercept + slope·(year − middle)) with the slope's standard error and Student's factor for 90%."""

    measure: str
    intercept: float
    slope: float
    slope_error: float
    scatter: float
    student: float
    middle: float
    first: float
    last: float
    n: int

    @property
    def growth(self) -> Quantity:
        """The factor a year, with its 90% interval."""
        half = self.student * self.slope_error
        return Quantity(math.exp(self.slope), math.exp(self.slope - half), math.exp(self.slope + half), FACTOR)

    @property
    def doubling_years(self) -> float:
        """Years in which the measure doubles; infinite where it does not grow."""
        return math.log(2) / self.slope if self.slope > 0 else math.inf

    def at(self, year: float, extrapolate: bool = False) -> Quantity:
        """The measure of a chip released in `year`, with the 90% interval of a new chip.

        More than 6 years outside the table raises UserError unless asked.
        """
        beyond = max(year - self.last, self.first - year, 0.0)
        if not math.isfinite(year) or (beyond > REACH_YEARS and not extrapolate):
            raise UserError(f"year = {year:g}: {beyond:.1f} years outside the table, {self.first:.1f} to"
                            f" {self.last:.1f}, more than {REACH_YEARS:g}; ask to extrapolate")  # fmt: skip
        away = year - self.middle
        spread = self.scatter**2 * (1 + 1 / self.n) + (self.slope_error * away) ** 2
        half = self.student * math.sqrt(spread)
        value = self.intercept + self.slope * away
        return Quantity(math.exp(value), math.exp(value - half), math.exp(value + half), FACTOR)


def trends(table: Mapping[str, Accelerator]) -> dict[str, Trend]:
    """The trend of bf16 FLOP/s, of FLOP/s per dollar of chip, and of FLOP/s per watt; estimated values are left out."""
    from scipy.special import stdtrit

    found: dict[str, Trend] = {}
    for measure, needs in NEEDS.items():
        rows = [
            a
            for a in table.values()
            if not {"bf16", needs} & set(a.estimated) and not (needs == "price" and not a.price)
        ]
        x = np.array([a.released for a in rows])
        if len(x) < 4 or np.ptp(x) < 1:
            raise UserError(f"accelerators: {len(x)} rows with {needs or 'bf16'}; a trend needs 4, over a year or more")
        per = {"price": [a.price.median if a.price else 1.0 for a in rows], "power": [a.power for a in rows]}
        y = np.log(np.array([a.bf16 for a in rows]) / np.array(per.get(needs or "", np.ones(len(rows)))))
        middle = float(x.mean())
        away = x - middle
        slope = float(away @ y / (away @ away))
        scatter = math.sqrt(float(((y - y.mean() - slope * away) ** 2).sum()) / (len(x) - 2))
        found[measure] = Trend(
            measure, float(y.mean()), slope, scatter / math.sqrt(float(away @ away)), scatter,
            float(stdtrit(len(x) - 2, 0.95)), middle, float(x.min()), float(x.max()), len(x),
        )  # fmt: skip
    return found


@dataclass(frozen=True)
class Wait:
    """Train now, or wait for better chips? Days, counted from now, at which the run would end.

    `wait_days` is the delay that ends soonest, `worth_waiting` the probability that any delay ends sooner, `saving` the
    share of the money that a year's delay saves at the same duration, `break_even_days` the length of run beyond which
    waiting pays. `verdict` is "train now", "wait" or "cannot tell" (probability between 10% and 90%).
    """

    train_days: float
    wait_days: Quantity
    finish_days: Quantity
    worth_waiting: float
    break_even_days: Quantity
    saving: Quantity
    verdict: str
    why: str


def wait(
    flops: float,
    dollars: float,
    accelerator: Accelerator,
    growth: Quantity,
    *,
    utilisation: float = 0.346,
    server_overhead: float = SERVER_OVERHEAD.median,
    pace: float = 1.0,
    seed: int = 0,
) -> Wait:
    """Whether to spend `dollars` on a cluster of `accelerator` now, or later on chips that do more FLOP per dollar.

    After a wait of w years the run takes T·g^−w: w + T·g^−w is least at g^w = T ln g, and at once where T ln g < 1, so
    that no run shorter than 1/ln g should wait (the longest training run: Sevilla et al., Epoch AI 2022). `growth` is
    the trend of FLOP/$ and `pace` a factor on its logarithm: .5 is half as fast. `utilisation` is of bf16 peak.
    """
    price = accelerator.price
    if price is None:
        raise UserError(f"accelerator = {accelerator.name}: no price in the table; add a row with one in your own file")
    for name, value in (("flops", flops), ("dollars", dollars), ("server_overhead", server_overhead)):
        if not (math.isfinite(value) and value > 0):
            raise UserError(f"{name} = {value}: give a finite number above 0")
    if not 0 < utilisation <= 1:
        raise UserError(f"utilisation = {utilisation}: give a share above 0 and at most 1")
    if not 0 <= pace <= 10:
        raise UserError(f"pace = {pace}: give a factor between 0 (no progress) and 10")
    rng = np.random.default_rng(seed)
    log_growth = np.maximum(pace * np.log(growth.sample(4000, rng)), 1e-6)
    devices = dollars / (price.sample(4000, rng) * server_overhead)
    years = flops / (devices * accelerator.bf16 * utilisation) / (365.25 * 86400)
    delay = np.log(np.maximum(years * log_growth, 1.0)) / log_growth
    finish = delay + years * np.exp(-log_growth * delay)
    worth = float((years * log_growth > 1).mean())
    verdict = "wait" if worth >= 0.9 else "train now" if worth <= 0.1 else "cannot tell"
    even = summary(365.25 / log_growth, FACTOR)
    train = float(np.median(years) * 365.25)
    why = (
        f"the run takes {train:,.0f} days on what ${dollars:,.3g} buys now; chips gain"
        f" {100 * (math.exp(float(np.median(log_growth))) - 1):.0f}% FLOP/$ a year, so only runs beyond"
        f" {even.median:,.0f} days end sooner by waiting"
    )
    return Wait(train, summary(delay * 365.25, FACTOR), summary(finish * 365.25, FACTOR), worth, even,
                summary(-np.expm1(-log_growth), FACTOR), verdict, why)  # fmt: skip


@dataclass(frozen=True)
class Slower:
    """What is left of a plan `years` ahead when chips improve more slowly than it assumed.

    `compute` is the share of the planned FLOPs that the same money buys, `dollars` the factor on money for the same
    FLOPs, `delay_days` how much later the same money buys the planned FLOPs.
    """

    compute: Quantity
    dollars: Quantity
    delay_days: Quantity


def slower(growth: Quantity, years: float, pace: float, seed: int = 0) -> Slower:
    """A plan that counts on `growth` of FLOP/$ a year for `years` years, when its logarithm is only `pace` times that.

    compute = g^(−(1 − pace)·years); the delay is years·(1/pace − 1). pace lies above 0 and at most 1.
    """
    if not 0 < pace <= 1:
        raise UserError(f"pace = {pace}: give a factor above 0 and at most 1")
    if not 0 <= years <= 50:
        raise UserError(f"years = {years}: give years between 0 and 50")
    lost = (1 - pace) * years * np.log(growth.sample(4000, np.random.default_rng(seed)))
    return Slower(summary(np.exp(-lost), FACTOR), summary(np.exp(lost), FACTOR),
                  Quantity.exact(365.25 * years * (1 / pace - 1)))  # fmt: skip


def frontier_cost(year: float, extrapolate: bool = False) -> Quantity:
    """Dollars, amortised with energy, of the frontier's largest run in `year`: GPT-4's, grown by COST_GROWTH.

    The growth was fitted from 2016 to 2024; more than 6 years beyond raises UserError unless asked.
    """
    start, dollars = GPT4
    if not math.isfinite(year) or (not 2016 <= year <= 2024 + REACH_YEARS and not extrapolate):
        raise UserError(f"year = {year:g}: the growth of cost was fitted from 2016 to 2024; ask to extrapolate")
    low, median, high = sorted(g ** (year - start) for g in (COST_GROWTH.low, COST_GROWTH.median, COST_GROWTH.high))
    return Quantity(dollars * median, dollars * low, dollars * high, MONEY)

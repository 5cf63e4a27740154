"""How many times the plain recipe's pretraining compute would give what a lever gives? With what certainty?

The compute-equivalent gain is m = e^u where the plain recipe, at m times the compute of the lever's run, reaches the
lever's loss (Davidson et al., 2312.07413, §2.2; the curve is `baseline`). Gross leaves the lever's own cost out; net
adds it to the compute of the lever's run, in FLOPs and in dollars. Two baselines: fresh text, and this stock.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.gain.baseline import Baseline, fit_baseline
from orionlm.gain.checks import check_levers
from orionlm.gain.costs import FREE, LeverCost
from orionlm.gain.runs import RunTable
from orionlm.gain.solve import CEILING, GRID, Interval, Runs
from orionlm.gain.stock import penalty
from orionlm.gain.trend import trend
from orionlm.plan.forecast import MAX_FACTOR
from orionlm.plan.repetition import effective_tokens

Array = np.ndarray


@dataclass(frozen=True)
class ScaleGain:
    """The gain at one scale: its rows' compute (geometric mean), and how many rows and runs it rests on."""

    scale: str
    flops: float
    gain: Interval
    rows: int
    runs: int

    def to_json(self) -> dict:
        return {"scale": self.scale, "flops": self.flops, "rows": self.rows, "runs": self.runs} | self.gain.to_json()


@dataclass(frozen=True)
class Gain:
    """What one lever is worth. `fresh` and `stock` are gross; `net` and `net_dollars` are on fresh text.

    `text`: how many times the unique text, at the same size and epochs, gives the same. `trend`: the factor by which
    the gain changes for each 10× of compute. `verdict`: helps, hurts or cannot tell, of the net gain. `flops` is the
    largest run's, `run_noise` the standard deviation of ln gain that one run of it brings.
    """

    lever: str
    level: float
    fresh: Interval
    net: Interval
    net_dollars: Interval | None
    stock: Interval | None
    stock_tokens: float
    text: Interval | None
    trend: Interval | None
    scales: tuple[ScaleGain, ...]
    verdict: str
    stock_says: str
    extrapolation_factor: float
    flops: float
    run_noise: float
    runs: int
    warnings: tuple[str, ...]

    def to_json(self) -> dict:
        """Plain numbers; None for what is not known or not finite."""
        plain = {
            name: getattr(self, name)
            for name in (
                "lever",
                "level",
                "verdict",
                "stock_says",
                "stock_tokens",
                "extrapolation_factor",
                "flops",
                "runs",
            )
        }
        spans = {
            name: None if (value := getattr(self, name)) is None else value.to_json()
            for name in ("fresh", "net", "net_dollars", "stock", "text", "trend")
        }
        return plain | spans | {"scales": [s.to_json() for s in self.scales], "warnings": list(self.warnings)}


def price_levers(
    table: RunTable,
    levers: list[str] | None = None,
    costs: dict[str, LeverCost] | None = None,
    stock: float | None = None,
    level: float = 0.9,
    extrapolate: bool = False,
    dollars_per_flop: float | None = None,
    seed: int = 0,
) -> list[Gain]:
    """The gain of each lever of a run table (or of those named), against one baseline: draws go together across levers.

    `stock` is the unique tokens at hand (default: the most that any run of the table has read), `dollars_per_flop` the
    price of training (default: what the table's plain rows paid). Raises UserError for
    unknown levers and rows that do not compare. Past 16 times the largest plain run a gain is bounded from below only,
    unless `extrapolate`.
    """
    names, warnings = check_levers(table, levers, costs or {})
    if not 0 < level < 1:
        raise UserError(f"level = {level}: give a share between 0 and 1, such as 0.9")
    for what, given, example in (("stock", stock, "2e9"), ("dollars_per_flop", dollars_per_flop, "1e-18")):
        if given is not None and not (np.isfinite(given) and given > 0):
            raise UserError(f"{what} = {given}: give a positive number, such as {example}")
    baseline = fit_baseline(table, seed=seed)
    terms = Terms(stock or float(table["unique_tokens"].max()), level, extrapolate, dollars_per_flop or _price(table))
    lines = [*warnings, *baseline.warnings]
    return [
        _price_lever(baseline, table, name, (costs or {}).get(name, FREE), terms, lines, seed + 1 + k)
        for k, name in enumerate(names)
    ]


@dataclass(frozen=True)
class Terms:
    """What all levers of a table are priced on: unique tokens at hand, level, how far to reach, dollars a FLOP."""

    stock: float
    level: float
    extrapolate: bool
    dollars_per_flop: float | None


def _price_lever(
    baseline: Baseline, table: RunTable, name: str, cost: LeverCost, terms: Terms, warnings: list[str], seed: int
) -> Gain:
    rows = table.select(table["lever"] == name)
    params, tokens, flops, y = rows["active_params"], rows["tokens"], rows["flops"], np.log(rows[table.metric])
    rng = np.random.default_rng(seed)
    extra = np.log(flops / baseline.flops_at(params, tokens))
    runs = Runs(baseline, rows["run"], y, rng)
    curves = _curves(baseline, params, tokens, GRID + extra[:, None], 0.5)
    every = np.ones(len(y), bool)
    gain = runs.solve(curves, every)
    top = int(np.argmax(flops))
    largest = float(baseline.flops.max())
    limit = np.log(MAX_FACTOR * largest / flops[top])
    warnings = list(warnings)
    if not terms.extrapolate and (gain > limit).mean() > (1 - terms.level) / 2:
        warnings.append(
            f"{name}: the plain recipe would need more than {MAX_FACTOR:g} times the largest plain run, {largest:.3g} "
            "FLOPs, to match it: the gain is bounded from below only; make larger plain runs, or ask with --extrapolate"
        )
        gain = np.where(gain > limit, np.inf, gain)
    fresh = Interval.of(gain, terms.level, limit)

    own = cost.flops(float(tokens[top]), len(gain), rng)
    net = Interval.of(gain - np.log1p(own / flops[top]), terms.level, limit)
    dollars = None
    if terms.dollars_per_flop:
        paid = rows.columns.get("dollars", np.full(len(y), np.nan))[top]
        paid = terms.dollars_per_flop * flops[top] if np.isnan(paid) else float(paid)
        spent = paid + own * terms.dollars_per_flop + cost.dollars(float(tokens[top]), len(gain), rng)
        worth = np.log(terms.dollars_per_flop * flops[top])
        dollars = Interval.of(gain + worth - np.log(spent), terms.level, limit)

    scales = []
    labels = _scales(rows)
    for label in dict.fromkeys(labels):
        here = labels == label
        part = gain if here.all() else runs.solve(curves, here)
        part = part if terms.extrapolate else np.where(part > limit, np.inf, part)
        middle = float(np.exp(np.log(flops[here]).mean()))
        scales.append(
            ScaleGain(
                label, middle, Interval.of(part, terms.level, limit), int(here.sum()), len(set(rows["run"][here]))
            )
        )

    lost = penalty(baseline, float(params[top]), float(tokens[top]), np.clip(gain, -12, 12) + extra[top], terms.stock)
    on_stock = text = None
    if baseline.kind != "compute":
        total = gain + lost
        on_stock = Interval.of(np.where(total > CEILING, np.inf, total), terms.level, CEILING)
        worth = effective_tokens(tokens, rows["unique_tokens"], float(np.median(baseline.r_star)))
        text = Interval.of(
            runs.solve(_curves(baseline, params, worth, np.tile(GRID, (len(y), 1)), 0.0), every), terms.level
        )
    else:
        warnings.append(
            "all plain runs lie on one path: this stock and unique text need runs that vary params and tokens"
        )
    return Gain(
        lever=name,
        level=terms.level,
        fresh=fresh,
        net=net,
        net_dollars=dollars,
        stock=on_stock,
        stock_tokens=terms.stock,
        text=text,
        trend=trend(runs, curves, np.log(flops), terms.level),
        scales=tuple(scales),
        verdict=_verdict(net),
        stock_says=_stock_says(on_stock, terms.stock),
        extrapolation_factor=float(np.exp(min(np.median(gain), 50)) * flops[top] / largest),
        flops=float(flops[top]),
        run_noise=_run_noise(baseline, curves[:, top]),
        runs=len(set(rows["run"])),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _curves(baseline: Baseline, params: Array, tokens: Array, u: Array, share: float) -> Array:
    """`baseline.curves` of every row, each distinct place once."""
    places, first, where = np.unique(
        np.column_stack([params, tokens, u[:, 0]]), axis=0, return_index=True, return_inverse=True
    )
    return baseline.curves(places[:, 0], places[:, 1], u[first], share)[:, where.ravel()]


def _scales(rows: RunTable) -> Array:
    """The label of each row's rung: its `scale`, or its parameters."""
    scale = rows.columns.get("scale", np.full(len(rows), "", dtype=object))
    return np.array([s or f"{p:.3g}" for s, p in zip(scale, rows["params"], strict=True)], dtype=object)


def _run_noise(baseline: Baseline, curve: Array) -> float:
    """Standard deviation of ln gain that the noise of one row brings, at the middle of its curve (m, g)."""
    middle = len(GRID) // 2
    slope = (curve[:, middle - 1] - curve[:, middle + 1]) / (GRID[middle + 1] - GRID[middle - 1])
    return float(np.median(np.sqrt(baseline.noise) / np.maximum(slope, 1e-9)))


def _price(table: RunTable) -> float | None:
    """Dollars a FLOP of the rows of the plain recipe that tell theirs."""
    dollars = table.columns.get("dollars", np.full(len(table), np.nan))
    told = (dollars > 0) & (table["lever"] == "")
    return float(np.median(dollars[told] / table["flops"][told])) if told.any() else None


def _verdict(net: Interval) -> str:
    if net.low is not None and net.low > 1:
        return "helps"
    return "hurts" if net.high is not None and net.high < 1 else "cannot tell"


def _stock_says(stock: Interval | None, tokens: float) -> str:
    if stock is None:
        return "cannot tell: the plain runs do not vary params and tokens"
    if stock.value is None:
        return f"more than ×{stock.low:.3g}: no compute buys this from {tokens:.3g} unique tokens"
    if stock.high is None:
        return (
            f"×{stock.value:.3g}, at least ×{stock.low:.3g}; perhaps no compute buys it from {tokens:.3g} unique tokens"
        )
    return f"×{stock.value:.3g} ({stock.low:.3g} to {stock.high:.3g}) on {tokens:.3g} unique tokens"

"""Does a 90% interval hold the gain 90% of the time? Levers of known gain, in worlds the laws hold and do not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orionlm.gain.decide import COMPUTE, recommend_from
from orionlm.gain.gain import Gain, price_levers
from orionlm.gain.runs import RunTable
from orionlm.gain.solve import Interval
from orionlm.plan.simulate import WORLDS, Ladder, World, draw_world

Array = np.ndarray
WIDTHS = (2e5, 3.5e5, 6e5, 1e6)
SHARES = (0.35, 0.5, 0.7, 1.0)
FLOPS = 4e12
R_STAR = 15.4


@dataclass(frozen=True)
class Case:
    """The kinds of world, in turn (`plan.simulate.draw_world`), the lever's true gain, the stock of unique tokens."""

    kinds: tuple[str, ...]
    gain: float
    stock: float = np.inf


CASES = {
    "none": Case(("chinchilla",), 1.0),
    "hurts": Case(("chinchilla",), 0.7),
    "double": Case(("chinchilla",), 2.0),
    "text-bound": Case(("chinchilla",), 2.0, 4e5),
    "misspecified": Case(("drifting", "periodic", "broken", "max"), 2.0),
}


def rows_of(
    world: World,
    lever: str,
    gain: float,
    params: tuple[float, ...],
    stock: float,
    rng: np.random.Generator,
    seed: int = 0,
) -> list[dict]:
    """Runs of a ladder at equal compute, a decay branch at each of SHARES, with the noise of the world.

    The plain recipe repeats what the stock lacks; the lever is e^(ln gain) times the compute on fresh text.
    """
    rows = []
    for n in params:
        common = rng.standard_normal()
        for share in SHARES:
            tokens = share * FLOPS / (6 * n)
            unique = min(tokens, stock)
            worth = unique * (1 + R_STAR * -np.expm1(-(tokens / unique - 1) / R_STAR))
            # A lever that replaces text is not bound by it: its gain is over a plain run on fresh text.
            worth = tokens if lever else worth
            mean = world.log_loss(np.array([np.log(n * gain**0.5)]), np.array([np.log(worth * gain**0.5)]))[0]
            noise = np.sqrt(world.share) * common + np.sqrt(1 - world.share) * rng.standard_normal()
            rows.append(
                {
                    "run": f"{lever}{n:.0f}-{seed}", "lever": lever, "scale": f"{n:.0f}", "params": n, "tokens": tokens,
                    "unique_tokens": unique, "seed": seed, "validation": "held-out",
                    "bits_per_byte": float(np.exp(mean + world.noise * noise)),
                }
            )  # fmt: skip
    return rows


def world_of(kind: str, rng: np.random.Generator) -> World:
    """A world of a kind, its constants drawn about the middle of the ladder."""
    tokens = tuple(share * FLOPS / (6 * np.sqrt(WIDTHS[0] * WIDTHS[-1])) for share in SHARES)
    return draw_world(kind, Ladder(WIDTHS, tokens), rng)


def stock_gain(world: World, params: float, tokens: float, gain: float, stock: float) -> float:
    """The true multiplier on the stock: compute at the best allocation, repetition included; infinite if none does."""
    target = world.log_loss(np.log([params * gain**0.5]), np.log([tokens * gain**0.5]))[0]
    z = np.log(tokens) + np.linspace(-5, 5, 801)
    low, high = np.full_like(z, np.log(params) - 12), np.full_like(z, np.log(params) + 12)
    for _ in range(50):
        x = (low + high) / 2
        worse = world.log_loss(x, z) > target
        low, high = np.where(worse, x, low), np.where(worse, high, x)
    x = np.where(world.log_loss(high, z) > target + 1e-6, np.inf, high)
    extra = np.expm1(z - np.log(stock)) / R_STAR
    with np.errstate(divide="ignore", invalid="ignore"):
        more = np.log(stock) + np.log1p(-R_STAR * np.log1p(-extra))
    read = np.where(extra <= 0, z, np.where(extra < 1, more, np.inf))
    return float(gain * np.exp((x + read).min() - (x + z).min()))


def repeat(case: Case, scales: int, seed: int) -> tuple[Gain, float, float]:
    """A lever run at the widest `scales` widths of a ladder, priced; its true gain on the stock; and a line's."""
    rng = np.random.default_rng(seed)
    world = world_of(case.kinds[seed % len(case.kinds)], rng)
    rows = rows_of(world, "", 1.0, WIDTHS, case.stock, rng)
    rows += rows_of(world, "lever", case.gain, WIDTHS[-scales:], case.stock, rng, 1)
    stock = None if np.isinf(case.stock) else case.stock
    gain = price_levers(RunTable.from_rows(rows), stock=stock, seed=seed)[0]
    place = WIDTHS[-scales], FLOPS / (6 * WIDTHS[-scales])
    true = case.gain if stock is None else stock_gain(world, *place, case.gain, stock)
    return gain, true, line_gain(rows)


def line_gain(rows: list[dict]) -> float:
    """The gain as read off by hand: a line in ln L and ln C through the plain runs of the lever's own widths."""
    lever = [row for row in rows if row["lever"]]
    widths = {row["params"] for row in lever}
    plain = [row for row in rows if not row["lever"] and row["params"] in widths]
    c, y = (np.array([np.log(f(row)) for row in plain]) for f in (lambda r: r["tokens"] * r["params"], _loss))
    slope = np.polyfit(c, y, 1)[0]
    fall = y.mean() - np.mean([np.log(_loss(row)) for row in lever])
    return float(np.exp(np.clip(-fall / min(slope, -1e-3), -5, 5)))


def _loss(row: dict) -> float:
    return row["bits_per_byte"]


def coverage(name: str, repeats: int = 300, seed: int = 0) -> dict:
    """The share of 90% intervals that hold the gain, their widths as factors, and the bias of ln gain.

    `stock_coverage` is that of the gain on this stock, whose own interval also holds what repeated text is worth.
    """
    case = CASES[name]
    results = [repeat(case, 1 + i % 3, seed + i) for i in range(repeats)]
    fresh, stock = [gain.fresh for gain, _, _ in results], [gain.stock for gain, _, _ in results]
    truth = np.array([true for _, true, _ in results])
    width = np.array([one.width for one in fresh])
    low, high = _ends(fresh)
    stock_low, stock_high = _ends(stock)
    values = np.array([one.value or np.inf for one in fresh])
    return {
        "world": name,
        "gain": case.gain,
        "repeats": repeats,
        "coverage": float(((low <= case.gain) & (case.gain <= high)).mean()),
        "above": float((low > case.gain).mean()),
        "below": float((high < case.gain).mean()),
        "width": float(np.median(width)),
        "width_by_scales": [float(np.median(width[k::3])) for k in range(3)],
        "width_90": float(np.quantile(width, 0.9)),
        "bias": float(np.median(np.log(values / case.gain))),
        "error": float(np.median(np.abs(np.log(values / case.gain)))),
        "peer_error": float(np.median(np.abs([np.log(line / case.gain) for _, _, line in results]))),
        "stock_coverage": float(((stock_low <= truth) & (truth <= stock_high)).mean()),
        "stock_width": float(np.median([one.width for one in stock if one])),
        "stock_unreachable": float(np.isinf(truth).mean()),
    }


def _ends(intervals: Sequence[Interval | None]) -> tuple[Array, Array]:
    low = np.array([0.0 if one is None else one.low for one in intervals], float)
    return low, np.array([np.inf if one is None or one.high is None else one.high for one in intervals])


def decisions(repeats: int = 300, seed: int = 10_000) -> list[dict[str, float]]:
    """How often the recommended step is truly the best, by its stated probability: one row a repeat.

    Three levers, ln gain ~ N(.05, .12²), one run each at the widest width, in worlds of all kinds; plain compute is 1.
    """
    rows = []
    for i in range(repeats):
        rng = np.random.default_rng(seed + i)
        world = world_of(WORLDS[i % len(WORLDS)], rng)
        table = rows_of(world, "", 1.0, WIDTHS, np.inf, rng)
        truth = {COMPUTE: 1.0} | {name: float(np.exp(rng.normal(0.05, 0.12))) for name in ("a", "b", "c")}
        for name in ("a", "b", "c"):
            table += rows_of(world, name, truth[name], WIDTHS[-1:], np.inf, rng, 1)
        said = recommend_from(RunTable.from_rows(table), seed + i)
        best = max(truth, key=lambda name: truth[name])
        rows.append({"stated": said.probability, "hit": float(said.step == best)})
    return rows


def calibration(
    rows: list[dict[str, float]], edges: tuple[float, ...] = (0, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97, 1.0)
) -> list[dict]:
    """Bins of stated probability: their mean, the share of hits with its 90% interval (Jeffreys), and n."""
    from scipy.stats import beta

    stated, hit = (np.array([row[name] for row in rows]) for name in ("stated", "hit"))
    bins = []
    for low, high in zip(edges, edges[1:], strict=False):
        here = (stated > low) & (stated <= high)
        if here.any():
            won, n = float(hit[here].sum()), int(here.sum())
            ends = beta.ppf([0.05, 0.95], won + 0.5, n - won + 0.5)
            bins.append(
                {
                    "stated": float(stated[here].mean()),
                    "hit": won / n,
                    "low": float(ends[0]),
                    "high": float(ends[1]),
                    "n": n,
                }
            )
    return bins

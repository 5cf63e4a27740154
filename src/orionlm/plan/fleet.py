"""Which run goes on which cluster and when, what holds the timeline up, and what rented chips would free?

A fleet file names clusters that come online at dates, runs with their FLOPs, chips that may be rented and the money for
it. The schedule is made for the medians of all quantities (`schedule.solve`); its dates carry intervals, drawn with the
order of the runs fixed. The questions are answered by scheduling again: with the largest cluster there from the start,
without what is rented, and, where deadlines cannot be met, with deadlines or money relaxed as little as it takes.
"""

from __future__ import annotations

import datetime
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator, find, load
from orionlm.plan.cost import summary
from orionlm.plan.quantity import FACTOR, SHARE, Count, Factor, Flops, Money, Quantity, Share, Time
from orionlm.plan.schedule import AT_ONCE, Problem, Schedule, solve
from orionlm.settings import Document, read_toml, validate

Array = np.ndarray
UTILISATION = Quantity(0.346, 0.28, 0.42, SHARE)
"""Useful FLOPs over the bf16 peak, all stops counted: 34.6% in Llama 3's 30.84M GPU hours (2407.21783, table 1)."""
DAY = 1.0  # a date that moves by less is called unmoved
MAX_CLUSTERS, MAX_RUNS = 40, 100
LARGEST_FILE = 1_000_000  # bytes


class Cluster(BaseModel):
    """Devices of one kind that come online at a date, which may slip, and stay.

    `utilisation` is of the peak at `precision`; not given, it is 34.6% in bf16, and what fp8 adds to that.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: Annotated[str, Field(min_length=1)]
    accelerator: str
    devices: Count
    online: datetime.date | None = None
    slip: Time | None = None
    utilisation: Share = UTILISATION
    precision: Literal["bf16", "fp8"] = "bf16"

    def used(self, chip: Accelerator) -> Quantity:
        """The share of the peak at `precision` that runs reach."""
        stated = "utilisation" in self.model_fields_set
        return self.utilisation if stated else chip.reached(self.utilisation, self.precision)


class Rent(Cluster):
    """Devices to be had at a price, dollars a device hour (by default the table's), paid while a run uses them."""

    price: Money | None = None


class Run(BaseModel):
    """A target: its FLOPs, the fewest devices it may run on, the date it is wanted by and how much it matters."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    name: Annotated[str, Field(min_length=1)]
    flops: Flops
    min_devices: Count | None = None
    deadline: datetime.date | None = None
    priority: Factor = Quantity.exact(1.0)


class Fleet(BaseModel):
    """A fleet file."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    start: datetime.date
    money: Money | None = None
    accelerators: str | None = None
    # Counted in `_check`: with lengths here, a mistake in one table would read as a table too few.
    cluster: tuple[Cluster, ...]
    rent: tuple[Rent, ...] = ()
    run: tuple[Run, ...]

    def day(self, date: datetime.date | None) -> float:
        """Days from the start; 0 for no date."""
        return float((date - self.start).days) if date else 0.0

    def date(self, day: float) -> datetime.date:
        """The date by which `day` days are over."""
        try:
            return self.start + datetime.timedelta(days=math.ceil(day - 1e-6))
        except OverflowError:
            return datetime.date.max


@dataclass(frozen=True)
class Placed:
    """A run in the plan. `earliest` is the date it could end at if it had first call on every cluster and on the money.

    `low` and `high` end the finish date's 90% interval; `on_time` is the probability of the deadline, None without one.
    """

    name: str
    cluster: str
    start: datetime.date
    finish: datetime.date
    low: datetime.date
    high: datetime.date
    deadline: datetime.date | None
    on_time: float | None
    late_days: float
    dollars: float
    earliest: datetime.date


@dataclass(frozen=True)
class Bound:
    """Whether the building of the largest cluster holds the plan up: days sooner for each run were it there at once."""

    cluster: str
    bound: bool
    days_sooner: dict[str, float]
    words: str


@dataclass(frozen=True)
class Freed:
    """What renting does: runs it takes, days of use it frees on each owned cluster, days sooner for each run."""

    runs: list[str]
    dollars: float
    freed_days: dict[str, float]
    days_sooner: dict[str, float]
    words: str


@dataclass(frozen=True)
class Plan:
    """A fleet's schedule. Where deadlines cannot be met `feasible` is False, the schedule has the fewest days late in
    all, and `relaxations` name the smallest changes found that would meet them, each enough by itself."""

    feasible: bool
    proven: bool
    runs: list[Placed]
    bound: Bound
    freed: Freed | None
    relaxations: list[str]
    dollars: float
    warnings: list[str]

    def to_json(self) -> dict:
        """Plain values; dates as ISO text."""
        return {key: _plain(value) for key, value in asdict(self).items()}


def read_fleet(path: Path | str) -> tuple[Fleet, dict[str, Accelerator], Document]:
    """A fleet file, checked, with the accelerators it may name."""
    if os.path.isfile(path) and os.path.getsize(path) > LARGEST_FILE:
        raise UserError(f"{path}: larger than a megabyte; a fleet has at most {MAX_CLUSTERS} clusters, {MAX_RUNS} runs")
    document = read_toml(path)
    fleet = validate(Fleet, document.values, document)
    own = Path(path).parent / fleet.accelerators if fleet.accelerators else None
    _check(fleet, document)
    return fleet, load(own), document


def plan(fleet: Fleet, table: Mapping[str, Accelerator], document: Document, seed: int = 0) -> Plan:
    """The plan of a fleet. A run that fits nowhere, or for no money, raises UserError with the smallest change."""
    clusters = (*fleet.cluster, *fleet.rent)
    problem = _problem(fleet, clusters, dict(table), document)
    made = solve(problem)
    if made is None:
        raise UserError(_no_place(fleet, clusters, problem))
    owned = np.arange(len(clusters)) < len(fleet.cluster)
    warnings = (
        [] if made.proven else [f"the plan is not proven best: {len(fleet.run)} runs, {AT_ONCE} planned at a time"]
    )
    late = [r for r in range(len(fleet.run)) if made.late[r] > 1e-6]
    return Plan(
        made.feasible, made.proven, _placed(fleet, clusters, dict(table), problem, made, seed),
        _bound(fleet, problem, made, owned), _freed(fleet, problem, made, owned),
        _relaxations(fleet, clusters, dict(table), problem, made, late) if late else [], made.dollars, warnings,
    )  # fmt: skip


def _check(fleet: Fleet, document: Document) -> None:
    for kind, least, most in (("cluster", 1, MAX_CLUSTERS), ("rent", 0, MAX_CLUSTERS), ("run", 1, MAX_RUNS)):
        if not least <= (count := len(getattr(fleet, kind))) <= most:
            raise document.error((kind,), f"{count} tables: give {least} to {most}")
        names: list[str] = []
        for n, item in enumerate(getattr(fleet, kind)):
            earlier = names if kind != "rent" else [*names, *(c.name for c in fleet.cluster)]
            if isinstance(item, Cluster) and item.utilisation.low <= 0:
                raise document.error((kind, n, "utilisation"), "0: nothing is computed then; give a share above 0")
            if item.name in earlier:
                raise document.error((kind, n, "name"), f'"{item.name}" stands twice; give each a name of its own')
            names.append(item.name)
    for n, run in enumerate(fleet.run):
        if run.deadline and run.deadline <= fleet.start:
            raise document.error(
                ("run", n, "deadline"), f"{run.deadline} is not after start = {fleet.start}; give a later date"
            )
    if fleet.rent and fleet.money is None:
        raise document.error(("rent", 0), 'nothing may be spent: set money = "$20M", all that rent may cost')
    if fleet.money and not fleet.rent:
        raise document.error(("money",), "there is nothing to rent: add [[rent]] with name, accelerator and devices")


def _problem(fleet: Fleet, clusters: tuple[Cluster, ...], table: dict[str, Accelerator], document: Document) -> Problem:
    """The fleet at its medians."""
    chips = []
    for n, cluster in enumerate(clusters):
        at = ("cluster", n) if n < len(fleet.cluster) else ("rent", n - len(fleet.cluster))
        try:
            chips.append(find(cluster.accelerator, table))
            chips[-1].peak(cluster.precision)
            if isinstance(cluster, Rent) and not (cluster.price or chips[-1].rent):
                raise UserError(
                    f'{cluster.accelerator} has no rent in the table; set price = "$3", dollars a device hour'
                )
        except UserError as problem:
            raise document.error(at, str(problem)) from None
    speed = np.array([c.devices.median * chip.peak(c.precision) * c.used(chip).median
                      for c, chip in zip(clusters, chips, strict=True)]) * 86400  # fmt: skip
    flops = np.array([run.flops.median for run in fleet.run])
    size = np.array([cluster.devices.median for cluster in clusters])
    least = np.array([run.min_devices.median if run.min_devices else 0.0 for run in fleet.run])
    days = np.where(size >= least[:, None], flops[:, None] / speed, np.inf)
    hourly = np.array([_price(c, chip) for c, chip in zip(clusters, chips, strict=True)])
    return Problem(
        days=days,
        online=np.array([max(fleet.day(c.online), 0.0) + (c.slip.median if c.slip else 0.0) for c in clusters]),
        deadline=np.array([fleet.day(run.deadline) if run.deadline else np.inf for run in fleet.run]),
        weight=np.array([run.priority.median for run in fleet.run]),
        dollars=np.where(np.isfinite(days), days, 0.0) * 24 * size * hourly,
        money=fleet.money.median if fleet.money else np.inf,
    )


def _price(cluster: Cluster, chip: Accelerator) -> float:
    if not isinstance(cluster, Rent):
        return 0.0
    price = cluster.price or chip.rent
    return price.median if price else 0.0


def _placed(fleet: Fleet, clusters: tuple[Cluster, ...], table: dict[str, Accelerator], problem: Problem,
            made: Schedule, seed: int) -> list[Placed]:  # fmt: skip
    """The runs in order of their start, with dates drawn from the quantities' intervals."""
    rng, count = np.random.default_rng(seed), 4000
    free = [
        np.full(count, max(fleet.day(c.online), 0.0)) + (c.slip.sample(count, rng) if c.slip else 0.0) for c in clusters
    ]
    chips = [find(cluster.accelerator, table) for cluster in clusters]
    speed = [c.devices.sample(count, rng) * chip.peak(c.precision) * 86400 * c.used(chip).sample(count, rng)
             for c, chip in zip(clusters, chips, strict=True)]  # fmt: skip
    flops = [run.flops.sample(count, rng) for run in fleet.run]
    affordable = np.where(problem.dollars <= problem.money, problem.online + problem.days, np.inf)
    placed = []
    for r in np.argsort(made.start, kind="stable"):
        run, m = fleet.run[r], int(made.machine[r])
        free[m] = free[m] + flops[r] / speed[m]
        finish = summary(free[m], FACTOR)
        on_time = float((free[m] <= problem.deadline[r] + 1e-6).mean()) if run.deadline else None
        placed.append(Placed(
            run.name, clusters[m].name, fleet.date(made.start[r]), fleet.date(made.finish[r]), fleet.date(finish.low),
            fleet.date(finish.high), run.deadline, on_time, float(made.late[r]), float(problem.dollars[r, m]),
            fleet.date(float(affordable[r].min())),
        ))  # fmt: skip
    return placed


def _sooner(fleet: Fleet, slow: Schedule, fast: Schedule) -> dict[str, float]:
    """Days sooner that each run ends, where it moves by a day or more."""
    moved = zip(fleet.run, slow.finish - fast.finish, strict=True)
    return {run.name: round(float(days), 1) for run, days in moved if abs(days) >= DAY}


def _bound(fleet: Fleet, problem: Problem, made: Schedule, owned: Array) -> Bound:
    """The plan again, with the largest owned cluster there from the start."""
    flops = np.array([run.flops.median for run in fleet.run])
    largest = int(np.where(owned, (flops[:, None] / problem.days).max(0), -1.0).argmax())
    name, online = fleet.cluster[largest].name, problem.online[largest]
    if online <= 0:
        return Bound(name, False, {}, f"{name}, the largest cluster, is there from the start: building does not bind")
    again = solve(problem.with_online(largest, 0.0))
    assert again is not None  # what fits later fits sooner
    sooner = _sooner(fleet, made, again)
    gained = float(problem.weight @ (made.finish - again.finish) / problem.weight.sum())
    bound = gained >= DAY or bool(made.late.sum() - again.late.sum() >= DAY)
    if not bound:
        words = f"{name}, the largest cluster, does not hold the plan up: there at once, it would gain no day"
    else:
        runs = ", ".join(
            f"{run} by {days:,.0f} days" for run, days in sorted(sooner.items(), key=lambda kv: -kv[1]) if days > 0
        )
        words = (
            f"building {name}, the largest cluster, binds: there at once ({online:,.0f} days sooner), it would bring"
        )
        words += f" forward {runs}"
    return Bound(name, bound, sooner, words)


def _freed(fleet: Fleet, problem: Problem, made: Schedule, owned: Array) -> Freed | None:
    """The plan again, with nothing rented; None if nothing is offered."""
    if owned.all():
        return None
    taken = [fleet.run[r].name for r in np.flatnonzero(~owned[made.machine])]
    again = solve(problem.without(~owned))
    if not taken:
        return Freed([], 0.0, {}, {}, "renting would not bring any date forward")
    runs = ", ".join(taken)
    if again is None:
        return Freed(taken, made.dollars, {}, {}, f"without renting there is no place for every run; rented: {runs}")

    def use(schedule: Schedule, m: int) -> float:
        return float(problem.days[schedule.machine == m, m].sum())

    freed = {c.name: round(use(again, m) - use(made, m), 1) for m, c in enumerate(fleet.cluster)}
    freed = {name: days for name, days in freed.items() if abs(days) >= DAY}
    sooner = _sooner(fleet, again, made)
    parts = [f"{days:,.0f} days of {name}" for name, days in freed.items() if days > 0]
    moved = [f"{name} {abs(days):,.0f} days {'sooner' if days > 0 else 'later'}" for name, days in sooner.items()]
    words = f"renting for {_dollars(made.dollars)} takes {runs} and frees {' and '.join(parts) or 'no time elsewhere'}"
    words += f": {', '.join(moved)}" if moved else ""
    return Freed(taken, made.dollars, freed, sooner, words)


def _relaxations(fleet: Fleet, clusters: tuple[Cluster, ...], table: dict[str, Accelerator], problem: Problem,
                 made: Schedule, late: list[int]) -> list[str]:  # fmt: skip
    """Ways to meet the deadlines, each enough by itself: the fewest days in all, and the least money."""
    moves = " and ".join(
        f"of {fleet.run[r].name} from {fleet.run[r].deadline} to {fleet.date(made.finish[r])}"
        f" ({math.ceil(made.late[r]):,} days)"
        for r in late
    )
    ways = [f"move the deadline{'s' if len(late) > 1 else ''} {moves}"]
    if fleet.rent:
        enough = solve(replace(problem, money=np.inf), cheapest=True)
        if enough and enough.feasible:
            return [*ways, f"raise money from {_dollars(problem.money)} to {_dollars(enough.dollars)} for rent"]
    largest = max(fleet.cluster, key=lambda c: c.devices.median)
    chip = next((a for a in (find(largest.accelerator, table), table.get("H100")) if a and a.rent), None)
    if chip is None or chip.rent is None or len(fleet.run) > AT_ONCE:
        return ways
    hours = np.array([run.flops.median for run in fleet.run]) / (chip.bf16 * largest.utilisation.median * 3600)
    for r in np.argsort(hours):  # the cheapest first
        run, wanted = fleet.run[r], problem.deadline[r]
        least = run.min_devices.median if run.min_devices else 1.0
        size = math.ceil(max(least, hours[r] / 24 / wanted - 1e-9))
        dollars = float(hours[r] * chip.rent.median)
        only = np.arange(len(fleet.run))[:, None] == r
        more = replace(problem, days=np.hstack([problem.days, np.where(only, hours[:, None] / 24 / size, np.inf)]),
                       dollars=np.hstack([problem.dollars, np.where(only, dollars, 0.0)]),
                       online=np.append(problem.online, 0.0), money=problem.money + dollars)  # fmt: skip
        again = solve(more) if math.isfinite(wanted) else None
        if again and again.feasible:
            return [*ways, f"rent {size:,} {chip.name} from the start for {run.name}, about {_dollars(dollars)}"]
    return ways


def _no_place(fleet: Fleet, clusters: tuple[Cluster, ...], problem: Problem) -> str:
    """Why some run can run nowhere, and the smallest change."""
    size = max(cluster.devices.median for cluster in clusters)
    for r, run in enumerate(fleet.run):
        if not np.isfinite(problem.days[r]).any() and run.min_devices:
            return (
                f"run {run.name}: min_devices = {run.min_devices.median:,.0f}: the largest cluster has {size:,.0f};"
                f" lower it to {size:,.0f}, or add a cluster of that size"
            )
    enough = solve(replace(problem, money=np.inf, deadline=np.full(len(fleet.run), np.inf)), cheapest=True)
    needed = enough.dollars if enough else 0.0
    return (
        f"money = {_dollars(problem.money)}: some runs have room only on rented devices; raise it to {_dollars(needed)}"
    )


def _dollars(amount: float) -> str:
    """As a fleet file may have it, rounded up to four digits, so that the amount suffices: $34.29M."""
    unit = 10.0 ** (math.floor(math.log10(amount)) - 3) if amount > 0 else 1.0
    amount = math.ceil(amount / unit - 1e-9) * unit
    size, prefix = next(
        ((s, p) for s, p in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")) if amount >= s), (1.0, "")
    )
    return f"${amount / size:.6g}{prefix}"


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value.isoformat() if isinstance(value, datetime.date) else value

"""Can these chips do this much arithmetic in this time, and what does it cost?

FLOPs = chips · peak FLOP/s · utilisation · seconds. Utilisation is net of downtime: model FLOPs utilisation (6·N·D, no
recomputation, over the dense peak) times goodput. Any one of FLOPs, chips and time may be left open and is solved for.
"""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

import numpy as np
from pydantic import Discriminator, Field, Tag, model_validator

from orionlm.plan.accelerators import FP8_SPEEDUP, Accelerator, year
from orionlm.plan.accelerators import find as find_chip
from orionlm.plan.claim_form import Claim, Finding, Form, World, span, summaries
from orionlm.plan.cost import cost
from orionlm.plan.model_runs import ModelRun
from orionlm.plan.model_runs import find as find_run
from orionlm.plan.quantity import SHARE, Count, DeviceTime, Factor, Flops, Money, Quantity, Share, Time

Array = np.ndarray
DAY = 86400.0
LARGE = 32_000  # chips beyond which goodput was never published

# Priors, as 90% intervals. Steps: Llama 3 38–43% on H100s (2407.21783, table 4), OLMo-core 39–48%, GPT-4 31–35% net by
# others' estimate. End to end: Llama 3 405B 34.6% (3.79e25 FLOP in 30.84M GPU-hours), DeepSeek-V3 34.6% of bf16's peak.
MFU = Quantity(0.37, 0.30, 0.45, SHARE)
# Llama 3 reports more than 90% effective training time on 16K GPUs (2407.21783, section 3.3.4).
GOODPUT = Quantity(0.93, 0.85, 0.98, SHARE)


class Cluster(Form):
    """Chips that work for a time: `days`, or from `starts` (when they come online) to `ends`."""

    accelerator: str
    chips: Count
    days: Time | None = None
    starts: datetime.date | None = None
    ends: datetime.date | None = None

    @model_validator(mode="after")
    def _has_time(self) -> Cluster:
        check_dates(self)
        if self.days is None and not (self.starts and self.ends):
            raise ValueError("the time is missing: set days, or starts and ends")
        return self


class Reference(Form):
    """A run to compare with, where the known ones do not hold it."""

    flops: Flops
    accelerator: str | None = None
    chips: Count | None = None
    days: Time | None = None


def check_dates(table: Cluster | ComputeClaim) -> None:
    if table.starts and table.ends and table.ends <= table.starts:
        raise ValueError(f"ends = {table.ends} is not after starts = {table.starts}")
    if table.days and table.starts and table.ends:
        raise ValueError("days, starts and ends are stated together; leave one out")


def check_shares(**shares: Quantity | None) -> None:
    for name, share in shares.items():
        if share is not None and share.low <= 0:
            raise ValueError(f"{name} = 0: nothing is computed then; give a share above 0")


class ComputeClaim(Claim):
    """Stated: `accelerator`, and two of compute (`flops`, or `times` a `reference`), `chips` and time."""

    kind: Literal["compute"]
    accelerator: str
    chips: Count | None = None
    days: Time | None = None
    starts: datetime.date | None = None
    ends: datetime.date | None = None
    flops: Flops | None = None
    times: Factor | None = None
    reference: (
        Annotated[
            Annotated[str, Tag("text")] | Annotated[Reference, Tag("table")],
            Discriminator(lambda value: "text" if isinstance(value, str) else "table"),
        ]
        | None
    ) = None
    precision: Literal["bf16", "fp8", "either"] = "either"
    utilisation: Share | None = None
    mfu: Share = MFU
    goodput: Share = GOODPUT
    fp8_speedup: Factor = FP8_SPEEDUP
    also: list[Cluster] = []

    @model_validator(mode="after")
    def _has_enough(self) -> ComputeClaim:
        check_dates(self)
        check_shares(utilisation=self.utilisation, mfu=self.mfu, goodput=self.goodput)
        if self.flops and self.times:
            raise ValueError("flops and times are stated together; leave one out")
        if self.times and self.reference is None:
            raise ValueError('times has no reference; set reference to a known run, such as "GPT-4"')
        time = self.days or (self.starts and self.ends)
        if sum(bool(part) for part in (self.flops or self.times, self.chips, time)) < 2:
            raise ValueError("too little is stated: set two of flops (or times), chips, and days (or starts and ends)")
        return self

    def find(self, world: World) -> Finding:
        return _Compute(self, world).finding()


class _Compute:
    """The arithmetic of one claim; arrays are (draws + 1,). Peaks are FLOP/s of one chip."""

    def __init__(self, claim: ComputeClaim, world: World):
        self.claim, self.world, self.of = claim, world, world.draws.of
        self.chip = chip(claim.accelerator, world)
        self.peak, self.peak8 = peaks(self.chip)
        if claim.precision == "fp8" and self.peak8 is None:
            raise claim.error(f"precision = 'fp8': {claim.accelerator} has no fp8; state bf16")
        self.reference = self._reference()
        self.days = days_of(claim, world, "days")
        self.chips = self.of("chips", claim.chips) if claim.chips else None
        self.flops = self._flops()
        net = self.of("mfu", claim.mfu) * self.of("goodput", claim.goodput)
        self.net = {"bf16": net}
        if self.peak8:
            self.net["fp8"] = net * self.of("fp8 speedup", claim.fp8_speedup) * self.peak / self.peak8
        self.extra = sum(
            (
                self.of(f"also {i} chips", other.chips) * peaks(chip(other.accelerator, world))[0] * days * DAY
                for i, other in enumerate(claim.also)
                if (days := days_of(other, world, f"also {i} days")) is not None
            ),
            np.zeros(world.draws.count + 1),
        )

    def _reference(self) -> Reference | None:
        stated = self.claim.reference
        if not isinstance(stated, str):
            return stated
        run: ModelRun = find_run(stated, self.world.runs)
        days = run.days
        if days is None and run.hours and run.devices:
            days = Quantity.exact(run.hours.median / 24 / run.devices.median)
        return Reference.model_construct(
            flops=Quantity.exact(run.compute), accelerator=run.accelerator, chips=run.devices, days=days
        )

    def _flops(self) -> Array | None:
        if self.claim.flops:
            return self.of("flops", self.claim.flops)
        if self.claim.times and self.reference:
            return self.of("times", self.claim.times) * self.of("reference flops", self.reference.flops)
        return None

    def finding(self) -> Finding:
        values = self._values()
        by_precision = self._true(values)
        claim, warnings = self.claim, self._warnings(values)
        if claim.precision == "either":
            true = next(reversed(by_precision.values()), None)  # fp8 where the chip has it: at least as fast
        else:
            true = by_precision.get(claim.precision)
        needs: dict = summaries(values)
        needs["by_precision"] = {name: float(array[1:].mean()) for name, array in by_precision.items()}
        words = self._words(values)
        if by_precision:
            reach = " and ".join(f"{needs['by_precision'][name]:.0%} in {name}" for name in by_precision)
            words += f"; the probability that this is within reach is {reach}"
        return Finding(values, needs, true, words, warnings)

    def _values(self) -> dict[str, Array]:
        values: dict[str, Array] = {}
        supposed = self.of("utilisation", self.claim.utilisation) if self.claim.utilisation else self.net["bf16"]
        one = None if self.days is None else self.peak * self.days * DAY
        if self.flops is not None:
            values["flops"] = self.flops
            if self.chips is not None and one is not None:
                values["utilisation_bf16"] = self.flops / (self.chips * one + self.extra)
                if self.peak8:
                    values["utilisation_fp8"] = values["utilisation_bf16"] * self.peak / self.peak8
            left = np.maximum(self.flops - supposed * self.extra, 0)
            if self.chips is not None:
                values["days_needed"] = left / (self.chips * self.peak * supposed * DAY)
            if one is not None:
                values["chips_needed"] = left / (one * supposed)
        if self.chips is not None and one is not None:
            values["flops_reached"] = (self.chips * one + self.extra) * supposed
        for name, array in (("chips", self.chips), ("days", self.days)):
            if array is not None:
                values[name] = array
        return values | self._against_reference(values)

    def _against_reference(self, values: dict[str, Array]) -> dict[str, Array]:
        if not self.reference:
            return {}
        base = self.of("reference flops", self.reference.flops)
        found = {}
        if "flops_reached" in values:
            found["times_reached"] = values["flops_reached"] / base
        if not (self.reference.accelerator and self.reference.chips):
            return found
        speed = self.of("reference chips", self.reference.chips)
        speed = speed * peaks(chip(self.reference.accelerator, self.world))[0]
        if self.chips is not None:
            others = sum(
                self.of(f"also {i} chips", other.chips) * peaks(chip(other.accelerator, self.world))[0]
                for i, other in enumerate(self.claim.also)
            )
            found["times_at_equal_use"] = (self.chips * self.peak + others) / speed
        if self.flops is not None:
            found["chips_at_equal_use"] = self.flops / base * speed / self.peak
        if self.reference.days:
            found["reference_utilisation"] = base / (speed * self.of("reference days", self.reference.days) * DAY)
        return found

    def _true(self, values: dict[str, Array]) -> dict[str, Array]:
        """For each precision: the draws in which the utilisation needed is no more than runs reach."""
        return {
            name: values[f"utilisation_{name}"] <= net
            for name, net in self.net.items()
            if f"utilisation_{name}" in values
        }

    def _warnings(self, values: dict[str, Array]) -> list[str]:
        warnings = []
        used = values.get("utilisation_bf16")
        if used is not None and used[0] > 1:
            fp8 = values.get("utilisation_fp8")
            over = " and the fp8 peak" if fp8 is not None and fp8[0] > 1 else ""
            warnings.append(f"asks for more than the bf16 peak{over} of the chips: no software makes up for that")
        if self.chips is not None and self.chips[0] > LARGE:
            warnings.append(f"no run on more than {LARGE:,} chips has published its goodput; downtime grows with chips")
        start, released = self.claim.starts, self.chip.released
        if start and released and year(start) < released:
            warnings.append(f"{self.claim.accelerator} came out in {released:.1f}, after the stated start {start}")
        return warnings

    def _words(self, values: dict[str, Array]) -> str:
        said = []
        name = self.claim.accelerator
        if "utilisation_bf16" in values:
            fp8 = f" ({span(values['utilisation_fp8'], '.0%')} of fp8's)" if "utilisation_fp8" in values else ""
            said.append(
                f"{values['flops'][0]:.3g} FLOP on {values['chips'][0]:,.0f} {name}s in {span(values['days'], '.0f')} "
                f"days needs {span(values['utilisation_bf16'], '.1%')} of the bf16 peak{fp8}, net of downtime"
            )
        at = f"at {self.claim.utilisation.median:.0%}" if self.claim.utilisation else "at the use others reached"
        if "days_needed" in values:
            said.append(f"{at} it takes {span(values['days_needed'], ',.0f')} days")
        if "chips_needed" in values:
            said.append(f"{at} it takes {span(values['chips_needed'], ',.0f')} {name}s")
        if "flops_reached" in values and "flops" not in values:
            said.append(f"{at} it gives {span(values['flops_reached'], '.3g')} FLOP")
        if "times_at_equal_use" in values:
            times = span(values["times_at_equal_use"], ".1f")
            said.append(f"at the reference's use and duration it is {times} times the reference")
        if "chips_at_equal_use" in values:
            said.append(f"the stated compute takes {span(values['chips_at_equal_use'], ',.0f')} {name}s then")
        return "; ".join(said)


class CostClaim(Claim):
    """What a run cost. Stated: `accelerator`, and `device_hours`, or `chips` and `days`, or `flops`; `rent` is dollars
    for a device hour. `overhead` multiplies the cloud price of the final run by what came before and beside it;
    `age_years` is the age of the hardware when the run began, for its amortisation (plan/cost.py)."""

    kind: Literal["cost"]
    accelerator: str
    chips: Count | None = None
    days: Time | None = None
    device_hours: DeviceTime | None = None
    flops: Flops | None = None
    utilisation: Share | None = None
    rent: Money | None = None
    overhead: Factor = Quantity.exact(1.0)
    age_years: float = Field(default=0.0, ge=0, le=30)
    more_than: Money | None = None
    less_than: Money | None = None

    @model_validator(mode="after")
    def _has_hours(self) -> CostClaim:
        check_shares(utilisation=self.utilisation)
        if not (self.device_hours or (self.chips and self.days) or self.flops):
            raise ValueError("the work is missing: set device_hours, or chips and days, or flops")
        if not (self.more_than or self.less_than or self.holds):
            raise ValueError("the price claimed is missing: set more_than or less_than")
        return self

    def find(self, world: World) -> Finding:
        of, device = world.draws.of, chip(self.accelerator, world)
        if self.device_hours:
            hours = of("device hours", self.device_hours)
        elif self.chips and self.days:
            hours = of("chips", self.chips) * of("days", self.days) * 24
        else:
            assert self.flops
            used = of("utilisation", self.utilisation) if self.utilisation else of("mfu", MFU) * of("goodput", GOODPUT)
            hours = of("flops", self.flops) / (peaks(device)[0] * used * 3600)
        rent = self.rent or device.rent
        if rent is None:
            raise self.error(f"rent: no price is known for {self.accelerator}; set rent in dollars for a device hour")
        overhead = of("overhead", self.overhead)
        values = {"device_hours": hours, "cloud_dollars": hours * of("rent", rent)}
        values |= _owned(self, device, world)
        values["dollars"] = values["cloud_dollars"] * overhead
        true = np.ones(len(hours), bool)
        words = [f"{span(hours, '.3g')} device hours: ${span(values['cloud_dollars'], '.1f', 1e-6)}M at cloud prices"]
        if "amortised_dollars" in values:
            words.append(f"${span(values['amortised_dollars'], '.1f', 1e-6)}M as hardware worn out and power")
        for limit, more in ((self.more_than, True), (self.less_than, False)):
            if limit:
                bound = of("more than" if more else "less than", limit)
                true &= (values["dollars"] >= bound) if more else (values["dollars"] <= bound)
                values["rent_needed"] = bound / hours / overhead
                values["overhead_needed"] = bound / values["cloud_dollars"]
                words.append(
                    f"${limit.median / 1e6:,.0f}M takes ${span(values['rent_needed'], '.2f')} an hour, or "
                    f"{span(values['overhead_needed'], '.2f')} times the final run's cloud price"
                )
        warnings = []
        if self.rent is None:
            warnings.append("the rent is today's; a run of years ago paid another price: set rent")
        if self.overhead.is_exact and self.overhead.median == 1:
            warnings.append("counts the final run alone, without staff, trials and failed runs: set overhead")
        return Finding(
            values, summaries(values), true if self.more_than or self.less_than else None, "; ".join(words), warnings
        )


def _owned(claim: CostClaim, device: Accelerator, world: World) -> dict[str, Array]:
    """Dollars to buy the cluster, and of hardware worn out and power, where chips, days and the price are known."""
    if not (claim.chips and claim.days):
        return {}
    bill = cost(device, claim.chips.median, claim.days.median, age_years=claim.age_years)
    amounts = {"acquisition_dollars": bill.acquisition, "amortised_dollars": bill.owned}
    return {name: world.draws.of(name, amount) for name, amount in amounts.items() if amount}


def chip(name: str, world: World) -> Accelerator:
    return find_chip(name, world.accelerators)


def peaks(device: Accelerator) -> tuple[float, float | None]:
    """Dense FLOP/s in bf16 and fp8."""
    return device.bf16, device.fp8


def days_of(table: ComputeClaim | Cluster, world: World, name: str) -> Array | None:
    """Days (draws + 1,), as stated or between the dates."""
    if table.days:
        return world.draws.of(name, table.days)
    if table.starts and table.ends:
        return np.full(world.draws.count + 1, float((table.ends - table.starts).days))
    return None

"""What is there to spend: chips, time, money, text, and what must be served? A TOML file, and how far it reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.artifact import open_artifact
from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator, find, load
from orionlm.plan.goodput import Goodput, goodput
from orionlm.plan.outlook import Text
from orionlm.plan.quantity import (
    SHARE,
    Count,
    DeviceTime,
    Flops,
    Money,
    Params,
    Quantity,
    Share,
    Time,
    Tokens,
)
from orionlm.plan.repetition import even_unique

# Shares of a device's peak. Training: 38–43% a step for Llama 3 (2407.21783, table 4), 39–48% for OLMo-core. Decoding
# is bound by memory (2211.05102, §4.1); batched serving reaches a tenth to a third.
TRAINING = Quantity(0.40, 0.33, 0.47, SHARE)
LARGEST_CLUSTER = 100_000  # devices of a cluster that the budget does not name
SERVING = Quantity(0.15, 0.08, 0.30, SHARE)


class Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Compute(Table):
    """Every limit that is given holds. `rent` is dollars for one device hour, `utilisation` a share of the peak at
    `precision`; not given, it is 40% in bf16, and what fp8 adds to that."""

    accelerator: str = "H100"
    accelerators: Path | None = Field(None, description="a file with more accelerators")
    devices: Count | None = None
    time: Time | None = None
    money: Money | None = None
    device_hours: DeviceTime | None = None
    flops: Flops | None = None
    rent: Money | None = None
    precision: Literal["bf16", "fp8"] = "bf16"
    utilisation: Share = TRAINING
    checkpoint_seconds: float = Field(20.0, gt=0, le=86400)
    restart_seconds: float = Field(300.0, ge=0, le=86400)
    failures_per_device_hour: float = Field(1.97e-5, gt=0, lt=1)


class Domain(Table):
    """A kind of text: how much there is, and how often it may be read."""

    tokens: Tokens
    most_epochs: float = Field(16.0, ge=1, le=1000)


class TextSettings(Table):
    """`unique` tokens, or `domains` by name, or a `mixture` that a run has made (the artifact's directory, relative to
    the working directory); `synthetic` tokens that are or can be made."""

    unique: Tokens | None = None
    mixture: Path | None = None
    most_epochs: float = Field(16.0, ge=1, le=1000)
    domains: dict[str, Domain] = {}
    synthetic: Tokens | None = None
    generator_params: Params | None = Field(None, description="active parameters of the model that writes it, if paid")


class Demand(Table):
    """What the model will be asked for in its life; `from_budget` pays for it with the same money and device hours."""

    tokens: Tokens | None = None
    utilisation: Share = SERVING
    from_budget: bool = True


class Model(Table):
    kind: Literal["dense", "moe", "fusion"] = "dense"
    experts: int = Field(8, ge=2, le=512)
    text_share: float = Field(0.8, gt=0, le=1, description="of all training tokens, for kind = fusion")
    context: int = Field(8192, ge=128, le=10_000_000)
    smallest: Params = Quantity.exact(1e6)
    largest: Params = Quantity.exact(1e14)

    @model_validator(mode="after")
    def _ordered(self) -> Model:
        if self.smallest.median > self.largest.median:
            raise ValueError(f"smallest = {self.smallest.median:.3g} is above largest = {self.largest.median:.3g}")
        return self


class Target(Table):
    loss: float | None = Field(None, gt=0, description="nats a token, in the law's unit")


class Budget(Table):
    """The whole file."""

    name: str = "plan"
    law: str = "published"
    compute: Compute
    text: TextSettings
    demand: Demand = Demand()
    model: Model = Model()
    target: Target = Target()

    @property
    def stock(self) -> Text:
        """The text at its medians. Domains are read as one stock, each up to its own number of epochs; a mixture as far
        as it holds, as one text read evenly that is worth as many effective tokens as its domains together."""
        synthetic = self.text.synthetic.median if self.text.synthetic else 0.0
        domains = dict(self.text.domains)
        if self.text.mixture:
            if domains or self.text.unique:
                raise UserError("text.mixture: it says how much text there is; leave unique and domains out")
            page = open_artifact(self.text.mixture, "mixture").json("mixture.json")
            unique = even_unique(page["tokens"], page["effective_tokens"], page["r_star"])
            return Text(unique, synthetic, page["tokens"] / unique)
        if self.text.unique:
            domains[""] = Domain(tokens=self.text.unique, most_epochs=self.text.most_epochs)
        if not domains:
            raise UserError(
                "text: none of unique, domains and mixture is given; say how much text there is, like unique = '2T'"
            )
        unique = sum(domain.tokens.median for domain in domains.values())
        most = sum(domain.tokens.median * domain.most_epochs for domain in domains.values()) / unique
        return Text(unique, synthetic, most)


@dataclass(frozen=True)
class Reach:
    """A budget in device hours, with what turns them into FLOPs. Rates are useful FLOP/s of one device."""

    accelerator: Accelerator
    devices: float
    rent: float | None
    rate: float
    serving_rate: float
    goodput: Goodput
    limits: dict[str, float]  # device hours that each limit allows for training (money: for training and serving)
    flops: float | None
    utilisation: Quantity

    @property
    def hours(self) -> float:
        """Device hours of the tightest limit."""
        return min(self.limits.values(), default=math.inf)


def reach(budget: Budget) -> Reach:
    """What the budget allows, at its medians. Raises UserError where it limits nothing, or contradicts itself."""
    compute = budget.compute
    accelerator = find(compute.accelerator, load(compute.accelerators))
    rent = compute.rent.median if compute.rent else accelerator.rent.median if accelerator.rent else None
    devices = compute.devices.median if compute.devices else None
    if devices is not None and devices < 1:
        raise UserError(f"compute.devices = {devices:g}: give at least 1")
    limits = {}
    if compute.money:
        if not rent:
            raise UserError(f"compute.rent: {accelerator.name} has no price here; give rent = '$2' an hour")
        limits["money"] = compute.money.median / rent
    if compute.device_hours:
        limits["device_hours"] = compute.device_hours.median
    if compute.time and devices:
        limits["time"] = devices * compute.time.median * 24
    if not limits and not compute.flops:
        missing = (
            "devices" if compute.time else "time" if devices else "money, device_hours, flops, or a cluster's time"
        )
        raise UserError(f"compute: nothing limits the run; give {missing}")
    # Where no cluster is named it is as large as the deadline, or a month, asks for; without a deadline up to 100,000.
    use = compute.utilisation
    if "utilisation" not in compute.model_fields_set:
        use = accelerator.reached(use, compute.precision)
    for name, share in (("compute", use), ("demand", budget.demand.utilisation)):
        if share.low <= 0:
            raise UserError(f"{name}.utilisation = 0: nothing is computed then; give a share above 0")
    peak = accelerator.peak(compute.precision)
    work = compute.flops.median / (peak * use.median) / 3600 if compute.flops else math.inf
    hours = min([*limits.values(), work])
    a_month = min(max(1.0, hours / 24 / 30), LARGEST_CLUSTER)
    guess = devices or (max(1.0, hours / 24 / compute.time.median) if compute.time else a_month)
    working = goodput(guess, compute.checkpoint_seconds, compute.restart_seconds, compute.failures_per_device_hour)
    if working.share < 0.01:
        raise UserError(
            f"compute: {guess:,.0f} devices fail every {3600 * working.mtbf_hours:.2g} seconds and get nothing done; "
            "give fewer devices, a longer time, or lower failures_per_device_hour"
        )
    return Reach(
        accelerator,
        devices or math.ceil(guess),
        rent,
        peak * use.median * float(working.share),
        peak * budget.demand.utilisation.median,
        working,
        limits,
        compute.flops.median if compute.flops else None,
        use,
    )

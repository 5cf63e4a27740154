"""What did known models take: parameters, tokens, FLOPs, chips and time, each with its source?"""

from __future__ import annotations

import datetime
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from orionlm.errors import UserError
from orionlm.plan.accelerators import year
from orionlm.plan.quantity import Count, DeviceTime, Flops, Params, Quantity, Time, Tokens
from orionlm.settings import nearest, read_toml, validate

BUILT_IN = Path(__file__).with_name("model_runs.toml")
Mark = Literal["published", "estimate", "recalled"]


class ModelRun(BaseModel):
    """One pretraining run. `active_params` are those used for a token (default: all)."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    params: Params | None = None
    active_params: Params | None = None
    tokens: Tokens | None = None
    flops: Flops | None = None
    accelerator: str | None = None
    devices: Count | None = None
    days: Time | None = None
    device_hours: DeviceTime | None = None
    date: datetime.date | None = None
    source: str
    mark: Mark = "published"

    @model_validator(mode="after")
    def _has_compute(self) -> ModelRun:
        if self.flops is None and (self.tokens is None or self.params is None and self.active_params is None):
            raise ValueError("the compute is missing: set flops, or params and tokens")
        return self

    @property
    def compute(self) -> float:
        """Training FLOPs: as stated, else 6·N·D with the active parameters (2001.08361, section 2.1)."""
        if self.flops:
            return self.flops.median
        params = self.active_params or self.params
        assert params and self.tokens
        return 6 * params.median * self.tokens.median

    @property
    def hours(self) -> Quantity | None:
        """Device hours: as stated, else devices · days; None where neither is known."""
        if self.device_hours or not (self.devices and self.days):
            return self.device_hours
        scale = 24 * self.devices.median
        return Quantity(scale * self.days.median, scale * self.days.low, scale * self.days.high)

    @property
    def year(self) -> float | None:
        """The date as a decimal year."""
        return year(self.date) if self.date else None


@cache
def _read(path: Path) -> dict[str, ModelRun]:
    document = read_toml(path)
    for name, row in document.values.items():
        if not isinstance(row, dict):
            raise document.error((name,), f"{row!r}: a run is a table, [{name}] with flops, date, source …")
    return {name: validate(ModelRun, row, document, (name,)) for name, row in document.values.items()}


def load(extra: Path | None = None) -> dict[str, ModelRun]:
    """The built-in runs, and those of a user's file of the same form, which add to them or replace them."""
    return _read(BUILT_IN) | (_read(Path(extra)) if extra else {})


def find(name: str, runs: dict[str, ModelRun]) -> ModelRun:
    """The run called `name`, whatever its case; UserError with the nearest name otherwise."""
    known = {key.lower(): run for key, run in runs.items()}
    if name.lower() not in known:
        raise UserError(f"reference = {name!r}: no such model run, {nearest(name, runs)}")
    return known[name.lower()]

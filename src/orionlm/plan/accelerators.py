"""Which chips are there, what can each do, and what does it cost? A table with sources, which a user's file extends."""

from __future__ import annotations

import calendar
import datetime
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.plan.quantity import FACTOR, SHARE, Money, Quantity
from orionlm.settings import nearest, read_toml, validate

BUILT_IN = Path(__file__).with_name("accelerators.toml")
# How much faster fp8 trains than bf16, end to end: a prior of this project. DeepSeek-V3 trained in fp8 and reached
# 34.6% of the bf16 peak, no more than others in bf16; the peak is twice as high.
FP8_SPEEDUP = Quantity(1.2, 1.0, 1.5, FACTOR)
FIELDS = ("bf16", "fp8", "memory", "bandwidth", "power", "rent", "price")


@dataclass(frozen=True)
class Accelerator:
    """One device. `bf16` and `fp8` are dense peaks in FLOP/s, `memory` bytes, `bandwidth` bytes/s, `power` watts.

    `rent` is dollars per device hour, `price` dollars to buy one without its server, `released` a decimal year;
    `estimated` names the fields that its maker does not state, `also` the other names it goes by.
    """

    name: str
    bf16: float
    fp8: float | None
    memory: float
    bandwidth: float
    power: float
    rent: Quantity | None
    price: Quantity | None
    released: float
    source: str
    estimated: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    def peak(self, precision: str = "bf16") -> float:
        """FLOP/s at "bf16" or "fp8"; a device without fp8 raises UserError."""
        if precision == "bf16":
            return self.bf16
        if precision != "fp8":
            raise UserError(f"precision = {precision}: give bf16 or fp8")
        if self.fp8 is None:
            raise UserError(f"precision = fp8: {self.name} has no fp8 peak; use bf16 or another accelerator")
        return self.fp8

    def reached(self, of_bf16: Quantity, precision: str) -> Quantity:
        """A usual share of the bf16 peak as a share of the peak at `precision`: fp8 is faster by FP8_SPEEDUP alone."""
        if precision == "bf16":
            return of_bf16
        scale = FP8_SPEEDUP.median * self.bf16 / self.peak(precision)
        return Quantity(of_bf16.median * scale, of_bf16.low * scale, of_bf16.high * scale, SHARE)


class _Row(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)
    # The bounds catch a value in TFLOP/s, GB or TB/s.
    name: Annotated[str, Field(min_length=1)]
    released: datetime.date
    bf16: Annotated[float, Field(ge=1e11, le=1e18)]
    fp8: Annotated[float, Field(ge=1e11, le=1e18)] | None = None
    memory: Annotated[float, Field(ge=1e8, le=1e14)]
    bandwidth: Annotated[float, Field(ge=1e9, le=1e16)]
    power: Annotated[float, Field(ge=1, le=1e5)]
    rent: Money | None = None
    price: Money | None = None
    source: Annotated[str, Field(min_length=1)]
    estimated: tuple[str, ...] = ()
    also: tuple[str, ...] = ()


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    accelerator: tuple[_Row, ...]


def load(extra: Path | None = None) -> dict[str, Accelerator]:
    """The built-in table, by name; rows of the TOML file `extra` are added, or replace those of the same name."""
    table = dict(_built_in())
    if extra is not None:
        own = _read(extra)
        known = {_key(name): name for name in table}
        for name in own:
            table.pop(known.get(_key(name), ""), None)
        table |= own
    return table


def find(name: str, table: dict[str, Accelerator]) -> Accelerator:
    """The accelerator of that name or other name, whatever its case and hyphens; else UserError."""
    wanted = _key(name).removeprefix("nvidia").removeprefix("amd").removeprefix("google")
    for accelerator in table.values():
        if _key(accelerator.name) == wanted:
            return accelerator
    for accelerator in table.values():
        if wanted in map(_key, accelerator.also):
            return accelerator
    names = [*table, *(other for accelerator in table.values() for other in accelerator.also)]
    hint = nearest(name, names)
    raise UserError(f"accelerator = {name}: not in the table; {hint if 'did' in hint else nearest('', table)}")


@cache
def _built_in() -> dict[str, Accelerator]:
    return _read(BUILT_IN)


def _read(path: Path) -> dict[str, Accelerator]:
    document = read_toml(path)
    rows = validate(_Table, document.values, document).accelerator
    table: dict[str, Accelerator] = {}
    for n, row in enumerate(rows):
        if _key(row.name) in map(_key, table):
            raise document.error(("accelerator", n, "name"), f"{row.name} stands twice in this file; keep one")
        unknown = set(row.estimated) - set(FIELDS)
        if unknown:
            raise document.error(("accelerator", n, "estimated"), f"{min(unknown)}: {nearest(min(unknown), FIELDS)}")
        table[row.name] = Accelerator(**dict(row) | {"released": year(row.released)})
    return table


def year(date: datetime.date) -> float:
    """A date as a decimal year."""
    return date.year + (date.timetuple().tm_yday - 1) / (366 if calendar.isleap(date.year) else 365)


def _key(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())

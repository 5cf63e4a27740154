"""A number with a unit and an uncertainty, as a person writes it: `"$5M"`, `"5 months"`, `["100T", "260T tokens"]`."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

import numpy as np
from pydantic import PlainValidator

Array = np.ndarray
NORMAL_95 = 1.6448536269514722  # the standard normal's 95% point: low and high are the 5% and 95% points
PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
MONTH = 365.25 / 12
LEAST = 1e-12  # of any base unit: below it a value is taken for a slip of the pen


@dataclass(frozen=True)
class Dimension:
    """What a quantity may measure: its units in the base unit, and whether a bare number is clear enough."""

    name: str
    units: dict[str, float]
    bare: bool
    example: str
    ceiling: float  # beyond it a value is taken for a slip of the pen


MONEY = Dimension("money", {"$": 1.0, "usd": 1.0, "dollar": 1.0}, False, '"$5M"', 1e14)
TIME = Dimension(
    "time",
    {"s": 1 / 86400, "second": 1 / 86400, "min": 1 / 1440, "minute": 1 / 1440, "h": 1 / 24, "hour": 1 / 24, "day": 1.0}
    | {"d": 1.0, "week": 7.0, "month": MONTH, "year": 365.25},
    False,
    '"5 months"',
    365.25 * 200,
)
DEVICE_TIME = Dimension(
    "device time",
    {"gpu-hour": 1.0, "gpu-day": 24.0, "chip-hour": 1.0, "chip-day": 24.0},
    False,
    '"2.8M GPU-hours"',
    1e14,
)
TOKENS = Dimension("tokens", {"token": 1.0}, True, '"2T"', 1e20)
FLOPS = Dimension("FLOP", {"flop": 1.0}, True, '"1e26 FLOP"', 1e40)
PARAMS = Dimension("parameters", {"parameter": 1.0, "param": 1.0}, True, '"7B"', 1e17)
COUNT = Dimension("count", {"chip": 1.0, "gpu": 1.0}, True, '"20K"', 1e12)
FACTOR = Dimension("factor", {"x": 1.0, "×": 1.0}, True, "10", 1e12)
SHARE = Dimension("share", {"%": 0.01}, True, '"40%"', 1.0)
POWER = Dimension("power", {"w": 1.0, "kw": 1e3, "mw": 1e6, "gw": 1e9}, False, '"150 MW"', 1e13)


@dataclass(frozen=True)
class Quantity:
    """A median and a central 90% interval in the base unit of `dimension`: days, dollars, device hours, W, counts.

    Between its points the logarithm is normal, with one spread below the median and another above (a share: the
    logit), so a draw is positive, and a share stays below 1. An exact number has low = median = high.
    """

    median: float
    low: float
    high: float
    dimension: Dimension = FACTOR

    @classmethod
    def exact(cls, value: float, dimension: Dimension = FACTOR) -> Quantity:
        return cls(value, value, value, dimension)

    @property
    def is_exact(self) -> bool:
        return self.low == self.high

    def sample(self, count: int, rng: np.random.Generator) -> Array:
        """Draws (count,)."""
        return self.at(rng.standard_normal(count))

    def at(self, z: Array) -> Array:
        """The values that stand at standard normal scores z."""
        if self.is_exact:
            return np.full(np.shape(z), self.median)
        share = self.dimension is SHARE
        low, middle, high = (_logit(v) if share else math.log(v) for v in (self.low, self.median, self.high))
        raw = middle + z * np.where(z > 0, high - middle, middle - low) / NORMAL_95
        return 1 / (1 + np.exp(-raw)) if share else np.exp(raw)

    def to_json(self) -> float | list[float]:
        return self.median if self.is_exact else [self.low, self.median, self.high]


def short(value: float) -> str:
    """A large number as this file reads it: 1.54B, 20,000, 0.4. Beyond 1e16 as a power of ten."""
    for least, prefix in ((1e12, "T"), (1e9, "B"), (1e6, "M")):
        if least <= abs(value) < 1e16:
            return f"{value / least:.3g}{prefix}" if abs(value) < 999.5 * least else f"{value / least:,.0f}{prefix}"
    if 1000 <= abs(value) < 1e6:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def plural(count: float, word: str) -> str:
    """`1 day`, `2.95 epochs`."""
    shown = short(count)
    return f"{shown} {word}" if shown == "1" else f"{shown} {word}s"


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def parse(dimension: Dimension, value: Any) -> Quantity:
    """A `Quantity` from a number, a text with a unit, or a list: [low, high] or [low, median, high], the ends of a 90%
    interval. A unit given once in a list holds for all of it. Raises ValueError with the mend."""
    if isinstance(value, Quantity):
        return value
    parts = value if isinstance(value, list | tuple) else [value]
    if len(parts) not in (1, 2, 3):
        raise ValueError(f"{value!r}: give one value, [low, high] or [low, median, high]")
    shared = next((unit for part in parts if (unit := _split(dimension, part)[1])), "")
    numbers = [_amount(dimension, part, shared) for part in parts]
    if len(numbers) == 1:
        return Quantity.exact(numbers[0], dimension)
    low, high = numbers[0], numbers[-1]
    if dimension is SHARE and not (low > 0 and high < 1):
        raise ValueError(f"{value!r}: an uncertain share lies between 0 and 1, both excluded")
    if len(numbers) == 3:
        middle = numbers[1]
    else:
        middle = 1 / (1 + math.exp(-(_logit(low) + _logit(high)) / 2)) if dimension is SHARE else math.sqrt(low * high)
    if not low <= middle <= high or low == high:
        raise ValueError(f"{value!r}: write the interval in rising order, [low, high] or [low, median, high]")
    return Quantity(middle, low, high, dimension)


_NUMBER = re.compile(r"\s*(\$?)\s*([-+]?[\d_,]*\.?\d+(?:[eE][-+]?\d+)?)\s*([kKMBT](?![A-Za-z]))?\s*(.*?)\s*$")


# Commas part thousands; "1,5" may mean 1.5.
_GROUPED = re.compile(r"[-+]?(?:[^,]*|\d{1,3}(?:,\d{3})+(?:[.eE][^,]*)?)")


def _split(dimension: Dimension, value: Any) -> tuple[float, str]:
    """The number in `value` and its unit, "" where none stands."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{value!r}: write {dimension.name} like {dimension.example}")
    if not isinstance(value, str):
        try:
            return float(value), ""
        except OverflowError:
            return math.inf, ""
    found = _NUMBER.match(value)
    if not found or not _GROUPED.fullmatch(found[2]):
        raise ValueError(f"{value!r} is no amount: write {dimension.name} like {dimension.example}")
    sign, digits, prefix, unit = found.groups()
    if sign and unit:
        raise ValueError(f"{value!r} mixes units: write {dimension.name} like {dimension.example}")
    number = float(digits.replace(",", "").replace("_", "")) * PREFIXES[prefix or ""]
    return number, sign or unit


def _amount(dimension: Dimension, value: Any, shared: str) -> float:
    number, unit = _split(dimension, value)
    unit = unit or shared
    key = unit.lower()
    known = dimension.units.get(key) or (dimension.units.get(key.removesuffix("s")) if len(key) > 2 else None)
    if unit and known is None:
        raise ValueError(f"{value!r}: '{unit}' is no unit of {dimension.name}; write it like {dimension.example}")
    if not unit and not dimension.bare:
        raise ValueError(f"{value!r}: the unit is missing; write {dimension.name} like {dimension.example}")
    amount = number * (known or 1.0)
    floor = 0.0 if dimension is SHARE else -math.inf
    if not math.isfinite(amount) or amount < floor or (dimension is not SHARE and amount <= 0):
        raise ValueError(f"{value!r}: {dimension.name} must be positive; write it like {dimension.example}")
    if amount > dimension.ceiling:
        raise ValueError(f"{value!r} is more {dimension.name} than there is; check the unit and the power of ten")
    if 0 < amount < LEAST:
        raise ValueError(f"{value!r} is too little {dimension.name} to be meant; check the unit and the power of ten")
    return amount


def _validator(dimension: Dimension) -> Callable[[Any], Quantity]:
    return partial(parse, dimension)


# Field types for settings: a mistake is reported with the file's line, like any other setting's.
Money = Annotated[Quantity, PlainValidator(_validator(MONEY))]
Time = Annotated[Quantity, PlainValidator(_validator(TIME))]
DeviceTime = Annotated[Quantity, PlainValidator(_validator(DEVICE_TIME))]
Tokens = Annotated[Quantity, PlainValidator(_validator(TOKENS))]
Flops = Annotated[Quantity, PlainValidator(_validator(FLOPS))]
Params = Annotated[Quantity, PlainValidator(_validator(PARAMS))]
Count = Annotated[Quantity, PlainValidator(_validator(COUNT))]
Factor = Annotated[Quantity, PlainValidator(_validator(FACTOR))]
Share = Annotated[Quantity, PlainValidator(_validator(SHARE))]
Power = Annotated[Quantity, PlainValidator(_validator(POWER))]

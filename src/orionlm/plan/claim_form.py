"""What does every claim have, whatever it is about, and what does an answer to it rest on?"""

from __future__ import annotations

import datetime
import math
import operator
import re
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.plan.accelerators import Accelerator
from orionlm.plan.draws import Draws, summary
from orionlm.plan.model_runs import ModelRun
from orionlm.plan.quantity import FLOPS, MONEY, TOKENS, Dimension, Quantity, parse
from orionlm.settings import nearest

Array = np.ndarray
Verdict = Literal["plausible", "implausible", "cannot tell"]
PLAUSIBLE, IMPLAUSIBLE = 0.5, 0.05  # probabilities at and above, and below, which a verdict is given


class Form(BaseModel):
    """A table of a claim file."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    def to_json(self) -> dict:
        """What was stated: numbers in base units, [low, median, high] where uncertain."""
        return {name: plain(value) for name in _stated(self) if (value := getattr(self, name)) is not None}


def _stated(table: BaseModel) -> list[str]:
    """The fields that were given, in the model's order: a set's own differs from run to run."""
    return [name for name in type(table).model_fields if name in table.model_fields_set]


def plain(value: object) -> object:
    """A field's value as JSON has it."""
    if isinstance(value, Quantity | Form):
        return value.to_json()
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in _stated(value)}
    if isinstance(value, list):
        return [plain(part) for part in value]
    return value.isoformat() if isinstance(value, datetime.date) else value


@dataclass(frozen=True)
class World:
    """What claims are judged against: known chips and runs, the draws, and whether far extrapolations are wanted."""

    accelerators: dict[str, Accelerator]
    runs: dict[str, ModelRun]
    draws: Draws = field(default_factory=lambda: Draws(4000))
    extrapolate: bool = False


@dataclass(frozen=True)
class Finding:
    """What a claim comes to. `values` (draws + 1,) may be named in `holds`; `needs` is what is printed.

    `true` (draws + 1,) says in which draws the claim's own statement is true: None where it makes none that can be
    judged. `refused` says why no verdict is given although there are numbers.
    """

    values: dict[str, Array]
    needs: dict
    true: Array | None
    words: str
    warnings: list[str]
    refused: str = ""


class Claim(Form):
    """The fields of every kind. `holds` replaces the kind's own statement by one over its quantities; `denies` turns
    the statement into its contrary ("cannot")."""

    name: str = Field(min_length=1)
    kind: str
    says: str = ""
    source: str = ""
    holds: str = ""
    denies: bool = False

    def find(self, world: World) -> Finding:
        raise NotImplementedError

    def error(self, problem: str) -> UserError:
        return UserError(f"claim '{self.name}': {problem}")


COMPARISONS = {"<=": operator.le, ">=": operator.ge, "<": operator.lt, ">": operator.gt}


def statement(claim: Claim, values: dict[str, Array]) -> Array:
    """`holds`, such as "total_fall < 1%" or "cloud_dollars >= $100M", true or false in every draw."""
    found = re.fullmatch(r"\s*(\w+)\s*(<=|>=|<|>)\s*(.+?)\s*", claim.holds)
    if not found:
        raise claim.error(f'holds = {claim.holds!r}: write QUANTITY <= AMOUNT, such as "total_fall < 1%"')
    name, comparison, amount = found.groups()
    if name not in values:
        raise claim.error(f"holds = {claim.holds!r}: no quantity '{name}' here, {nearest(name, values)}")
    if amount.startswith("$") and not ("dollars" in name or name in ("rent_needed",)):
        raise claim.error(f"holds = {claim.holds!r}: {name} is not in dollars; write a plain number")
    return COMPARISONS[comparison](values[name], _amount(claim, amount))


def _amount(claim: Claim, text: str) -> float:
    dimension: Dimension = MONEY if text.startswith("$") else TOKENS if "token" in text else FLOPS
    try:
        if text.endswith("%"):
            share = float(text.removesuffix("%")) / 100
            if not math.isfinite(share):
                raise ValueError(f"{text!r} is no amount: write it like 1%")
            return share
        return parse(dimension, text).median
    except ValueError as error:
        raise claim.error(f"holds = {claim.holds!r}: {error}") from None


def summaries(values: dict[str, Array]) -> dict[str, dict[str, float]]:
    """`value`, `low` and `high` of each."""
    return {name: summary(value) for name, value in values.items()}


def span(values: Array, form: str, scale: float = 1.0) -> str:
    """A value as words: "259%" where it is certain, "49% to 55%" else (the 90% interval)."""
    said = summary(values)
    low, high = format(said["low"] * scale, form), format(said["high"] * scale, form)
    return format(said["value"] * scale, form) if low == high else f"{low} to {high}"

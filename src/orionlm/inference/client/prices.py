"""What does a token cost? Dollars per model, from the table that comes along and from the user's own."""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from orionlm.inference.client.response import Usage
from orionlm.settings import Document, parse_toml, read_toml, validate

OURS = "prices.toml"


class Price(BaseModel):
    """Dollars per million tokens. `model`: names or glob patterns; `batch`: what a batch file's tokens cost, relative
    to these; `cached_prompt`: prompt tokens the server had in its cache (None: no cheaper)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: tuple[str, ...] | str
    prompt: float = Field(ge=0)
    completion: float = Field(ge=0)
    cached_prompt: float | None = Field(default=None, ge=0)
    batch: float = Field(default=1.0, ge=0)
    source: str = Field(min_length=1)
    date: str = Field(min_length=1)

    def covers(self, name: str) -> bool:
        patterns = (self.model,) if isinstance(self.model, str) else self.model
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)

    def nanodollars(self, usage: Usage, batch: bool = False) -> int:
        """The cost of one call, rounded up to a billionth of a dollar."""
        cached = self.prompt if self.cached_prompt is None else min(self.cached_prompt, self.prompt)
        dollars = (
            (usage.prompt_tokens - usage.cached_tokens) * _exact(self.prompt)
            + usage.cached_tokens * _exact(cached)
            + usage.completion_tokens * _exact(self.completion)
        ) * (_exact(self.batch) if batch else 1)
        return -int(-dollars * 1000 // 1)

    @property
    def origin(self) -> str:
        return f"{self.source}, {self.date}"


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    price: tuple[Price, ...] = ()


@dataclass(frozen=True)
class PriceList:
    """The first price that covers a model counts."""

    prices: tuple[Price, ...] = ()

    @classmethod
    def read(cls, own: Path | None = None) -> PriceList:
        """The user's prices, then ours."""
        theirs = _prices(read_toml(own)) if own else ()
        text = resources.files(__package__).joinpath(OURS).read_text(encoding="utf-8")
        return cls(theirs + _prices(parse_toml(text, OURS)))

    def find(self, model: str) -> Price | None:
        return _find(self, model)


def _prices(document: Document) -> tuple[Price, ...]:
    values = dict(document.values)
    if isinstance(values.get("price"), list):
        values["price"] = [
            {name: str(value) if name == "date" else value for name, value in row.items()}
            if isinstance(row, dict)
            else row
            for row in values["price"]
        ]
    return validate(_Table, values, document).price


@lru_cache(maxsize=256)
def _find(prices: PriceList, model: str) -> Price | None:
    return next((price for price in prices.prices if price.covers(model)), None)


@lru_cache(maxsize=256)
def _exact(price: float) -> Fraction:
    return Fraction(str(price))

"""How much may still be asked? A hard budget: the worst case is reserved before a call, settled after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from orionlm.errors import UserError
from orionlm.inference.client.prices import Price, PriceList
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Usage


@dataclass(frozen=True)
class Limits:
    """None: no limit. They hold for everything the store ever spends, not for one run."""

    dollars: float | None = None
    tokens: int | None = None
    flops: float | None = None
    seconds: float | None = None

    def __post_init__(self) -> None:
        for name in ("dollars", "tokens", "flops", "seconds"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"budget: {name} = {value}: give a number that is not negative")


@dataclass(frozen=True, slots=True)
class Amount:
    """Whole numbers, so that sums are exact: a billionth of a dollar is the unit of money."""

    tokens: int = 0
    nanodollars: int = 0
    flops: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.nanodollars + other.nanodollars, self.flops + other.flops)

    def __sub__(self, other: Amount) -> Amount:
        return Amount(self.tokens - other.tokens, self.nanodollars - other.nanodollars, self.flops - other.flops)

    def within(self, other: Amount) -> bool:
        return self.tokens <= other.tokens and self.nanodollars <= other.nanodollars and self.flops <= other.flops


@dataclass(frozen=True)
class Tariff:
    """What tokens cost: dollars by the price list, FLOPs by what the endpoint says of its models."""

    prices: PriceList = field(default_factory=PriceList)
    flops_per_token: Mapping[str, float] = field(default_factory=dict)

    def price(self, model: str) -> Price | None:
        return self.prices.find(model)

    def check(self, model: str, limits: Limits) -> None:
        """Refuse a limit that could not be held for `model`."""
        if limits.dollars is not None and self.price(model) is None:
            raise UserError(
                f"budget in dollars: no price is known for model {model!r}; give one with --prices FILE.toml, "
                'in a recipe prices = "FILE.toml" of its teacher: '
                f'[[price]] model = "{model}", prompt and completion in dollars per million tokens, source, date'
            )
        if limits.flops is not None and model not in self.flops_per_token:
            raise UserError(
                f"budget in FLOPs: the endpoint does not say how many FLOPs a token of {model!r} takes; leave it out"
            )

    def cost(self, model: str, usage: Usage, batch: bool = False) -> Amount:
        """What so many tokens cost; unpriced models cost no dollars."""
        price = self.price(model)
        tokens = usage.prompt_tokens + usage.completion_tokens
        return Amount(
            tokens,
            price.nanodollars(usage, batch) if price else 0,
            math.ceil(tokens * self.flops_per_token.get(model, 0)),
        )


class Budget:
    """spent + reserved ≤ limits, always. The store keeps the same numbers durably, in the same order."""

    def __init__(self, limits: Limits | None = None, tariff: Tariff | None = None) -> None:
        self.limits = limits or Limits()
        self.tariff = tariff or Tariff()
        self.spent = Amount()
        self.reserved = Amount()
        self.seconds_before = 0.0
        self._most = (
            math.inf if self.limits.tokens is None else self.limits.tokens,
            math.inf if self.limits.dollars is None else math.floor(self.limits.dollars * 1e9 + 1e-6),
            math.inf if self.limits.flops is None else self.limits.flops,
        )

    def resume(self, spent: Amount, seconds: float) -> None:
        """Begin from what the store says was spent before."""
        self.spent, self.reserved, self.seconds_before = spent, Amount(), seconds

    def worst(self, request: Request, batch: bool = False) -> Amount | None:
        """The most `request` can cost; None where its prompt cannot be bounded and a limit asks for it."""
        prompt = request.most_prompt_tokens
        if prompt is None:
            if self.counted:
                return None
            prompt = 0
        return self.tariff.cost(request.model, Usage(prompt, request.max_tokens), batch)

    @property
    def counted(self) -> bool:
        """Whether any limit is on what calls cost."""
        return any(most != math.inf for most in self._most)

    def fits(self, amount: Amount) -> bool:
        total = self.spent + self.reserved + amount
        tokens, nanodollars, flops = self._most
        return total.tokens <= tokens and total.nanodollars <= nanodollars and total.flops <= flops

    def reserve(self, amount: Amount) -> bool:
        """Set `amount` aside if it fits."""
        if self.counted and not self.fits(amount):
            return False
        self.reserved += amount
        return True

    def settle(self, reserved: Amount, actual: Amount) -> bool:
        """Turn a reservation into what the call cost; False if that was more than could be."""
        self.reserved -= reserved
        self.spent += actual
        return actual.within(reserved)

    def release(self, reserved: Amount) -> None:
        """A call that is known not to be billed."""
        self.reserved -= reserved

    def lose(self, reserved: Amount) -> None:
        """A call whose bill is unknown: the worst case stays spent."""
        self.reserved -= reserved
        self.spent += reserved

    def seconds_left(self, asked_for: float) -> float:
        """Of the time limit, after `asked_for` seconds in this run."""
        if self.limits.seconds is None:
            return math.inf
        return self.limits.seconds - self.seconds_before - asked_for

    def would_cover(self, more: Amount) -> list[str]:
        """The limits that would surely cover `more`, in words, where today's do not."""
        total = self.spent + self.reserved + more
        tokens, nanodollars, flops = self._most
        words = []
        if total.nanodollars > nanodollars:
            words.append(f"dollars {math.ceil(total.nanodollars / 1e4) / 1e5:g}")
        if total.tokens > tokens:
            words.append(f"tokens {total.tokens}")
        if total.flops > flops:
            words.append(f"FLOPs {total.flops:.4g}")
        return words

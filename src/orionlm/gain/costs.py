"""What does a lever itself cost, in FLOPs and in dollars: once, for each training token, for each request?

A TOML file prices levers, one table each; what is left out costs nothing:

    [rephrase]                        # the name in the run table's column `lever`
    once = "2e12 FLOP"                # a classifier trained once
    per_token = 4e6                   # FLOP for each token trained on: generation, filtering
    per_request = 1e7                 # FLOP for each request served: sampling, search
    requests = "10M"                  # how many will be served
    once_dollars = "$40"
    per_million_tokens_dollars = ["$0.10", "$0.30"]   # what an API teacher charges, with its interval
    per_thousand_requests_dollars = "$2"
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import BaseModel, ConfigDict

from orionlm.errors import UserError
from orionlm.plan.quantity import Count, Flops, Money, Quantity
from orionlm.settings import read_toml, validate

Array = np.ndarray


class LeverCost(BaseModel):
    """One lever's own cost, beside the training FLOPs of its rows. An API teacher has dollars and no FLOPs."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    once: Flops | None = None
    per_token: Flops | None = None
    per_request: Flops | None = None
    requests: Count | None = None
    once_dollars: Money | None = None
    per_million_tokens_dollars: Money | None = None
    per_thousand_requests_dollars: Money | None = None

    def flops(self, tokens: float, count: int, rng: np.random.Generator) -> Array:
        """FLOPs the lever adds to a run of `tokens`: draws (count,)."""
        served = _draw(self.requests, count, rng)
        return (
            _draw(self.once, count, rng)
            + _draw(self.per_token, count, rng) * tokens
            + _draw(self.per_request, count, rng) * served
        )

    def dollars(self, tokens: float, count: int, rng: np.random.Generator) -> Array:
        """Dollars the lever adds to a run of `tokens`, beside those of its FLOPs: draws (count,)."""
        served = _draw(self.requests, count, rng)
        return (
            _draw(self.once_dollars, count, rng)
            + _draw(self.per_million_tokens_dollars, count, rng) * tokens / 1e6
            + _draw(self.per_thousand_requests_dollars, count, rng) * served / 1e3
        )


FREE = LeverCost()


def _draw(amount: Quantity | None, count: int, rng: np.random.Generator) -> Array:
    return np.zeros(count) if amount is None else amount.sample(count, rng)


def read_costs(path: Path | str) -> dict[str, LeverCost]:
    """The costs of levers by name. Raises UserError with the line of the mistake."""
    document = read_toml(path)
    costs = {}
    for name, values in document.values.items():
        if not isinstance(values, dict):
            raise document.error((name,), f"{values!r}: give each lever a table, [{name}]")
        cost = validate(LeverCost, values, document, (name,))
        if (cost.per_request or cost.per_thousand_requests_dollars) and not cost.requests:
            raise UserError(f"{document.name}: {name}.requests: missing: a cost a request needs the number of requests")
        costs[name] = cost
    return costs

"""When will the largest training run need all the public text there is?

After Villalobos et al. 2024 (2211.04325, sections 2 and 3): a stock of text against a demand that grows by a steady
factor a year.

- Stock = raw text · share that survives the quality filter · value of repeating it. Indexed web 510T tokens
  [130T–2,100T], filter 10–40%, repetition ×2–5: 320T effective tokens [65T–1,700T]. These are 95% intervals in the
  paper, and combine to its total only when read so; here they are restated as the 90% intervals of `Quantity`. The web
  also grows by some per cent a year; against a demand that more than doubles, that is left out.
- Demand = the largest published set of text, 15.6T tokens in July 2024 (Llama 3 405B, 2407.21783), near the optimum of
  its own law and so over-trained by a factor of 1, growing by .38 orders of magnitude a year. The median of the growth
  is the paper's. Its spread, .15 to .70, is **ours**: the paper mixes a historical trend with projections of compute
  that slow down, and a low tail that reaches .15 is what brings out its published 80% interval, 2026 to 2032.
- Over-training by k means k times the tokens for each parameter, as in the paper (Llama 3 70B: 10×). At the same
  compute C = 6ND parameters fall by √k and tokens rise only by √k. That gives both published shifts: 5× brings the
  wall .35/.38 = .9 years nearer (2027), 100× brings it 1/.38 = 2.6 years nearer (2025).
- Synthetic text: with a share s of the tokens, each worth w real ones, the same training effect needs (1 − s)/(1 − s +
  w·s) times the real tokens. The worth .8 [.3–1.2] is a **prior of this project, not a published law**.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.errors import UserError
from orionlm.plan.draws import Draws, summary
from orionlm.plan.quantity import FACTOR, SHARE, TOKENS, Dimension, Factor, Quantity, Share, Tokens
from orionlm.settings import read_toml, validate

Array = np.ndarray


def _published(dimension: Dimension, low: float, median: float, high: float) -> Quantity:
    """A published 95% interval as a 90% one, on the logarithmic scale."""
    shrink = 1.6448536 / 1.9599640
    return Quantity(median, median * (low / median) ** shrink, median * (high / median) ** shrink, dimension)


EARLIEST, LATEST = 1900, 3000  # calendar years that can be meant
SOURCES = {
    "common crawl": _published(TOKENS, 100e12, 130e12, 260e12),
    "indexed web": _published(TOKENS, 130e12, 510e12, 2100e12),
    "whole web": _published(TOKENS, 1900e12, 3100e12, 5200e12),
}


class Wall(BaseModel):
    """The inputs, each of which a TOML file may override. Intervals are 90%: "320T", or ["130T", "510T", "2100T"].

    `raw` overrides `web`; `stock`, effective tokens, overrides raw, filter and repetition together.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    web: Literal["common crawl", "indexed web", "whole web"] = "indexed web"
    raw: Tokens | None = None
    quality: Share = _published(SHARE, 0.1, 0.2, 0.4)
    repetition: Factor = _published(FACTOR, 2, 10**0.5, 5)
    stock: Tokens | None = None
    demand: Tokens = Quantity.exact(15.6e12, TOKENS)
    demand_year: float = Field(default=2024.56, ge=1990, le=2100)
    growth: Factor = Quantity(0.38, 0.15, 0.70)  # orders of magnitude a year
    overtraining: Factor = Quantity.exact(1.0)
    synthetic_share: Share = Quantity.exact(0.0, SHARE)
    synthetic_worth: Factor = Quantity(0.8, 0.3, 1.2)

    @model_validator(mode="after")
    def _possible(self) -> Wall:
        if self.growth.low < 0.01 or self.growth.high > 5:
            raise ValueError("growth is in orders of magnitude a year, between 0.01 and 5; a doubling is 0.30")
        if self.synthetic_share.high > 0.999:
            raise ValueError("synthetic_share: with no real text at all there is no wall; give less than 99.9%")
        if not (self.quality.low > 0 and self.repetition.low >= 1):
            raise ValueError("quality must lie above 0, and repetition at 1 or above (1: every token once)")
        return self

    def stock_draws(self, draws: Draws) -> Array:
        """Effective tokens (count + 1,)."""
        if self.stock is not None:
            return draws.of("stock", self.stock)
        raw = draws.of("raw", self.raw or SOURCES[self.web])
        return raw * draws.of("quality", self.quality) * draws.of("repetition", self.repetition)

    def demand_draws(self, draws: Draws) -> Array:
        """Real tokens (count + 1,) of the largest run of `demand_year`, were it over-trained and part synthetic."""
        share = draws.of("synthetic share", self.synthetic_share)
        real = (1 - share) / (1 - share + draws.of("synthetic worth", self.synthetic_worth) * share)
        return draws.of("demand", self.demand) * np.sqrt(draws.of("overtraining", self.overtraining)) * real

    def years(self, draws: Draws) -> Array:
        """The year (count + 1,) in which demand meets the stock; it may lie before `demand_year`."""
        orders = np.log10(self.stock_draws(draws) / self.demand_draws(draws))
        return self.demand_year + orders / draws.of("growth", self.growth)

    def to_json(self) -> dict:
        """The inputs as plain numbers and [low, median, high]."""
        return {
            name: value.to_json() if isinstance(value, Quantity) else value
            for name in type(self).model_fields
            if (value := getattr(self, name)) is not None
        }


def read_wall(path: Path) -> Wall:
    """A TOML file of inputs; what it leaves out keeps its default."""
    document = read_toml(path)
    return validate(Wall, document.values, document)


@dataclass(frozen=True)
class Exhaustion:
    """The distribution of the year: median, central intervals, and P(before the end of each year).

    `levers` says where the median would lie under one change to the inputs, and by how many years that moves it.
    """

    median: float
    interval80: tuple[float, float]
    interval90: tuple[float, float]
    by_year: dict[int, float]
    stock: dict[str, float]
    demand: dict[str, float]
    levers: list[dict]
    warnings: list[str]
    inputs: dict

    def to_json(self) -> dict:
        return {
            "median": self.median,
            "interval80": list(self.interval80),
            "interval90": list(self.interval90),
            "by_year": {str(year): share for year, share in self.by_year.items()},
            "stock": self.stock,
            "demand": self.demand,
            "levers": self.levers,
            "warnings": self.warnings,
            "inputs": self.inputs,
        }


LEVERS: dict[str, dict] = {
    "over-training 5×": {"overtraining": Quantity.exact(5.0)},
    "over-training 100×": {"overtraining": Quantity.exact(100.0)},
    "every token once": {"repetition": Quantity.exact(1.0)},
    "repetition worth ×5": {"repetition": Quantity.exact(5.0)},
    "a third of the tokens synthetic": {"synthetic_share": Quantity.exact(1 / 3, SHARE)},
    "Common Crawl alone": {"web": "common crawl", "raw": None},
    "the whole web": {"web": "whole web", "raw": None},
}


def exhaustion(wall: Wall | None = None, draws: Draws | None = None) -> Exhaustion:
    """The distribution of the exhaustion year under `wall`, and what each lever would do to its median."""
    wall, draws = wall or Wall(), draws or Draws()
    years = wall.years(draws)[1:]
    low90, low80, median, high80, high90 = (float(q) for q in np.quantile(years, [0.05, 0.1, 0.5, 0.9, 0.95]))
    if not (low90 > EARLIEST + 1 and high90 < LATEST - 1):
        raise UserError(
            f"wall: stock = {np.median(wall.stock_draws(draws)[1:]):.3g} and demand = "
            f"{np.median(wall.demand_draws(draws)[1:]):.3g} tokens would meet in {median:.0f} ({low90:.0f} to "
            f"{high90:.0f}), outside {EARLIEST} to {LATEST}; check stock, demand and growth"
        )
    first, last = int(np.floor(low90)) - 1, min(int(np.ceil(high90)) + 1, int(np.floor(low90)) + 40)
    levers = []
    for name, change in LEVERS.items():
        if wall.stock is not None and not {"overtraining", "synthetic_share"} & change.keys():
            continue
        moved = float(np.median(wall.model_copy(update=change).years(draws)[1:]))
        levers.append({"name": name, "median": moved, "shift_years": moved - median})
    warnings = []
    if median > wall.demand_year + 20:
        warnings.append(f"extrapolates the growth of demand {median - wall.demand_year:.0f} years past its base")
    if (share := float((years < wall.demand_year).mean())) > 0.05:
        warnings.append(f"in {100 * share:.0f}% of the draws the stock is smaller than the demand of the base year")
    if wall.synthetic_share.high > 0:
        warnings.append("the worth of a synthetic token is a prior of this project, not a published law")
    return Exhaustion(
        median,
        (low80, high80),
        (low90, high90),
        {year: probability_by(years, year) for year in range(first, last + 1)},
        summary(wall.stock_draws(draws)),
        summary(wall.demand_draws(draws)),
        levers,
        warnings,
        wall.to_json(),
    )


def probability_by(years: Array, year: int) -> float:
    """P(exhausted before the end of `year`)."""
    if not EARLIEST <= year <= LATEST:
        raise UserError(f"year = {year}: give a calendar year such as 2026")
    return float((years < year + 1).mean())

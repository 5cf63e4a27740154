"""Is one run better than another, by how much, and is there text enough for it?

A run is compute and what becomes of it: compute-optimal or over-trained, on endless or scarce text, with or without
synthetic tokens, with a share of its tokens in other modalities, dense or with experts. Its loss follows from
L = E + A/N^α + B/D^β (2203.15556, eq. 2) with the constants of Besiroglu et al. and of Hoffmann et al.; both are
always reported, and the interval spans both.

- Optimum: N* = G(C/6)^(β/(α+β)), G = (αA/βB)^(1/(α+β)), D* = C/6N* (2203.15556, eq. 4). Over-trained by k: k times the
  tokens a parameter, so N*/√k and D*·√k.
- Scarce text: D is replaced by U[1 + R(1 − e^(−r/R))], r repeats of U tokens (Muennighoff et al., 2305.16264, eq. 5),
  and N is chosen anew. R is 15.4 there and 14 to 60 in refits to parts of its runs, so it is drawn from 10 to 45.
- Synthetic tokens count for w real ones each (a **prior of this project**), after the real text was repeated until
  another repeat is worth less than w.
- A mixture of experts counts as the dense model of equal loss on the same tokens, by the laws of `plan/experts.py`.
- Other modalities take a share of the tokens and give nothing to the loss on text (2504.07951 measures no further tax).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import model_validator

from orionlm.errors import UserError
from orionlm.plan.claim_form import Claim, Finding, Form, World, span, summaries
from orionlm.plan.draws import Draws, summary
from orionlm.plan.experts import compare
from orionlm.plan.laws import FITTED_FLOPS, PUBLISHED, Published
from orionlm.plan.quantity import FACTOR, Factor, Flops, Quantity, Share, Tokens
from orionlm.plan.stock import Wall
from orionlm.plan.synthetic import REPHRASED

Array = np.ndarray
LARGEST = FITTED_FLOPS[1]
MAX_EPOCHS = 16.0  # past which real runs are hurt by more epochs, and this law does not show it
MAX_ORDERS = 2.0  # orders of magnitude past it to which a verdict is given unasked
REPEAT_LIFE = Quantity(15.3878, 10, 45, FACTOR)
LawName = Literal["besiroglu", "hoffmann"]


@dataclass(frozen=True)
class Constants:
    """ln A, ln B, ln E, α, β of a law, (draws + 1,) each, the published ones first."""

    a: Array
    b: Array
    e: Array
    alpha: Array
    beta: Array

    @classmethod
    def of(cls, law: Published, draws: Draws) -> Constants:
        """Both laws vary as the refit's bootstrap does: Hoffmann's own intervals are too narrow (2404.10102)."""
        return cls(*law.varied(np.stack([draws.scores(f"law {i}") for i in range(5)], axis=1)).T)

    def loss(self, x: Array, z: Array) -> Array:
        """Nats per token at x = ln N, z = ln D. (draws + 1,) or (draws + 1, k)."""
        a, b, e, alpha, beta = (
            part[:, None] if x.ndim == 2 else part for part in (self.a, self.b, self.e, self.alpha, self.beta)
        )
        return np.exp(e) + np.exp(a - alpha * x) + np.exp(b - beta * z)

    def optimum(self, flops: Array) -> Array:
        """ln N* (draws + 1,)."""
        g = (self.a + np.log(self.alpha) - self.b - np.log(self.beta)) / (self.alpha + self.beta)
        return g + self.beta / (self.alpha + self.beta) * np.log(flops / 6)

    def equivalent(self, loss: Array, flops: Array) -> Array:
        """The FLOPs at which an optimal run on endless fresh text has this loss; inf at or below the floor E."""
        x = self.optimum(flops)
        floor = np.exp(self.e)
        best = self.loss(x, np.log(flops / 6) - x) - floor
        gamma = self.alpha * self.beta / (self.alpha + self.beta)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(loss > floor, flops * (best / (loss - floor)) ** (1 / gamma), np.inf)


class Run(Form):
    """A run to be compared."""

    flops: Flops
    overtraining: Factor | None = None
    unique_tokens: Tokens | None = None
    synthetic_tokens: Tokens | None = None
    synthetic_worth: Factor = REPHRASED.weight
    multimodal_share: Share | None = None
    experts: int | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Run:
        if self.synthetic_tokens and not self.unique_tokens:
            raise ValueError(
                "synthetic_tokens without unique_tokens: where text is endless they change nothing; set both"
            )
        if self.experts is not None and not 2 <= self.experts <= 4096:
            raise ValueError(f"experts = {self.experts}: give 2 to 4096, or leave it out for a dense model")
        if self.multimodal_share and self.multimodal_share.high > 0.99:
            raise ValueError("multimodal_share: leave at least 1% of the tokens to text")
        return self

    def reached(self, law: Constants, draws: Draws, extrapolate: bool) -> dict[str, Array]:
        """ln N as `x`, ln D as `z` (all tokens) and `loss` on text, (draws + 1,) each."""
        flops = draws.of(f"flops {self.flops.median:g}", self.flops)
        x = law.optimum(flops)
        x = x - 0.5 * np.log(draws.of("overtraining", self.overtraining or Quantity.exact(1.0)))
        if self.unique_tokens and not self.overtraining:
            offsets = np.concatenate([[0.0], np.linspace(-1, 8, 181)])
            grid = x[:, None] + offsets
            loss = law.loss(grid, np.log(self._text(np.exp(np.log(flops / 6)[:, None] - grid), draws)))
            x = x + offsets[loss.argmin(1)]
        tokens = flops / 6 / np.exp(x)
        text = self._text(tokens[:, None], draws)[:, 0]
        worth = np.zeros_like(x)
        if self.experts:
            dense = expert_worth(self.experts, float(np.exp(x[0])), float(tokens[0]), extrapolate)
            worth = np.log(draws.of("expert worth", dense))
        return {"x": x, "z": np.log(tokens), "loss": law.loss(x + worth, np.log(text)), "flops": flops}

    def epochs(self, tokens: float) -> float:
        """How often its real text is read in a run of `tokens`, all synthetic ones read; 1 where text is endless."""
        if not self.unique_tokens:
            return 1.0
        text = tokens * (1 - (self.multimodal_share.median if self.multimodal_share else 0.0))
        synthetic = self.synthetic_tokens.median if self.synthetic_tokens else 0.0
        return max(1.0, (text - synthetic) / self.unique_tokens.median)

    def _text(self, tokens: Array, draws: Draws) -> Array:
        """What so many tokens (draws + 1, k) in all are worth, in fresh tokens of text."""
        if self.multimodal_share:
            tokens = tokens * (1 - draws.of("multimodal share", self.multimodal_share)[:, None])
        if not self.unique_tokens:
            return tokens
        unique = draws.of("unique tokens", self.unique_tokens)[:, None]
        life = draws.of("repeat life", REPEAT_LIFE)[:, None]
        worth = draws.of("synthetic worth", self.synthetic_worth)[:, None]
        synthetic = np.zeros_like(tokens)
        if self.synthetic_tokens:
            first = unique * (1 + life * np.maximum(-np.log(worth), 0))  # real tokens, until a repeat is worth less
            synthetic = np.clip(tokens - first, 0, draws.of("synthetic tokens", self.synthetic_tokens)[:, None])
        real = tokens - synthetic
        repeats = np.maximum(real / unique - 1, 0)
        return np.where(real <= unique, real, unique * (1 - life * np.expm1(-repeats / life))) + worth * synthetic


def expert_worth(experts: int, active: float, tokens: float, extrapolate: bool) -> Quantity:
    """How many times its active parameters a dense model of equal loss has: the median and span of the laws of
    `plan/experts.py` that are in range. UserError where none is."""
    found = compare(active, tokens, experts, extrapolate=extrapolate)
    low, middle, high = (value / active for value in (found.low, found.dense_equivalent, found.high))
    if not np.isfinite(high):
        raise UserError(f"experts = {experts}: by a law no dense model reaches the mixture's loss; state a smaller run")
    return Quantity(middle, low, high, FACTOR)


class LossClaim(Claim):
    """Stated: `run`, one or more tables; the last is compared with the one before it."""

    kind: Literal["loss"]
    run: list[Run]
    laws: list[LawName] = ["besiroglu", "hoffmann"]
    extrapolate: bool = False

    @model_validator(mode="after")
    def _has_runs(self) -> LossClaim:
        if not self.run or not self.laws or len(set(self.laws)) < len(self.laws):
            raise ValueError("state at least one run, [[claim.run]] with flops, and each law at most once")
        return self

    def find(self, world: World) -> Finding:
        asked, draws = self.extrapolate or world.extrapolate, world.draws
        try:
            by_law = {name: self._under(Constants.of(PUBLISHED[name], draws), draws, asked) for name in self.laws}
        except UserError as error:  # no law speaks for this mixture of experts
            return Finding({}, {}, None, str(error), [], str(error))
        first = by_law[self.laws[0]]
        values = {
            name: np.concatenate([first[name], *(by_law[law][name][1:] for law in self.laws[1:])]) for name in first
        }
        runs = range(1, len(self.run) + 1)
        needs: dict = {name: [summary(values[f"{name}_{i}"]) for i in runs] for name in ("loss", "params", "tokens")}
        compared = ("total_fall", "reducible_fall", "gain")
        needs |= summaries({name: values[name] for name in compared if name in values})
        needs["by_law"] = {
            law: {name: [float(found[f"{name}_{i}"][0]) for i in runs] for name in ("loss", "params", "tokens")}
            | {name: float(found[name][0]) for name in compared if name in found}
            for law, found in by_law.items()
        }
        orders = float(np.log10(max(run.flops.median for run in self.run) / LARGEST))
        needs["orders_extrapolated"] = max(orders, 0.0)
        true = values["gain"] > 1 if "gain" in values else None
        warnings, refused = self._warnings(orders), ""
        if orders > MAX_ORDERS and not asked:
            refused = (
                f"extrapolates {orders:.1f} orders of magnitude, past the limit of {MAX_ORDERS:g}: ask with extrapolate"
            )
        epochs = max(
            run.epochs(found["tokens"][i]) for found in needs["by_law"].values() for i, run in enumerate(self.run)
        )
        if epochs > MAX_EPOCHS:
            said = f"real runs are hurt by as many as {epochs:.0f} epochs, which these laws do not show"
            warnings.append(said)
            refused = refused or (said if not asked else "")
        return Finding(values, needs, true, self._words(needs), warnings, refused)

    def _under(self, law: Constants, draws: Draws, extrapolate: bool) -> dict[str, Array]:
        found: dict[str, Array] = {}
        reached = [run.reached(law, draws, extrapolate) for run in self.run]
        for i, run in enumerate(reached, 1):
            found |= {f"loss_{i}": run["loss"], f"params_{i}": np.exp(run["x"]), f"tokens_{i}": np.exp(run["z"])}
        last = reached[-1]
        found |= {"loss": last["loss"], "params": np.exp(last["x"]), "tokens": np.exp(last["z"])}
        if len(reached) > 1:
            before = reached[-2]
            fall = before["loss"] - last["loss"]
            found["total_fall"] = fall / before["loss"]
            found["reducible_fall"] = fall / (before["loss"] - np.exp(law.e))
            found["gain"] = law.equivalent(last["loss"], last["flops"]) / law.equivalent(
                before["loss"], before["flops"]
            )
        return found

    def _warnings(self, orders: float) -> list[str]:
        warnings = []
        if orders > 0:
            warnings.append(
                f"extrapolates {orders:.1f} orders of magnitude beyond the fitted data ({LARGEST:.2g} FLOP)"
            )
        if any(run.synthetic_tokens for run in self.run):
            warnings.append("the worth of a synthetic token is a prior of this project, not a published law")
        if any(run.multimodal_share for run in self.run):
            warnings.append("the split of the token budget is an assumption (2504.07951 finds no tax); measure it")
        if any(run.experts for run in self.run):
            warnings.append(
                "the laws of mixtures disagree, and know small models; serving all experts takes more memory"
            )
        if any(run.overtraining and run.overtraining.high > 50 for run in self.run):
            warnings.append("the law was not fitted to models over-trained by more than 50 times")
        return warnings

    def _words(self, needs: dict) -> str:
        said = []
        for law, found in needs["by_law"].items():
            losses = ", ".join(
                f"{run.flops.median:.3g} FLOP → {loss:.4f}" for run, loss in zip(self.run, found["loss"], strict=True)
            )
            size, text = found["params"][-1] / 1e9, found["tokens"][-1] / 1e12
            tokens = f"the last has {size:,.4g}B parameters and {text:.3g}T tokens"
            fall = ""
            if "total_fall" in found:
                verb = "falls" if found["total_fall"] >= 0 else "rises"
                fall = (
                    f"; the reducible loss {verb} {abs(found['reducible_fall']):.1%}, the total loss "
                    f"{abs(found['total_fall']):.1%}, like {found['gain']:.3g} times the compute"
                )
            said.append(f"{law}: {losses}; {tokens}{fall}")
        return ". ".join(said)


class TextClaim(Claim):
    """Text: exhausted by a `year` (before its end), or enough for a run of `tokens` or of `flops` at the optimum."""

    kind: Literal["text"]
    year: int | None = None
    tokens: Tokens | None = None
    flops: Flops | None = None
    wall: Wall = Wall()
    extrapolate: bool = False

    @model_validator(mode="after")
    def _asks_once(self) -> TextClaim:
        if sum(part is not None for part in (self.year, self.tokens, self.flops)) != 1:
            raise ValueError("state one of year, tokens and flops")
        if self.year is not None and not 2000 <= self.year <= 2200:
            raise ValueError(f"year = {self.year}: give a calendar year such as 2026")
        return self

    def find(self, world: World) -> Finding:
        draws = world.draws
        values = {"exhaustion_year": self.wall.years(draws), "stock": self.wall.stock_draws(draws)}
        if self.year is not None:
            words = f"demand meets the stock of text in {span(values['exhaustion_year'], '.1f')}"
            return Finding(values, summaries(values), values["exhaustion_year"] < self.year + 1, words, [])
        warnings, refused, needs = [], "", {}
        if self.tokens:
            values["tokens"] = draws.of("tokens", self.tokens)
        else:
            assert self.flops
            flops = draws.of("flops", self.flops)
            optima = {
                name: flops / 6 / np.exp(Constants.of(law, draws).optimum(flops)) for name, law in PUBLISHED.items()
            }
            needs = {f"tokens_{name}": summary(optimum) for name, optimum in optima.items()}
            values["tokens"] = np.where(draws.scores("law") > 0, optima["hoffmann"], optima["besiroglu"])
            orders = float(np.log10(self.flops.median / LARGEST))
            if orders > 0:
                warnings.append(f"extrapolates {orders:.1f} orders of magnitude beyond the fitted data")
            if orders > MAX_ORDERS and not (self.extrapolate or world.extrapolate):
                refused = f"past the limit of {MAX_ORDERS:g} orders of magnitude: ask with extrapolate"
        values["share_of_stock"] = values["tokens"] / values["stock"]
        optimum = "".join(f", {name} {needs[f'tokens_{name}']['value'] / 1e12:.3g}T" for name in PUBLISHED if needs)
        share, stock = span(values["share_of_stock"], ".0%"), span(values["stock"], ".0f", 1e-12)
        tokens = span(values["tokens"], ".3g", 1e-12)
        words = f"{tokens}T tokens{optimum}, are {share} of the effective stock, {stock}T"
        true = values["tokens"] <= values["stock"]
        return Finding(values, summaries(values) | needs, true, words, warnings, refused)

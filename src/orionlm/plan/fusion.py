"""What does training on images from the start (early fusion) cost a model's text?

Shukor et al. (2504.07951, table 2) find that early-fusion models scale with the exponents of text models: no tax of
fusion has been measured. So fusion is here a split of the token budget: tokens that are images are not text. What an
image token is worth to text (`transfer`) is a number to measure; 0 by default, which is a bound from the safe side.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.overtraining import LossLaw, tokens_for


@dataclass(frozen=True)
class FusionLaw:
    """Exponents of 2504.07951: L = floor + A/N^α + B/D^β, N* ∝ C^params_power, D* ∝ C^tokens_power.

    A and B are not given there, so a law scales a known optimum and forecasts no loss by itself.
    """

    name: str
    floor: float
    alpha: float
    beta: float
    params_power: float | None
    tokens_power: float | None
    source: str = "Shukor et al. 2025, 2504.07951, table 2 (to 4B parameters and 400B tokens, recalled)"

    def optimum(self, flops: float, known_flops: float, known_params: float) -> tuple[float, float]:
        """N* and D* of a budget, carried by the powers from an optimum that is known; D* = C/6N*.

        Raises UserError past 100 times the known budget: the powers were fitted over about two orders.
        """
        for name, value in (("flops", flops), ("known_flops", known_flops), ("known_params", known_params)):
            if not (np.isfinite(value) and value > 0):
                raise UserError(f"{name} = {value}: give a positive, finite number")
        power = self.params_power or self.beta / (self.alpha + self.beta)
        if not 1 / 100 <= flops / known_flops <= 100:
            raise UserError(
                f"flops = {flops:.3g}: {flops / known_flops:.3g} times the known optimum's; the limit is 100, "
                "measure an optimum nearer to the budget"
            )
        params = known_params * (flops / known_flops) ** power
        return params, flops / 6 / params


EARLY = FusionLaw("early", 1.904, 0.301, 0.335, 0.526, 0.473)
LATE = FusionLaw("late", 1.891, 0.290, 0.338, None, None)
EARLY_EXPERTS = FusionLaw("early, mixture of experts", 2.158, 0.710, 0.372, 0.361, 0.656)


@dataclass(frozen=True)
class TextCost:
    """A fused run's text: its loss, that of the same run on text alone, and what text alone would have needed.

    `compute_share`: the part of its FLOPs with which a text-only run of the same size reaches the same text loss.
    """

    text_tokens: float
    other_tokens: float
    text_loss: float
    text_only_loss: float
    compute_share: float


def split_tokens(law: LossLaw, params: float, tokens: float, share: float, transfer: float = 0.0) -> TextCost:
    """The text loss of N = `params` trained on `tokens`, of which `share` are not text.

    `law` is any text law with predict(params, tokens); `transfer` is what one other token is worth in text tokens:
    below 0 is a tax of fusion, above 0 a gift.
    """
    for name, value in (("params", params), ("tokens", tokens)):
        if not (np.isfinite(value) and value >= 1):
            raise UserError(f"{name} = {value}: give a positive, finite number")
    if not 0 <= share < 1:
        raise UserError(f"share = {share}: give the part of tokens that is not text, from 0 to below 1")
    if not -1 <= transfer <= 1:
        raise UserError(f"transfer = {transfer}: give -1 to 1, what another token is worth to text")
    text, other = tokens * (1 - share), tokens * share
    worth = text + transfer * other
    if worth < 1:
        raise UserError(f"transfer = {transfer}: with {share:g} of the tokens not text it leaves no text at all")
    fused, plain = float(law.predict(params, worth)), float(law.predict(params, tokens))
    needed = float(tokens_for(law, params, fused)[0])
    return TextCost(text, other, fused, plain, needed / tokens)

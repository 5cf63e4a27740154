"""What is synthetic text worth, and when is it better than reading the real text again?

**A prior of this project, not a published law:** D_eff = D'(U, R) + w·S', where D' is the worth of repeated real text
(2305.16264, eq. 5) and S' that of S synthetic tokens: counted up to a cap of all tokens and saturating at a plateau P,
S' = P·(1 − e^{−S/P}). What stands behind it:

- rephrased text: w .8 (90% .3–1.2), cap 33%. Alone no faster than web text, best at about 30% of a mix (Kang et al.,
  2510.01631); textbook-style text: w .3, cap 5%, for such mixes show collapse (same source).
- P = 300B tokens: gains level off near there (Qin et al., 2503.19551).
- The next repeated token is worth e^{−R/R*}, so real text is read again until epoch 1 − R*·ln w, then synthesised.
- Writing costs 2·N FLOPs a token with a generator of N parameters; decoding uses a chip far less well than training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError
from orionlm.plan.quantity import Quantity
from orionlm.plan.repetition import effective_tokens as repeated_tokens

Array = np.ndarray
PUBLISHED_R_STAR = 15.3878
PLATEAU = 300e9
LABEL = "a prior of this project, not a published law"


@dataclass(frozen=True)
class Recipe:
    """A way of making text: what a token is worth in fresh real ones, its greatest share of all tokens, its plateau."""

    name: str
    weight: Quantity
    cap: float
    plateau: float = PLATEAU
    source: str = LABEL


REPHRASED = Recipe("rephrased", Quantity(0.8, 0.3, 1.2), 0.33)
TEXTBOOK = Recipe("textbook", Quantity(0.3, 0.1, 0.6), 0.05)
RECIPES = {recipe.name: recipe for recipe in (REPHRASED, TEXTBOOK)}


def saturated(tokens: ArrayLike, plateau: float = PLATEAU) -> Array:
    """S' = P·(1 − e^{−S/P}): what S synthetic tokens count for before their worth is weighed in."""
    return -plateau * np.expm1(-np.asarray(tokens, float) / plateau)


def effective_tokens(
    unique: ArrayLike,
    tokens_real: ArrayLike,
    synthetic: ArrayLike,
    weight: ArrayLike = 0.8,
    cap: float = 0.33,
    plateau: float = PLATEAU,
    r_star: ArrayLike = PUBLISHED_R_STAR,
) -> Array:
    """D_eff of `tokens_real` reads of `unique` real tokens and `synthetic` ones. Broadcasts; `weight` may be draws.

    Synthetic tokens past `cap` of all tokens count nothing. Raises UserError for what is not positive.
    """
    real, made, worth = (np.asarray(v, float) for v in (tokens_real, synthetic, weight))
    if not ((made >= 0) & np.isfinite(made)).all():
        raise UserError(f"synthetic = {np.min(made):g}: give 0 or more tokens")
    if not ((worth >= 0) & np.isfinite(worth)).all():
        raise UserError(f"weight = {np.min(worth):g}: give what a synthetic token is worth, 0 or more")
    if not 0 <= cap < 1 or not plateau > 0:
        raise UserError(f"cap = {cap}, plateau = {plateau}: give a cap from 0 to below 1 and a positive plateau")
    counted = np.minimum(made, cap / (1 - cap) * real)
    return repeated_tokens(real, unique, r_star) + worth * saturated(counted, plateau)


def effective_interval(
    unique: float, tokens_real: float, synthetic: float, recipe: Recipe = REPHRASED, level: float = 0.9, seed: int = 0
) -> tuple[float, float, float]:
    """Median, low and high of D_eff over the priors of the recipe's worth and of R*."""
    from orionlm.plan.repetition import R_STAR, R_STAR_SD

    rng = np.random.default_rng(seed)
    weight = recipe.weight.sample(4000, rng)
    r_star = R_STAR * np.exp(R_STAR_SD * rng.standard_normal(4000))
    value = effective_tokens(unique, tokens_real, synthetic, weight, recipe.cap, recipe.plateau, r_star)
    middle, low, high = np.quantile(value, [0.5, (1 - level) / 2, (1 + level) / 2])
    return float(middle), float(low), float(high)


def repeat_until(weight: float, r_star: float = PUBLISHED_R_STAR) -> float:
    """The epoch from which a synthetic token beats the next repeated one: 1 − R*·ln w, 1 where w ≥ 1."""
    if not (weight > 0 and np.isfinite(weight)):
        raise UserError(f"weight = {weight}: give a positive number")
    return 1 - r_star * min(float(np.log(weight)), 0.0)


def best_split(
    unique: float, tokens: float, weight: float = 0.8, cap: float = 0.33, r_star: float = PUBLISHED_R_STAR
) -> tuple[float, float]:
    """Real and synthetic tokens of a run of `tokens` with the most D_eff, on a grid of a thousandth of the cap."""
    synthetic = np.linspace(0, cap, 1001) * tokens
    worth = effective_tokens(unique, tokens - synthetic, synthetic, weight, cap, r_star=r_star)
    best = float(synthetic[int(np.argmax(worth))])
    return tokens - best, best


def generation_flops(tokens: float, generator_params: float, accepted: float = 1.0) -> float:
    """FLOPs to write `tokens` that are kept: 2·N each, over the share that is `accepted`."""
    for name, value in (("tokens", tokens), ("generator_params", generator_params)):
        if not (np.isfinite(value) and value >= 0):
            raise UserError(f"{name} = {value}: give 0 or more")
    if not 0 < accepted <= 1:
        raise UserError(f"accepted = {accepted}: give the share of written tokens that is kept, above 0 to 1")
    return 2 * generator_params * tokens / accepted

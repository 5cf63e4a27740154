"""How are several uncertain quantities drawn at once, so that changing one leaves the draws of the others alone?"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from orionlm.plan.quantity import Quantity

Array = np.ndarray


@dataclass(frozen=True)
class Draws:
    """Draws of named quantities. The first entry of every array stands at the median; `count` more are random.

    Each name has its own stream and its draws are stratified (McKay, Beckman & Conover 1979): one in each of `count`
    slices of equal probability, so that the quantiles of a single quantity are its own up to 1/count. Two questions
    that differ in one quantity share all other draws, and their difference carries no sampling noise.
    """

    count: int = 20_000
    seed: int = 0

    def scores(self, name: str) -> Array:
        """Standard normal scores (count + 1,), the first 0."""
        from scipy.special import ndtri

        rng = np.random.default_rng((self.seed, zlib.crc32(name.encode())))
        slices = (rng.permutation(self.count) + 0.5) / self.count
        return np.concatenate([[0.0], ndtri(slices)])

    def of(self, name: str, quantity: Quantity) -> Array:
        """Values (count + 1,) of a quantity, in its base unit."""
        return quantity.at(self.scores(name))


def summary(values: Array, level: float = 0.9) -> dict[str, float]:
    """`value` at the medians of all inputs, and `low` and `high`, the central interval of the random draws."""
    low, high = np.quantile(values[1:], [(1 - level) / 2, (1 + level) / 2])
    return {"value": float(values[0]), "low": float(low), "high": float(high)}

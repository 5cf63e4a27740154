"""How many parameters does a model trained at few bits still count for?

Kumar et al. (2411.04330, eq. 3): N_eff = N·(1 − e^{−P_w/γ_w})·(1 − e^{−P_a/γ_a})·(1 − e^{−P_kv/γ_kv}) for training with
weights, activations and key-value cache of P bits, γ_w = 2.6745, γ_a = 2.21 (recalled), γ_kv = .96. Fitted on models to
220M parameters at 3 to 12 bits (recalled); the interval takes each γ as known to 20%, a prior of this project.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError
from orionlm.plan.overtraining import LossLaw

Array = np.ndarray
GAMMA = {"weights": 2.6745, "activations": 2.21, "cache": 0.96}
GAMMA_SD = 0.2
FEWEST, PLAIN = 3.0, 16.0


@dataclass(frozen=True)
class Bits:
    """Bits in training of weights, activations and key-value cache. Raises UserError below 3, where no run was."""

    weights: float = PLAIN
    activations: float = PLAIN
    cache: float = PLAIN

    def __post_init__(self) -> None:
        for name in GAMMA:
            value = getattr(self, name)
            if not FEWEST <= value <= 64:
                raise UserError(f"{name} = {value} bits: the law knows 3 bits and more; give 3 to 64")


def kept(bits: Bits, gamma: dict[str, ArrayLike] | None = None) -> Array:
    """N_eff/N (2411.04330, eq. 3), an array where the γ are."""
    gamma = gamma or dict(GAMMA)
    return np.prod([-np.expm1(-getattr(bits, name) / np.asarray(gamma[name], float)) for name in GAMMA], axis=0)


def effective_params(params: float, bits: Bits) -> float:
    """N_eff of a model of `params`."""
    if not (np.isfinite(params) and params >= 1):
        raise UserError(f"params = {params}: give a positive, finite number")
    return params * float(kept(bits))


@dataclass(frozen=True)
class PrecisionLoss:
    """Loss at few bits against 16, and how many times the parameters would make up for it. 90% intervals."""

    loss: float
    low: float
    high: float
    plain_loss: float
    params_factor: float
    params_factor_low: float
    params_factor_high: float


def loss_at(law: LossLaw, params: float, tokens: float, bits: Bits, seed: int = 0) -> PrecisionLoss:
    """The loss of a run at `bits`, where `law` was fitted to runs at 16 bits: N is scaled by N_eff over that at 16."""
    effective_params(params, bits)
    rng = np.random.default_rng(seed)
    gamma: dict[str, ArrayLike] = {
        name: value * np.exp(GAMMA_SD * rng.standard_normal(1000)) for name, value in GAMMA.items()
    }
    factor = float(kept(Bits()) / kept(bits))
    spread = np.quantile(kept(Bits(), gamma) / kept(bits, gamma), [0.05, 0.95])
    loss, low, high = (float(law.predict(params / f, tokens)) for f in (factor, *spread))
    plain = float(law.predict(params, tokens))
    return PrecisionLoss(loss, low, high, plain, factor, float(spread[0]), float(spread[1]))

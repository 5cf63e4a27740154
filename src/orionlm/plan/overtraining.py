"""How far past the compute-optimal ratio should a model be trained, given how much it will serve?

- Optimum of training alone (Hoffmann et al., 2203.15556, eq. 4): N* = G·(C/6)^a, D* = (C/6)^{1−a}/G, with
  G = (αA/βB)^{1/(α+β)} and a = β/(α+β).
- Training and serving together (Sardana et al., 2401.00448, eq. 3): the least 6ND + 2N·D_inf that reaches a loss. At
  the optimum ε_N/ε_D = 1 + D_inf/(3D), where ε are the loss's falls per e-fold of N and D.
- Loss on a path of M = D/N tokens a parameter (Gadre et al., 2403.08540, eq. 4): any law here, read along that path.

A law is any object with `predict(params, tokens) -> loss`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError
from orionlm.plan.laws import Published

Array = np.ndarray
LN_TOKENS = (0.0, float(np.log(1e18)))
LN_PARAMS = (float(np.log(1e3)), float(np.log(1e16)))


class LossLaw(Protocol):
    """What this file asks of a law: the loss of a run of `params` on `tokens`, broadcast."""

    def predict(self, params: ArrayLike, tokens: ArrayLike) -> Array: ...


@dataclass(frozen=True)
class Split:
    """A model, its training tokens and what both cost in FLOPs. `extrapolation_factor` is 1 within the fitted range.

    None stands where the law does not say which compute it was fitted on.
    """

    params: float
    tokens: float
    loss: float
    training_flops: float
    inference_flops: float
    extrapolation_factor: float | None

    @property
    def ratio(self) -> float:
        """Tokens a parameter."""
        return self.tokens / self.params


def _split(law: LossLaw, params: float, tokens: float, inference_tokens: float = 0.0) -> Split:
    flops = 6 * params * tokens
    fitted = getattr(law, "fitted_flops", None)
    factor = None if fitted is None else max(1.0, float(flops / fitted[1]))
    loss = float(law.predict(params, tokens))
    return Split(float(params), float(tokens), loss, float(flops), float(2 * params * inference_tokens), factor)


def _positive(**values: float) -> None:
    for name, value in values.items():
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{name} = {value}: give a positive, finite number")


def compute_optimum(law: Published, flops: float) -> Split:
    """N* and D* of a training budget, in closed form, for laws of the shape E + A/N^α + B/D^β.

    The Besiroglu and the Hoffmann constants differ 2.5 times in D* at 2e26 FLOPs, four orders past their runs.
    """
    _positive(flops=flops)
    theta = dict(zip(law.law.parameters, law.theta, strict=True))
    if law.law.name not in ("chinchilla", "gadre"):
        raise UserError(f"law = '{law.name}': the closed form is for laws E + A/N^alpha + B/D^beta")
    beta = theta["beta"]
    alpha = theta.get("alpha", beta)
    g = (alpha * np.exp(theta["a"] - theta["b"]) / beta) ** (1 / (alpha + beta))
    share = beta / (alpha + beta)
    return _split(law, g * (flops / 6) ** share, (flops / 6) ** (1 - share) / g)


def on_path(law: LossLaw, flops: float, ratio: float) -> Split:
    """A training budget spent at `ratio` tokens a parameter: N = √(C/6M), D = √(CM/6)."""
    _positive(flops=flops, ratio=ratio)
    return _split(law, (flops / 6 / ratio) ** 0.5, (flops * ratio / 6) ** 0.5)


def tokens_for(law: LossLaw, params: ArrayLike, loss: float) -> Array:
    """Training tokens with which models of `params` (n,) reach `loss`; inf where 1e18 tokens do not."""
    params = np.atleast_1d(np.asarray(params, float))
    low, high = np.full(len(params), LN_TOKENS[0]), np.full(len(params), LN_TOKENS[1])
    reached = law.predict(params, np.exp(high)) <= loss
    for _ in range(60):
        middle = (low + high) / 2
        enough = law.predict(params, np.exp(middle)) <= loss
        low, high = np.where(enough, low, middle), np.where(enough, middle, high)
    return np.where(reached, np.exp(high), np.inf)


def inference_optimum(law: LossLaw, loss: float, inference_tokens: float) -> Split:
    """The model of least 6ND + 2N·D_inf FLOPs that reaches `loss` and then reads and writes `inference_tokens`.

    Raises UserError where no model of up to 1e16 parameters on 1e18 tokens reaches the loss.
    """
    _positive(loss=loss)
    if not (np.isfinite(inference_tokens) and inference_tokens >= 0):
        raise UserError(f"inference_tokens = {inference_tokens}: give 0 or more")
    x = np.linspace(*LN_PARAMS, 301)
    for _ in range(5):
        params = np.exp(x)
        tokens = tokens_for(law, params, loss)
        total = params * (6 * tokens + 2 * inference_tokens)
        best = int(np.argmin(total))
        if not np.isfinite(total[best]):
            raise UserError(f"loss = {loss:g}: the law reaches it at no size; ask for a higher loss")
        step = x[1] - x[0]
        x = np.linspace(max(x[best] - step, LN_PARAMS[0]), min(x[best] + step, LN_PARAMS[1]), 41)
    return _split(law, float(params[best]), float(tokens[best]), inference_tokens)


def overhead(law: LossLaw, flops: float, ratio: float) -> float:
    """How many times the least training FLOPs a run of `flops` at `ratio` tokens a parameter spends for its loss."""
    here = on_path(law, flops, ratio)
    return here.training_flops / inference_optimum(law, here.loss, 0.0).training_flops

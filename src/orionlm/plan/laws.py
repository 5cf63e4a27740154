"""Scaling laws as small objects: how loss falls with parameters N and training tokens D.

Every law here is one shape, L = E + [(A/N^α)^(1/c) + (B/D^β)^(1/c)]^c, with parts fixed, tied or left out:

- `chinchilla`  c = 1: L = E + A/N^α + B/D^β (Hoffmann et al., 2203.15556, eq. 2).
- `gadre`       c = 1, α = β: L = E + (a·M^η + b·M^−η)·C^−η with M = D/N, α = β = 2η (Gadre et al., 2403.08540, eq. 4).
- `coupled`     c = β: Kaplan's joint law over Hoffmann's floor E: the scarcer of N and D decides.
- `kaplan`      c = β, E = 0: L = [(N_c/N)^(α_N/α_D) + D_c/D]^α_D (Kaplan et al., 2001.08361, eq. 1.5).
- `data`        L = E + B/D^β, for tables at one N (Hestness et al., 1712.00409; Henighan et al., 2010.14701, eq. 1.1).
- `compute`     L = E + K/C^γ, for tables along one path of N and D (Henighan et al., 2010.14701, eq. 1.1).

A law's parameters are the logarithms of its coefficients and its plain exponents, so that log loss is a log-sum-exp.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Array = np.ndarray


@dataclass(frozen=True)
class Law:
    """A functional form. `parameters` names the entries of theta, in order; `source` is the paper and equation.

    `exponent` is (mean, standard deviation) of the prior on its exponents when little data is at hand.
    """

    name: str
    parameters: tuple[str, ...]
    source: str
    exponent: tuple[float, float] = (0.34, 0.10)

    def log_loss(self, theta: Array, x: Array, z: Array) -> tuple[Array, Array]:
        """ln L and its gradient in theta.

        theta (..., p); x = ln N and z = ln D, each (n,) → ln L (..., n), gradient (..., n, p).
        x and z may be measured from any origin: an origin only moves the log coefficients.
        """
        column = {name: theta[..., i, None] for i, name in enumerate(self.parameters)}
        gradient = np.empty((*theta.shape[:-1], len(x), theta.shape[-1]))
        slot = {name: gradient[..., i] for i, name in enumerate(self.parameters)}
        if self.name == "data":
            reducible = column["b"] - column["beta"] * z
            slopes = {"b": np.ones_like(reducible), "beta": np.broadcast_to(-z, reducible.shape)}
        elif self.name == "compute":
            reducible = column["k"] - column["gamma"] * (x + z)
            slopes = {"k": np.ones_like(reducible), "gamma": np.broadcast_to(-(x + z), reducible.shape)}
        else:
            alpha = column.get("alpha", column["beta"])
            by_params, by_tokens = column["a"] - alpha * x, column["b"] - column["beta"] * z
            # At a temperature of β the sum is Kaplan's; β is kept off zero, where the form is a maximum.
            temperature = np.maximum(column["beta"], 1e-3) if self.name in ("kaplan", "coupled") else 1.0
            gap = (by_params - by_tokens) / temperature
            share = 1 / (1 + np.exp(np.clip(-gap, -700, 700)))  # the part of the reducible loss that parameters cause
            spread = np.log1p(np.exp(-np.abs(gap)))
            reducible = np.maximum(by_params, by_tokens) + temperature * spread
            slopes = {"a": share, "b": 1 - share, "beta": -z * (1 - share)}
            if "alpha" in column:
                slopes["alpha"] = -x * share
            else:
                slopes["beta"] = slopes["beta"] - x * share
            if self.name in ("kaplan", "coupled"):
                slopes["beta"] = slopes["beta"] + spread + np.abs(gap) * np.where(gap > 0, 1 - share, share)
        if "e" not in column:
            for name, slope in slopes.items():
                slot[name][...] = slope
            return reducible, gradient
        value = np.logaddexp(reducible, column["e"])
        part = np.exp(reducible - value)
        for name, slope in slopes.items():
            slot[name][...] = part * slope
        slot["e"][...] = 1 - part
        return value, gradient

    def predict(self, theta: ArrayLike, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss at N = `params`, D = `tokens`, in the unit of the fit. theta (..., p), N and D (n,) → (..., n)."""
        params, tokens = np.broadcast_arrays(np.asarray(params, float), np.asarray(tokens, float))
        value, _ = self.log_loss(np.asarray(theta, float), np.log(params.ravel()), np.log(tokens.ravel()))
        return np.exp(value).reshape(np.shape(theta)[:-1] + params.shape)

    def moved(self, theta: Array, x0: float, z0: float) -> Array:
        """theta fitted with x and z measured from (x0, z0), restated for x = ln N and z = ln D. (..., p) → (..., p)."""
        theta = np.array(theta, float)
        column = {name: i for i, name in enumerate(self.parameters)}
        for coefficient, exponent, origin in (("a", "alpha", x0), ("b", "beta", z0), ("k", "gamma", x0 + z0)):
            if coefficient in column:
                theta[..., column[coefficient]] += theta[..., column.get(exponent, column.get("beta", 0))] * origin
        return theta


CHINCHILLA = Law("chinchilla", ("a", "b", "e", "alpha", "beta"), "Hoffmann et al. 2022, 2203.15556, eq. 2")
GADRE = Law("gadre", ("a", "b", "e", "beta"), "Gadre et al. 2024, 2403.08540, eq. 4")
COUPLED = Law(
    "coupled",
    ("a", "b", "e", "alpha", "beta"),
    "Kaplan et al. 2020, 2001.08361, eq. 1.5, over the floor of 2203.15556, eq. 2",
)
KAPLAN = Law("kaplan", ("a", "b", "alpha", "beta"), "Kaplan et al. 2020, 2001.08361, eq. 1.5", (0.12, 0.06))
DATA = Law("data", ("b", "e", "beta"), "Hestness et al. 2017, 1712.00409; Henighan et al. 2020, 2010.14701, eq. 1.1")
COMPUTE = Law("compute", ("k", "e", "gamma"), "Henighan et al. 2020, 2010.14701, eq. 1.1", (0.18, 0.06))

LAWS = {law.name: law for law in (CHINCHILLA, GADRE, COUPLED, KAPLAN, DATA, COMPUTE)}
JOINT = ("chinchilla", "gadre", "coupled", "kaplan")


# How far the constants of the joint law are known: standard deviations and correlations of (ln A − 16.76 α,
# ln B − 20.43 β, ln E, α, β) over 2,000 bootstrap refits of the 240 published points by the method of 2404.10102, whose
# intervals leave unsaid how they go together.
PIVOT = (16.76, 20.43)
SPREAD = np.array([0.00925, 0.01086, 0.0141, 0.01514, 0.01969])
CORRELATION = np.array(
    [
        [1.0, -0.479, 0.171, -0.002, 0.292],
        [-0.479, 1.0, 0.093, 0.244, -0.004],
        [0.171, 0.093, 1.0, 0.614, 0.605],
        [-0.002, 0.244, 0.614, 1.0, -0.232],
        [0.292, -0.004, 0.605, -0.232, 1.0],
    ]
)


@dataclass(frozen=True)
class Published:
    """A law with the constants its authors give. `fitted_flops` is the range of compute it was fitted on."""

    name: str
    law: Law
    theta: tuple[float, ...]
    source: str
    fitted_flops: tuple[float, float]

    def predict(self, params: ArrayLike, tokens: ArrayLike) -> Array:
        """Loss in nats per token at N = `params` and D = `tokens`, broadcast against each other."""
        return self.law.predict(self.theta, params, tokens)

    def varied(self, scores: Array) -> Array:
        """theta (n, 5) at standard normal scores (n, 5), as far off the constants as the runs leave them uncertain.

        Hoffmann et al.'s own intervals are far too narrow (2404.10102, §3.2): both laws carry the spread of the refit.
        """
        move = scores @ np.linalg.cholesky(CORRELATION).T * SPREAD
        move[:, 0] += PIVOT[0] * move[:, 3]
        move[:, 1] += PIVOT[1] * move[:, 4]
        return np.array(self.theta) + move


# Of the 245 published points behind both (2404.10102): the largest is 1.30e22, all but two lie below 3.3e21.
FITTED_FLOPS = (6e18, 1.3e22)

HOFFMANN = Published(
    "hoffmann",
    CHINCHILLA,
    (6.0073404, 6.0179186, 0.5267228, 0.33917084, 0.2849083),
    "Hoffmann et al. 2022, 2203.15556, approach 3, unrounded",
    FITTED_FLOPS,
)
BESIROGLU = Published(
    "besiroglu",
    CHINCHILLA,
    (float(np.log(482.01)), float(np.log(2085.43)), float(np.log(1.8172)), 0.3478, 0.3658),
    "Besiroglu et al. 2024, 2404.10102, eq. 3",
    FITTED_FLOPS,
)
PUBLISHED = {published.name: published for published in (BESIROGLU, HOFFMANN)}

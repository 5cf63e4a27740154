"""Draws from a low-dimensional posterior with ridges, and its normalising constant: population Monte Carlo."""

from __future__ import annotations

from collections.abc import Callable
from math import lgamma, log, pi

import numpy as np

Array = np.ndarray
POWER = 5  # of the Student-t kernels: (1 + distance²/ν)^−5, so ν = 10 − p
WIDE, STRETCH = 0.2, 3.0  # a share of wider proposals keeps single draws from holding all the weight
CENTRES = 250


def log_proposal(theta: Array, centres: Array, inverse: Array) -> Array:
    """Log density (m,) at theta (m, p) of an even mixture of Student-t around centres (k, p), a share of it stretched.

    inverse (k, p, p), or (1, p, p) for all: inverse Cholesky factors of the scale matrices.
    """
    width = theta.shape[1]
    tail = 2 * POWER - width
    if len(inverse) == 1:
        u, v = theta @ inverse[0].T, centres @ inverse[0].T
        distance = np.maximum((v**2).sum(-1)[:, None] + (u**2).sum(-1) - 2 * v @ u.T, 0)
    else:
        distance = (((theta - centres[:, None]) @ inverse.swapaxes(-1, -2)) ** 2).sum(-1)
    scale = np.diagonal(inverse, axis1=1, axis2=2).prod(-1)[:, None]
    narrow, wide = 1 + distance / tail, 1 + distance / (tail * STRETCH**2)
    for kernel in (narrow, wide):
        square = kernel * kernel
        kernel *= square * square
    density = (scale * ((1 - WIDE) / narrow + WIDE / STRETCH**width / wide)).mean(0)
    return np.log(density) + lgamma(POWER) - lgamma(tail / 2) - width / 2 * log(tail * pi)


def population(
    log_target: Callable[[Array], Array],
    centres: Array,
    factor: Array,
    count: int,
    rounds: int,
    rng: np.random.Generator,
) -> tuple[Array, Array, float]:
    """Weighted draws of exp(log_target) and the log of its integral, in at most 9 dimensions.

    Round one proposes around the given centres (k, p) with Cholesky scale factors (k, p, p); each later round proposes
    around draws of the round before, with a kernel as narrow as their number allows, so that ridges are followed
    (Cappé et al. 2004, "Population Monte Carlo"; West 1993 for the kernels), until the weights are worth a tenth of the
    draws. Returns the last round's theta (count, p), weights (count,) that sum to 1, and the log integral.
    """
    width = centres.shape[1]
    tail = 2 * POWER - width
    for last in [False] * (rounds - 1) + [True]:
        home = rng.permutation(np.arange(count) % len(centres))
        radius = np.where(rng.random(count) < WIDE, STRETCH, 1.0) * np.sqrt(tail / rng.chisquare(tail, count))
        which = factor[home] if len(factor) > 1 else factor
        theta = centres[home] + radius[:, None] * (which @ rng.standard_normal((count, width, 1)))[..., 0]
        log_weight = log_target(theta) - log_proposal(theta, centres, np.linalg.inv(factor))
        top = log_weight.max()
        weight = np.exp(log_weight - top)
        integral = float(top + np.log(weight.mean()))
        weight /= weight.sum()
        if last or 1 / (weight**2).sum() > count / 10:
            break
        # Few draws may hold all the weight early on: temper until a fair number take part.
        tempered, power = weight, 1.0
        while 1 / (tempered**2).sum() < count / 10 and power > 0.01:
            power *= 0.8
            tempered = np.exp(power * (log_weight - top))
            tempered /= tempered.sum()
        centred = theta - tempered @ theta
        spread = (centred * tempered[:, None]).T @ centred
        centres = theta[systematic(tempered, CENTRES, rng)]
        bandwidth = (4 / (CENTRES * (width + 2))) ** (1 / (width + 4))
        factor = bandwidth * np.linalg.cholesky(spread + 1e-12 * np.trace(spread) * np.eye(width))[None]
    return theta, weight, integral


def systematic(weight: Array, count: int, rng: np.random.Generator) -> Array:
    """`count` indices drawn in proportion to weight, as evenly as can be (Kitagawa 1996)."""
    return np.searchsorted(np.cumsum(weight), (np.arange(count) + rng.random()) / count).clip(max=len(weight) - 1)

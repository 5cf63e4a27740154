"""How many different texts is a set worth? The Vendi score (Friedman & Dieng 2210.02410).

exp(−Σ λᵢ ln λᵢ), λ the eigenvalues of K/n, K the similarities with ones on the diagonal: n where no two rows are alike,
1 where all are the same.
"""

from __future__ import annotations

import math

import numpy as np

from orionlm.synth.measures.estimate import Estimate, quantile, unknown, usable

Array = np.ndarray
_NONE = 1e-12


def vendi_of(kernel: Array) -> float:
    """Of a matrix of similarities (n, n), symmetric, with ones on the diagonal."""
    kernel = np.asarray(kernel, float)
    if not len(kernel) or not np.isfinite(kernel).all():
        return math.nan
    size = np.linalg.eigvalsh(kernel / len(kernel))
    size = size[size > _NONE]
    return float(np.exp(-(size * np.log(size)).sum()))


def vendi(x: Array) -> Estimate:
    """Of rows (n, d) by the cosine of each two: K/n and XᵀX/n share their eigenvalues, so n may be large.

    Rows of zeros are alike among themselves and unlike all others. It grows with n up to d: compare at the same n. The
    interval: a row's first-order influence on the entropy is −xᵀ ln(XᵀX/n) x.
    """
    x = usable(x)
    n = len(x)
    if n < 2:
        return unknown(n)
    length = np.linalg.norm(x, axis=1, keepdims=True)
    x = np.concatenate([np.divide(x, length, out=np.zeros_like(x), where=length > _NONE), length <= _NONE], 1)
    size, vectors = np.linalg.eigh(x.T @ x / n)
    size, vectors = size[size > _NONE], vectors[:, size > _NONE]
    influence = -((x @ vectors) ** 2 @ np.log(size))
    half = quantile(n - 1) * float(influence.std(ddof=1)) / math.sqrt(n)
    entropy = float(influence.mean())  # Σ λ ln λ again: the rows' influences average to it
    most = min(n, x.shape[1])
    return Estimate(
        math.exp(entropy), max(1.0, math.exp(entropy - half)), min(float(most), math.exp(entropy + half)), n
    )

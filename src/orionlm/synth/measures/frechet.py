"""How far apart are two clouds of embedded texts, in mean and spread? The Fréchet distance (Heusel et al. 1706.08500).

‖μ₁ − μ₂‖² + Tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½): the squared 2-Wasserstein distance of two normal distributions with these moments.
"""

from __future__ import annotations

import numpy as np

from orionlm.synth.measures.estimate import Estimate, around, unknown, usable

Array = np.ndarray


def frechet_of(mean_a: Array, covariance_a: Array, mean_b: Array, covariance_b: Array) -> float:
    """Tr (Σ₁Σ₂)^½ is the sum of the roots of the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric."""
    size, vectors = np.linalg.eigh(np.atleast_2d(covariance_a))
    root = (vectors * np.sqrt(np.maximum(size, 0))) @ vectors.T
    crossed = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ np.atleast_2d(covariance_b) @ root), 0)).sum()
    shift = np.asarray(mean_a, float) - np.asarray(mean_b, float)
    return float(max(0.0, shift @ shift + np.trace(np.atleast_2d(covariance_a + covariance_b)) - 2 * crossed))


def frechet(x: Array, y: Array, draws: int = 100, seed: int = 0) -> Estimate:
    """Of rows (n, d) and (m, d). Two samples of one distribution are not at 0: compare with real against real at the
    same n (Chong & Forsyth 1911.07023). The interval is of this estimator at this n, by bootstrap of the rows; it
    stands about the value, for resamples lie further apart than the samples."""
    x, y = usable(x), usable(y)
    n = min(len(x), len(y))
    if n < 2:
        return unknown(n)
    rng = np.random.default_rng(seed)
    again = [
        frechet_of(
            *_moments(x, rng.multinomial(len(x), np.full(len(x), 1 / len(x)))),
            *_moments(y, rng.multinomial(len(y), np.full(len(y), 1 / len(y)))),
        )
        for _ in range(draws)
    ]
    value = frechet_of(*_moments(x, np.ones(len(x))), *_moments(y, np.ones(len(y))))
    return around(value, float(np.std(again, ddof=1)), n, 0.0)


def _moments(x: Array, times: Array) -> tuple[Array, Array]:
    """Mean (d,) and covariance (d, d) of rows that each stand there so many times."""
    total = times.sum()
    mean = times @ x / total
    centred = x - mean
    return mean, (centred * times[:, None]).T @ centred / (total - 1)

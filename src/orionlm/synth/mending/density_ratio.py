"""Which synthetic rows make a set that the classifier cannot tell from real? Rejection sampling by the density ratio.

w = D/(1 − D) · n_synthetic/n_real, D the probability of being real from a classifier trained on n_real and n_synthetic
rows: p_real(x)/p_synthetic(x) by Bayes (Sugiyama et al. 2012, §4; Azadi et al. 1810.06758 reject by it).
"""

from __future__ import annotations

import numpy as np

from orionlm.synth.measures.two_sample import TwoSample
from orionlm.synth.mending.kept import Kept, everything

Array = np.ndarray
CEILING = 0.95


def weights(probability_real: Array, n_real: int, n_synthetic: int) -> Array:
    """w (n,) of each synthetic row; infinite where D = 1."""
    d = np.asarray(probability_real, float)
    with np.errstate(divide="ignore"):
        return d / (1 - d) * (n_synthetic / n_real)


def reject(found: TwoSample, seed: int = 0, ceiling: float = CEILING) -> Kept:
    """Each row stays with probability w/M, M the weights' `ceiling` quantile: what lies above it stays for certain, or
    one row that looks very real would empty the set. Where the classifier cannot tell, everything stays."""
    n = found.n_synthetic
    if not found.auc.known:
        return everything(n, "too few rows for a classifier")
    if not found.tells:
        return everything(n, f"AUC {found.auc.value:.2f} is not credibly above .5, there is nothing to filter by")
    w = weights(found.probability_real, found.n_real, n)
    measured = np.isfinite(found.probability_real)
    most = float(np.quantile(w[measured], ceiling, method="lower")) if measured.any() else 0.0
    if most <= 0:
        return everything(n, "no row has any weight")
    share = np.where(measured, np.minimum(w / most, 1), 0) if np.isfinite(most) else np.where(np.isinf(w), 1.0, 0.0)
    rows = np.flatnonzero(np.random.default_rng(seed).random(n) < share)
    return Kept(rows, n, f"{len(rows)} of {n} rows stay by density ratio, AUC {found.auc.value:.2f}")

"""Can a classifier tell synthetic text from real? The classifier two-sample test, held out by document.

Lopez-Paz & Oquab 1610.06545: train on part of both samples, test on the rest; what it gets right beyond one half is a
difference. Rows that share a document (real rows their own, synthetic rows their seeds) are never on both sides, or it
learns documents and not the difference. Both classes weigh the same, and rows are ranked within a fold only: a held-out
fold tilts its training set the other way, and pooled ranks would fall below one half by that alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, diags
from scipy.sparse.csgraph import connected_components
from scipy.special import expit

from orionlm.synth.measures.estimate import Estimate, of_share, unknown
from orionlm.synth.measures.grams import hashed_counts

Array = np.ndarray
Groups = Sequence[str | Sequence[str]]
BUCKETS = 1 << 15
FOLDS = 5
PENALTY = 1.0  # λ/2·‖w‖² against the summed loss, rows of unit length
LEAST = 5  # rows a side


@dataclass(frozen=True)
class TwoSample:
    """`auc` and `accuracy` (both classes weighing the same) are .5 where nothing can be told; their n counts groups.

    `probability_real` (n_synthetic,) is how likely each synthetic row is real, by a model that saw none of its group,
    at the samples' own sizes (a real row's prior is n_real/(n_real + n_synthetic)); nan where it could not be measured.
    `probability_real_of_real` (n_real,): the same for the real rows.
    """

    auc: Estimate
    accuracy: Estimate
    probability_real: Array
    probability_real_of_real: Array
    n_real: int
    n_synthetic: int

    @property
    def tells(self) -> bool:
        """Is the AUC credibly above one half? If not, there is nothing to filter by."""
        return self.auc.low > 0.5


def two_sample(
    real: Sequence[str],
    synthetic: Sequence[str],
    real_groups: Groups | None = None,
    synthetic_groups: Groups | None = None,
    folds: int = FOLDS,
    seed: int = 0,
    features: csr_matrix | None = None,
) -> TwoSample:
    """Logistic regression on (1 + ln count) of hashed uni- and bigrams, cross-fitted over groups of documents.

    A group is an id or several; rows that share any id, directly or through others, lie in one fold. `features` are the
    counts of real + synthetic where the caller has them. Intervals: the groups are the draws (Obuchowski 1997 for the
    AUC), Wilson's with as many draws as give that error.
    """
    n_real, n = len(real), len(real) + len(synthetic)
    least = min(n_real, n - n_real)
    if least < LEAST:
        nothing = np.full(n, math.nan)
        return TwoSample(unknown(least), unknown(least), nothing[n_real:], nothing[:n_real], n_real, n - n_real)
    is_real = np.arange(n) < n_real
    groups = grouped([*_ids(real_groups, n_real, "real"), *_ids(synthetic_groups, n - n_real, "synthetic")])
    fold = _folds(groups, is_real, folds, seed)
    rows = _unit(hashed_counts([*real, *synthetic], BUCKETS) if features is None else features)
    score = np.full(n, math.nan)  # log odds of real, both classes weighing the same
    for each in range(folds):
        train, test = fold != each, fold == each
        if test.any() and train[:n_real].any() and train[n_real:].any():
            weights, intercept = _fit(rows[train], is_real[train])
            score[test] = rows[test] @ weights + intercept
    probability = expit(_calibrated(score, is_real) + math.log(n_real / (n - n_real)))
    return TwoSample(
        _auc(score, is_real, fold, groups),
        _accuracy(score, is_real, groups),
        probability[n_real:],
        probability[:n_real],
        n_real,
        n - n_real,
    )


def grouped(ids: Sequence[Sequence[str]]) -> Array:
    """The group (n,) of each row: rows that share an id, or are joined by rows that do; without an id alone."""
    known: dict[str, int] = {}
    owner = np.repeat(np.arange(len(ids)), [len(own) for own in ids])
    named = np.array([known.setdefault(name, len(known)) for own in ids for name in own], np.int64)
    size = len(ids) + len(known)
    joined = csr_matrix((np.ones(len(owner)), (owner, len(ids) + named)), (size, size))
    return connected_components(joined, directed=False)[1][: len(ids)]


def _ids(groups: Groups | None, n: int, side: str) -> list[Sequence[str]]:
    if groups is None:
        return [()] * n
    assert len(groups) == n, f"{side}: {len(groups)} groups of {n} rows"
    return [(each,) if isinstance(each, str) else tuple(each) for each in groups]


def _folds(groups: Array, is_real: Array, folds: int, seed: int) -> Array:
    """Groups into folds, the largest first, each where its classes are scarcest."""
    _, group = np.unique(groups, return_inverse=True)
    sizes = np.stack([np.bincount(group, side) / max(side.sum(), 1) for side in (is_real, ~is_real)], 1)
    shuffled = np.random.default_rng(seed).permutation(len(sizes))
    order = shuffled[np.argsort(-sizes[shuffled].max(1), kind="stable")]
    load = np.zeros((folds, 2))
    place = np.zeros(len(sizes), np.int64)
    for each in order:
        place[each] = np.argmin(load @ sizes[each])
        load[place[each]] += sizes[each]
    return place[group]


def _unit(counts: csr_matrix) -> csr_matrix:
    rows = csr_matrix(counts[:, np.flatnonzero(counts.getnnz(0))], dtype=float)
    rows.data = 1 + np.log(rows.data)
    length = np.sqrt(np.asarray(rows.multiply(rows).sum(1)).ravel())
    return csr_matrix(diags(np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)) @ rows)


def _fit(rows: csr_matrix, is_real: Array) -> tuple[Array, float]:
    """Weights and intercept; each class counts half, together as many as there are rows."""
    n, features = rows.shape
    sign = np.where(is_real, 1.0, -1.0)
    weight = np.where(is_real, n / 2 / is_real.sum(), n / 2 / (~is_real).sum())
    columns = rows.T.tocsr()

    def loss(at: Array) -> tuple[float, Array]:
        margin = sign * (rows @ at[:-1] + at[-1])
        pull = -weight * sign * expit(-margin)
        value = weight @ np.logaddexp(0, -margin) + PENALTY / 2 * (at[:-1] @ at[:-1])
        return value, np.append(columns @ pull + PENALTY * at[:-1], pull.sum())

    found = minimize(loss, np.zeros(features + 1), jac=True, method="L-BFGS-B", options={"maxiter": 200}).x
    return found[:-1], float(found[-1])


def _calibrated(score: Array, is_real: Array) -> Array:
    """Log odds that hold on rows not trained on (Platt 1999): a·score + b, fitted to the held-out scores, a ≥ 0.

    Where documents are few, scores of ±2 may mean nothing; the weights drawn from them would then be noise.
    """
    known = np.isfinite(score)
    if not (is_real[known].any() and (~is_real[known]).any()):
        return score
    slope, level = _fit(csr_matrix(score[known, None]), is_real[known])
    return score * slope[0] + level if slope[0] > 0 else score * 0.0


def _auc(score: Array, is_real: Array, fold: Array, groups: Array) -> Estimate:
    """Folds' areas by their pairs; a row's influence is how it ranks against the other class of its fold."""
    measured = [fold == each for each in np.unique(fold[np.isfinite(score)])]
    measured = [here for here in measured if is_real[here].any() and not is_real[here].all()]
    if not measured:
        return unknown(0)
    pairs = np.array([is_real[here].sum() * (~is_real[here]).sum() for here in measured], float)
    weights = pairs / pairs.sum()
    value = 0.0
    placements = np.full(len(score), math.nan)
    share = np.zeros(len(score))
    for weight, here in zip(weights, measured, strict=True):
        a, b = np.flatnonzero(here & is_real), np.flatnonzero(here & ~is_real)
        placements[a], placements[b] = _placement(score[a], score[b]), 1 - _placement(score[b], score[a])
        share[a], share[b] = weight / len(a), weight / len(b)
        value += float(weight * placements[a].mean())
    # About the value of all folds, not of its own: a document that fills a fold would else not stray at all.
    return _clustered(value, np.where(share > 0, share * (placements - value), 0.0), groups, is_real)


def _placement(score: Array, others: Array) -> Array:
    """The share of `others` that each score exceeds, ties counting half."""
    others = np.sort(others)
    return (np.searchsorted(others, score, "left") + np.searchsorted(others, score, "right")) / (2 * len(others))


def _accuracy(score: Array, is_real: Array, groups: Array) -> Estimate:
    measured = np.isfinite(score)
    sides = (measured & is_real, measured & ~is_real)
    if not all(side.any() for side in sides):
        return unknown(0)
    right = np.where(score == 0, 0.5, (score > 0) == is_real)
    influence = np.zeros(len(score))
    for side in sides:
        influence[side] = (right[side] - right[side].mean()) / (2 * side.sum())
    return _clustered(float(np.mean([right[side].mean() for side in sides])), influence, groups, is_real)


def _clustered(value: float, influence: Array, groups: Array, is_real: Array) -> Estimate:
    """No more draws than the smaller side has groups: scores of one fold share a model, which the influences leave out
    (with 10 rows a side of one kind, that keeps `low` above .5 in 3.5% of draws; 8.5% without)."""
    summed = np.bincount(groups, influence)
    clusters = len(np.unique(groups))
    error = math.sqrt(clusters / (clusters - 1) * float(summed @ summed)) if clusters > 1 else math.nan
    return of_share(value, error, min(len(np.unique(groups[side])) for side in (is_real, ~is_real)), clusters - 1)

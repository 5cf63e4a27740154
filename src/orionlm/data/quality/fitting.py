"""Can a user's good examples be told from their bad ones, and by which weights?

Held-out scores come from five folds over groups: what is judged was never fitted on, nor was anything of its group, so
a model that only learned its documents shows itself. The model is the mean of the five, so that its scores lie as the
held-out ones did. Fitting needs scikit-learn; using a model does not.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from orionlm.data.documents import Document
from orionlm.data.ingest.quarantine import Quarantine
from orionlm.data.ingest.sources import Files, Rows
from orionlm.data.quality.classifier import BITS, Model, hashed, save
from orionlm.errors import UserError

FOLDS = 5
LEAST = 20
MOST = 10_000
TOLERATED = 0.01
ROWS = {".jsonl", ".ndjson", ".json", ".parquet", ".pq"}
SCALE, STRENGTH = 30.0, 10.0  # shares of 5-grams are small numbers; how little the weights are held back
Z = 1.959964

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def fit_files(
    good: Sequence[str], bad: Sequence[str], out: Path, text_field: str = "text", group_field: str | None = None
) -> Model:
    """Fit on files, given as globs, and save the model into `out`.

    Rows (.jsonl, .parquet, …) have `text_field`, and `group_field` where some stay together; else a file is a document.
    """
    model = fit(_read("good", good, text_field, group_field), _read("bad", bad, text_field, group_field))
    save(model, out)
    return model


def fit(good: Sequence[Document], bad: Sequence[Document]) -> Model:
    """At most 10,000 of each, drawn by the hash of their text; the same text twice is one, on both sides none."""
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise UserError("fitting needs scikit-learn: pip install 'orion-lm[data]'") from None
    sides = [_distinct(good), _distinct(bad)]
    both = sides[0].keys() & sides[1].keys()
    drawn = [[side[key] for key in sorted(side) if key not in both][:MOST] for side in sides]
    for name, side in zip(("good", "bad"), drawn, strict=True):
        parts = len({document.group for document in side})
        if len(side) < LEAST or parts < FOLDS:
            raise UserError(
                f"{name}: {len(side)} different documents in {parts} groups; at least {LEAST} in {FOLDS} are needed"
            )
    documents = drawn[0] + drawn[1]
    labels = np.repeat([1, 0], [len(drawn[0]), len(drawn[1])])
    groups = [document.group for document in documents]
    used, features = _matrix(documents)

    folds = _folds(groups, labels)
    scores = np.zeros(len(labels))
    weights, intercept = np.zeros(1 << BITS), 0.0
    for fold in range(FOLDS):
        others, held_out = folds != fold, folds == fold
        regression = LogisticRegression(C=STRENGTH, max_iter=300, class_weight="balanced")
        regression.fit(features[others], labels[others])
        scores[held_out] = regression.decision_function(features[held_out])
        weights[used] += regression.coef_[0] * SCALE / FOLDS
        intercept += float(regression.intercept_[0]) / FOLDS
    bad_scores = 1 / (1 + np.exp(-scores[labels == 0]))
    return Model(
        weights=weights.astype(np.float32),
        intercept=intercept,
        auc=auc(scores, labels, folds, groups),
        bad_scores=[round(float(score), 6) for score in np.quantile(bad_scores, np.linspace(0, 1, 101))],
        good=len(drawn[0]),
        bad=len(drawn[1]),
    )


def auc(scores: Floats, labels: Ints, folds: Ints, groups: Sequence[str]) -> tuple[float, float, float]:
    """The chance that a good document scores above a bad one of the same fold, with its 95% interval.

    The variance is DeLong's (1988) with the groups as units (Obuchowski 1997), times 1 + folds · held out / fitted on,
    because the folds' models share most of what they were fitted on (Nadeau and Bengio 2003). Wilson's interval (1927)
    at the sample size that this variance amounts to keeps it inside [0, 1].
    """
    placement = np.zeros(len(scores))
    for fold in np.unique(folds):
        here = folds == fold
        good, bad = here & (labels == 1), here & (labels == 0)
        placement[good] = _below(scores[good], scores[bad])
        placement[bad] = 1 - _below(scores[bad], scores[good])
    sizes = np.where(labels == 1, (labels == 1).sum(), (labels == 0).sum())
    value = float(placement[labels == 1].mean())
    centre = np.where(labels == 1, value, placement[labels == 0].mean())
    _, unit = np.unique(np.asarray(groups), return_inverse=True)
    sums = np.bincount(unit, weights=(placement - centre) / sizes)
    variance = float(len(sums) / (len(sums) - 1) * (sums**2).sum()) * (1 + FOLDS / (FOLDS - 1))
    least = min(len(set(unit[labels == 1])), len(set(unit[labels == 0])))
    size = value * (1 - value) / variance if variance > 0 and 0 < value < 1 else float(least)
    middle = (value + Z**2 / (2 * size)) / (1 + Z**2 / size)
    half = Z * math.sqrt(value * (1 - value) / size + (Z / (2 * size)) ** 2) / (1 + Z**2 / size)
    return value, max(0.0, middle - half), min(1.0, middle + half)


def _below(scores: Floats, others: Floats) -> Floats:
    """For each score the share of the others below it, ties by half."""
    ordered = np.sort(others)
    return (np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")) / (2 * len(ordered))


def _folds(groups: Sequence[str], labels: Ints) -> Ints:
    """A fold for every document, whole groups together, each fold with some of both labels where that can be."""
    members: dict[str, list[int]] = defaultdict(list)
    for number, group in enumerate(groups):
        members[group].append(number)
    held = np.zeros((FOLDS, 2))
    folds = np.zeros(len(groups), np.int64)
    for group in sorted(members, key=lambda group: (-len(members[group]), hashlib.sha256(group.encode()).digest())):
        counts = np.bincount(labels[members[group]], minlength=2)
        fold = int(np.argmin(held @ counts))
        folds[members[group]] = fold
        held[fold] += counts
    for label, name in ((1, "good"), (0, "bad")):
        if (held[:, label] == 0).any():
            raise UserError(f"{name}: its documents lie in too few groups to hold some out; give more groups")
    return folds


def _matrix(documents: Sequence[Document]) -> tuple[Ints, Any]:
    """Which hashed 5-grams occur, and their shares times `SCALE`, one row a document."""
    from scipy.sparse import csr_matrix

    columns, values, ends = [], [], [0]
    for document in documents:
        found, counts = np.unique(hashed(document.text), return_counts=True)
        columns.append(found)
        values.append((counts * (SCALE / max(counts.sum(), 1))).astype(np.float32))
        ends.append(ends[-1] + len(found))
    used, column = np.unique(np.concatenate(columns), return_inverse=True)
    return used, csr_matrix((np.concatenate(values), column, ends), shape=(len(documents), len(used)))


def _distinct(documents: Sequence[Document]) -> dict[bytes, Document]:
    return {hashlib.sha256(document.text.strip().encode()).digest(): document for document in reversed(documents)}


def _read(side: str, patterns: Sequence[str], text_field: str, group_field: str | None) -> list[Document]:
    rows = tuple(pattern for pattern in patterns if ROWS.intersection(Path(pattern).suffixes))
    files = tuple(pattern for pattern in patterns if pattern not in rows)
    sources: list[Rows | Files] = []
    if rows:
        sources.append(Rows(rows=rows, text_field=text_field, group_field=group_field))
    if files:
        sources.append(Files(files=files))
    quarantine = Quarantine()
    documents = [
        document for source in sources for unit in source.units() for document in source.documents(unit, quarantine)
    ]
    for reason, count in quarantine.counts.items():
        if count > TOLERATED * (len(documents) + count):
            raise UserError(f"{side}: {count:,} documents are unusable ({reason}), first {quarantine.first[reason][0]}")
    return documents

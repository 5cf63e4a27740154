"""Which synthetic rows make a set whose words are the real text's? Importance resampling (DSIR, Xie et al. 2302.03169).

log w(x) = Σⱼ nⱼ(x)·[log p_target(j) − log p_raw(j)] over hashed uni- and bigrams, and top-k of log w + Gumbel noise,
which draws k rows without replacement in proportion to w.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orionlm.synth.measures.grams import BUCKETS, hashed_counts
from orionlm.synth.mending.kept import Kept, everything

Array = np.ndarray
SMOOTHING = 1.0


@dataclass(frozen=True)
class Importance:
    """`log_ratio` (buckets,): log p_target(j) − log p_raw(j)."""

    log_ratio: Array

    @classmethod
    def fit(
        cls, target: Sequence[str], raw: Sequence[str], buckets: int = BUCKETS, smoothing: float = SMOOTHING
    ) -> Importance:
        hits = [np.asarray(hashed_counts(texts, buckets).sum(0)).ravel() for texts in (target, raw)]
        return cls.of_counts(hits[0], hits[1], smoothing)

    @classmethod
    def of_counts(cls, target: Array, raw: Array, smoothing: float = SMOOTHING) -> Importance:
        """From how often each bucket is hit: p(j) = (Nⱼ + a)/(N + a·buckets).

        The paper's code adds 1e-8 to each p instead: beside billions of n-grams nothing, but in sets of a few hundred
        rows every bucket that one side lacks would count for 18 nats and outweigh all the rest.
        """
        p_target, p_raw = ((n + smoothing) / (n.sum() + smoothing * len(n)) for n in np.asarray([target, raw], float))
        return cls(np.log(p_target) - np.log(p_raw))

    def log_weights(self, texts: Sequence[str]) -> Array:
        """log w of each text (n,); without words w = 1. A sum over words: long texts go to extremes."""
        return hashed_counts(texts, len(self.log_ratio)) @ self.log_ratio


def gumbel_top_k(log_weights: Array, k: int, seed: int = 0) -> Array:
    """k rows, ascending, without replacement: each next one in proportion to the weights left (Yellott 1977). A weight
    of 0, or that is no number, is never drawn."""
    log_weights = np.asarray(log_weights, float)
    noisy = log_weights + np.random.default_rng(seed).gumbel(size=len(log_weights))
    can = np.flatnonzero(np.isfinite(noisy))
    return np.sort(can[np.argsort(-noisy[can], kind="stable")[: max(k, 0)]])


def resample(texts: Sequence[str], target: Sequence[str], keep: int, seed: int = 0) -> Kept:
    """`keep` of the texts, as `target` is. Fit and judge on different real text: what was used here cannot judge it."""
    if not any(each.strip() for each in target):
        return everything(len(texts), "no real text to resample towards")
    if keep >= len(texts):
        return everything(len(texts), f"{keep} were to be kept")
    rows = gumbel_top_k(Importance.fit(target, texts).log_weights(texts), keep, seed)
    return Kept(rows, len(texts), f"{len(rows)} of {len(texts)} rows drawn by importance of their words")

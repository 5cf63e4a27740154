"""What does compute at inference buy, and how much training is it worth?

- Coverage, the chance that one of k samples is right, follows e^{a·k^b} with a, b < 0 (Brown et al., 2407.21787, §3;
  used by Snell et al., 2408.03314, who spend samples over 4 times better than best-of-N by adapting to the question).
  It bounds what sampling can give: to pick the right sample needs a verifier.
- Training against inference (Epoch AI, "Trading off compute in training and inference", 2023): 1 order of magnitude
  of training ↔ 1–2 of inference, 2 ↔ 2–3, and 3–4 ↔ 5–6 only where answers are cheap to verify.
- Reinforcement learning: R − R0 = (A − R0)/(1 + (C_mid/C)^B) (Khatri et al., 2510.13786, eq. 1).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError

Array = np.ndarray
MAX_FACTOR = 16.0
TRADE = ((0.0, 0.0, 0.0), (1.0, 1.0, 2.0), (2.0, 2.0, 3.0), (3.0, 5.0, 6.0), (4.0, 5.0, 6.0))


def inference_for_training(orders: float, cheap_verification: bool = False) -> tuple[float, float]:
    """Orders of magnitude of inference compute, low and high, that stand in for `orders` of training compute.

    Raises UserError past 2 without cheap verification, and past 4, where nothing was measured.
    """
    limit = 4.0 if cheap_verification else 2.0
    if not 0 <= orders <= limit:
        mend = "give 0 to 4" if cheap_verification else "give 0 to 2, or say that answers are cheap to verify (to 4)"
        raise UserError(f"orders = {orders}: the trade is known only so far; {mend}")
    training, low, high = zip(*TRADE, strict=True)
    return float(np.interp(orders, training, low)), float(np.interp(orders, training, high))


def sampling_flops(params: float, samples: float, tokens: float, prompt_tokens: float = 0.0) -> float:
    """FLOPs of one question: 2N for each token written, and for each of the prompt, which is read once."""
    for name, value in (("params", params), ("samples", samples), ("tokens", tokens)):
        if not (np.isfinite(value) and value > 0):
            raise UserError(f"{name} = {value}: give a positive, finite number")
    if not (np.isfinite(prompt_tokens) and prompt_tokens >= 0):
        raise UserError(f"prompt_tokens = {prompt_tokens}: give 0 or more")
    return 2 * params * (prompt_tokens + samples * tokens)


def coverage(samples: ArrayLike, a: ArrayLike, b: ArrayLike) -> Array:
    """The chance that one of `samples` is right, e^{a·k^b}. Broadcasts."""
    return np.exp(np.asarray(a, float) * np.asarray(samples, float) ** np.asarray(b, float))


@dataclass(frozen=True)
class CoverageFit:
    """a and b of e^{a·k^b}, bootstrap draws (m, 2) of (ln −a, b), and the most samples seen."""

    a: float
    b: float
    draws: Array
    most_samples: float

    def predict(self, samples: float, level: float = 0.9, extrapolate: bool = False) -> tuple[float, float, float]:
        """Coverage with its interval. Raises UserError past 16 times the most samples seen."""
        if not (np.isfinite(samples) and samples >= 1):
            raise UserError(f"samples = {samples}: give 1 or more")
        factor = samples / self.most_samples
        if factor > MAX_FACTOR and not extrapolate:
            raise UserError(
                f"samples = {samples:g}: {factor:.3g} times the most that was measured, past the limit of "
                f"{MAX_FACTOR:g}; measure more samples, or ask for it with --extrapolate"
            )
        value = coverage(samples, -np.exp(self.draws[:, 0]), self.draws[:, 1])
        low, high = np.quantile(value, [(1 - level) / 2, (1 + level) / 2])
        middle = float(coverage(samples, self.a, self.b))
        return middle, float(min(low, middle)), float(max(high, middle))


def fit_coverage(
    samples: ArrayLike, covered: ArrayLike, questions: int, bootstrap: int = 1000, seed: int = 0
) -> CoverageFit:
    """The law through the coverage (n,) measured at numbers of samples (n,) over `questions` questions.

    A line through ln(−ln coverage) over ln k; each refit moves the shares by their binomial error, all in the same
    direction and by as many standard errors, since the same questions stand behind every one of them. Raises UserError
    for fewer than 3 points.
    """
    k, share = np.asarray(samples, float), np.asarray(covered, float)
    if k.shape != share.shape or len(np.unique(k)) < 3 or not (k >= 1).all():
        raise UserError(f"samples: {k.size} points; give 3 or more different numbers of samples, each 1 or more")
    if not ((share >= 0) & (share <= 1)).all():
        raise UserError("coverage: give shares from 0 to 1")
    if questions < 1:
        raise UserError(f"questions = {questions}: give how many questions stand behind the shares")
    if (share == 0).all() or (share == 1).all():
        raise UserError("coverage: every share is 0, or every share 1: the questions are blind to more samples")
    # Half a question away from 0 and 1, where the law cannot lie.
    share = np.clip(share, 0.5 / questions, 1 - 0.5 / questions)
    error = np.sqrt(share * (1 - share) / questions)
    z = np.random.default_rng(seed).standard_normal((bootstrap, 1))
    moved = np.clip(share + z * error, 0.25 / questions, 1 - 0.25 / questions)
    y = np.log(-np.log(np.vstack([share, moved])))
    x = np.log(k)
    slope = ((y - y.mean(-1, keepdims=True)) * (x - x.mean())).sum(-1) / ((x - x.mean()) ** 2).sum()
    level = y.mean(-1) - slope * x.mean()
    if slope[0] >= 0:
        raise UserError("coverage: it does not rise with samples; check the measurement")
    draws = np.stack([level, slope], axis=-1)
    return CoverageFit(-float(np.exp(level[0])), float(slope[0]), draws[1:] if bootstrap else draws, float(k.max()))


def rl_reward(flops: ArrayLike, start: float, ceiling: float, middle_flops: float, power: float) -> Array:
    """Reward after `flops` of reinforcement learning (2510.13786, eq. 1): half way to the ceiling at `middle_flops`."""
    if not (middle_flops > 0 and power > 0):
        raise UserError(f"middle_flops = {middle_flops}, power = {power}: give positive numbers")
    return start + (ceiling - start) / (1 + (middle_flops / np.asarray(flops, float)) ** power)

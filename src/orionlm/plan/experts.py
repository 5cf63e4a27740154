"""What is a mixture of E experts worth against a dense model of the same FLOPs a token?

Three published laws, each within its own range; where they speak together their disagreement is the interval.

- `joint` (Ludziejewski et al., 2502.05172, eq. 5): L = a·Ê^δ·N^{α + γ ln Ê} + b·Ê^ω·D^{β + ζ ln Ê} + c with N active
  parameters; Ê saturates: 1/Ê = 1/(E − 1 + (1/Es − 1/Em)^{−1}) + 1/Em. Its optimum runs away: at 1e26 FLOPs and 32
  experts it asks for one token a parameter, so far beyond its runs it is refused.
- `clark` (Clark et al., 2202.01169, eq. 2): log L = a log N + b log Ê + c log N log Ê + d, at 130B tokens, N the dense
  model's parameters. Logarithms to base 10: with natural ones a dense 1B model would reach .55 nats, with these 2.3.
- `krajewski` (2402.07871, eq. 9): c + (g/G^γ + a)/N^α + b/D^β at 64 experts of granularity G, and a dense law of its
  own. N is here all parameters, 64 times the active: with active ones the mixture would lose to the dense model.

Abnar et al. find a sparsity law that explains 68% of the variance of held-out runs: none of these is settled.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from orionlm.errors import UserError

Array = np.ndarray
MAX_FACTOR = 16.0
LAWS = ("joint", "clark", "krajewski")


@dataclass(frozen=True)
class Range:
    """What a law was fitted on; asked past `MAX_FACTOR` times the most FLOPs or parameters, it refuses."""

    active: float
    flops: float
    experts: tuple[int, ...]
    source: str

    def refusal(self, active: float, tokens: float, experts: float) -> str:
        """Why the law should not be asked here, or nothing."""
        if not min(self.experts) <= experts <= max(self.experts):
            known = str(self.experts[0]) if len(self.experts) == 1 else f"{self.experts[0]} to {self.experts[-1]}"
            return f"knows {known} experts, not {experts:g}"
        asked = {"active parameters": (active, self.active), "FLOPs": (6 * active * tokens, self.flops)}
        for name, (value, most) in asked.items():
            if value > MAX_FACTOR * most:
                return f"is asked for {value:.3g} {name}, {value / most:.3g} times its runs (limit {MAX_FACTOR:g})"
        return ""


RANGES = {
    "joint": Range(2.7e9, 2e21, (1, 32), "2502.05172: up to 2.7B active, 5B parameters in all (FLOPs recalled)"),
    "clark": Range(1.3e9, 1e21, (1, 512), "2202.01169: 15M to 1.3B parameters, to 512 experts, 130B tokens (recalled)"),
    "krajewski": Range(1e9, 1e21, (64,), "2402.07871: 64 experts, to 64 × 1B parameters (recalled)"),
}


def saturated(experts: ArrayLike, start: float, most: float) -> Array:
    """Ê: `start` at one expert, towards `most` at ever more (2202.01169, eq. 9)."""
    return 1 / (1 / (np.asarray(experts, float) - 1 + 1 / (1 / start - 1 / most)) + 1 / most)


def joint_loss(active: ArrayLike, tokens: ArrayLike, experts: ArrayLike) -> Array:
    """Nats a token by 2502.05172, eq. 5, unchecked for range. Broadcasts."""
    active, tokens = np.asarray(active, float), np.asarray(tokens, float)
    e = np.log(saturated(experts, 2.0732, 290.4521))
    by_params = 35.91 * np.exp(-0.2285 * e) * active ** (-0.1889 + 0.0098 * e)
    return by_params + 35.98 * np.exp(0.5529 * e) * tokens ** (-0.1775 - 0.0259 * e) + 1.3637


def clark_loss(params: ArrayLike, experts: ArrayLike) -> Array:
    """Nats a token by 2202.01169, eq. 2, S-BASE routing, at 130B tokens, unchecked for range. Broadcasts."""
    n, e = np.log10(np.asarray(params, float)), np.log10(saturated(experts, 1.847, 314.478))
    return 10 ** (-0.082 * n - 0.108 * e + 0.009 * n * e + 1.104)


def krajewski_loss(active: ArrayLike, tokens: ArrayLike, experts: int = 64, granularity: float = 1.0) -> Array:
    """Nats a token by 2402.07871, eq. 9, with 64 experts, or dense with 1; unchecked for range. Broadcasts."""
    active, tokens = np.asarray(active, float), np.asarray(tokens, float)
    if experts == 1:
        return 0.47 + 16.3 * active**-0.126 + 26.7 * tokens**-0.127
    return 0.47 + (2.1 / granularity**0.58 + 18.1) * (64 * active) ** -0.115 + 30.8 * tokens**-0.147


def _loss(law: str, active: ArrayLike, tokens: float, experts: int, granularity: float) -> Array:
    if law == "joint":
        return joint_loss(active, tokens, experts)
    if law == "clark":
        return clark_loss(active, experts)
    return krajewski_loss(active, tokens, experts, granularity)


@dataclass(frozen=True)
class Comparison:
    """A mixture against a dense model of the same active parameters, tokens and so FLOPs.

    `by_law`: for each law in range `dense` and `mixture` loss and `dense_equivalent`, the parameters of the dense model
    of equal loss. low and high span the laws; with one law they are equal and `warnings` says so. `refused`: why the
    other laws are silent.
    """

    dense_equivalent: float
    low: float
    high: float
    gain: float
    gain_low: float
    gain_high: float
    by_law: dict[str, dict[str, float]]
    refused: dict[str, str]
    warnings: list[str]


def compare(
    active: float, tokens: float, experts: int, granularity: float = 1.0, extrapolate: bool = False
) -> Comparison:
    """What `experts` experts buy at equal training FLOPs; `gain` is the relative fall in loss.

    Raises UserError where no law is in range; `extrapolate` asks `joint` and `clark` all the same.
    """
    check(active, tokens, experts)
    if not 1 <= granularity <= 64:
        raise UserError(f"granularity = {granularity}: give 1 (experts as large as the dense layer) to 64")
    by_law, refused = {}, {}
    for law in LAWS:
        why = RANGES[law].refusal(active, tokens, experts)
        if why and not (extrapolate and (law != "krajewski" or experts == 64)):
            refused[law] = why
            continue
        dense, mixture = (float(_loss(law, active, tokens, e, granularity)) for e in (1, experts))
        equal = _dense_of(law, mixture, tokens)
        by_law[law] = {"dense": dense, "mixture": mixture, "dense_equivalent": equal, "gain": 1 - mixture / dense}
        if why:
            by_law[law]["extrapolation_factor"] = 6 * active * tokens / RANGES[law].flops
    if not by_law:
        raise UserError("experts: no law is in range: " + "; ".join(f"{law} {why}" for law, why in refused.items()))
    equals = np.array([row["dense_equivalent"] for row in by_law.values()])
    gains = np.array([row["gain"] for row in by_law.values()])
    warnings = ["one law alone is in range: its error is unknown"] if len(by_law) == 1 else []
    if not np.isfinite(equals).all():
        warnings.append("by a law no dense model on these tokens reaches the mixture's loss")
    if "clark" in by_law and not 130e9 / 4 <= tokens <= 130e9 * 4:
        warnings.append(f"clark's law is for 130B tokens, not {tokens:.3g}")
    return Comparison(
        float(np.median(equals)),
        float(equals.min()),
        float(equals.max()),
        float(np.median(gains)),
        float(gains.min()),
        float(gains.max()),
        by_law,
        refused,
        warnings,
    )


def _dense_of(law: str, loss: float, tokens: float) -> float:
    """Parameters of the dense model that reaches `loss`; inf where 1e18 do not."""
    low, high = 0.0, float(np.log(1e18))
    if float(_loss(law, np.exp(high), tokens, 1, 1.0)) > loss:
        return float("inf")
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (low, middle) if float(_loss(law, np.exp(middle), tokens, 1, 1.0)) <= loss else (middle, high)
    return float(np.exp(high))


def joint_optimum(flops: float, experts: int, extrapolate: bool = False) -> tuple[float, float]:
    """Active parameters and tokens of a training budget by the joint law. Raises UserError outside its range."""
    if not (np.isfinite(flops) and flops > 0):
        raise UserError(f"flops = {flops}: give a positive, finite number")
    x = np.linspace(np.log(1e5), np.log(1e15), 20001)
    active = np.exp(x)
    best = float(active[int(np.argmin(joint_loss(active, flops / 6 / active, experts)))])
    tokens = flops / 6 / best
    check(best, tokens, experts)
    why = RANGES["joint"].refusal(best, tokens, experts)
    if why and not extrapolate:
        raise UserError(f"experts: the joint law {why}; ask for a smaller budget, or for extrapolation")
    return best, tokens


def check(active: float, tokens: float, experts: int) -> None:
    """Raises UserError for numbers that are no model."""
    for name, value in (("active_params", active), ("tokens", tokens)):
        if not (np.isfinite(value) and value >= 1):
            raise UserError(f"{name} = {value}: give a positive, finite number")
    if not 1 <= experts <= 4096 or experts != int(experts):
        raise UserError(f"experts = {experts}: give a whole number from 1 to 4096")

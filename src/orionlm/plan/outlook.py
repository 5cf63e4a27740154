"""What loss would a model reach on this text: what several laws say, each with its own uncertainty?

Real text read again counts as `repetition` has it: less each time, and harmful in the end. Synthetic text counts as
`synthetic` has it, a prior of this project. The laws' disagreement is part of the width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from orionlm.plan.forecast import quantiles
from orionlm.plan.laws import PUBLISHED, Law
from orionlm.plan.posterior import read_fits
from orionlm.plan.repetition import MEASURED, effect
from orionlm.plan.synthetic import REPHRASED, repeat_until, saturated

Array = np.ndarray


@dataclass(frozen=True)
class Text:
    """Tokens to train on: different real ones, synthetic ones, and how often a real one may be read."""

    unique: float
    synthetic: float = 0.0
    most_epochs: float = 16.0

    @property
    def most_tokens(self) -> float:
        """The longest run this text allows."""
        return self.unique * self.most_epochs + self.synthetic

    def synthetic_read(self, tokens: Array) -> Array:
        """How many synthetic tokens a run of `tokens` reads: none before real text has been read often enough."""
        enough = self.unique * min(repeat_until(REPHRASED.weight.median), self.most_epochs)
        return np.clip(tokens - enough, 0.0, np.minimum(self.synthetic, REPHRASED.cap * tokens))


@dataclass(frozen=True)
class Part:
    """Draws of one law: theta (k, p) for x = ln N − origin[0] and z = ln D − origin[1]; all weigh `weight` together."""

    name: str
    law: Law
    theta: Array
    origin: tuple[float, float]
    weight: float


@dataclass(frozen=True)
class Outlook:
    """Several laws' draws, m in all, m draws of what repetition does (m, 8) and of a synthetic token's worth (m,)."""

    parts: tuple[Part, ...]
    repetition: Array
    worth: Array
    fitted_flops: float
    source: str

    @classmethod
    def of(cls, law: str | Path = "published", count: int = 200, seed: int = 0) -> Outlook:
        """`published` (Besiroglu's and Hoffmann's constants, evenly), one of them by name, or a fit's file."""
        rng = np.random.default_rng(seed)
        if law == "published" or law in PUBLISHED:
            chosen = [p for name, p in PUBLISHED.items() if law in ("published", name)]
            parts = tuple(
                Part(p.name, p.law, p.varied(rng.standard_normal((count, 5))), (0.0, 0.0), 1 / len(chosen))
                for p in chosen
            )
            top, source = max(p.fitted_flops[1] for p in chosen), "; ".join(p.source for p in chosen)
        else:
            fits = read_fits(law)
            parts = tuple(
                Part(f.law.name, f.law, f.theta[:count], fits.origin, f.weight) for f in fits.laws if f.weight > 1e-3
            )
            top, source = float(fits.points.flops.max()), str(law)
        size = sum(len(part.theta) for part in parts)
        return cls(parts, MEASURED.draws(size, seed), REPHRASED.weight.sample(size, rng), top, source)

    @property
    def weight(self) -> Array:
        """Each draw's share (m,), 1 in all."""
        share = np.concatenate([np.full(len(part.theta), part.weight / len(part.theta)) for part in self.parts])
        return share / share.sum()

    def loss(self, params: Array, tokens: Array, text: Text | None = None) -> Array:
        """Nats per token (or the fit's unit) of each draw at N (n,), D (n,) → (m, n); without a text all is fresh.

        Real text is read again until a synthetic token is worth more (`synthetic.repeat_until`); then synthetic text
        joins in, up to its cap.
        """
        params, tokens = (np.atleast_1d(np.asarray(value, float)) for value in (params, tokens))
        x, z = np.log(params), np.broadcast_to(np.log(tokens), (len(self.weight), len(tokens)))
        harm = np.zeros(1)
        if text is not None:
            synthetic = text.synthetic_read(tokens)
            real = np.maximum(tokens - synthetic, 1.0)
            fading, harm = effect(self.repetition, params, real, np.minimum(text.unique, real))
            kept = saturated(synthetic, REPHRASED.plateau)
            z = np.log(real * np.exp(fading) + self.worth[:, None] * kept)
        values, row = [], 0
        for part in self.parts:
            rows = slice(row, row := row + len(part.theta))
            values.append(part.law.log_loss(part.theta, x - part.origin[0], z[rows] - part.origin[1])[0])
        return np.exp(np.concatenate(values) + harm)

    def interval(self, values: Array, level: float = 0.9) -> tuple[float, float, float]:
        """Weighted median and central interval of one value a draw (m,)."""
        if np.ptp(values) == 0:
            return (float(values[0]),) * 3
        tails = [0.5, (1 - level) / 2, (1 + level) / 2]
        spread = np.full(len(values), 1e-4 * float(np.ptp(values)))
        middle, low, high = quantiles(values, spread, self.weight, tails)
        return middle, low, high

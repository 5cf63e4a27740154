"""What will a run reach that reads its text again? A forecast at effective tokens, with what overfitting adds."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.forecast import Forecast, forecast, predictive, quantiles
from orionlm.plan.posterior import Fits
from orionlm.plan.repetition import (
    FRESH,
    MAX_REPEATS,
    MEASURED,
    MEASURED_EPOCHS,
    MEASURED_PARAMS,
    MEASURED_ROOM,
    MEASURED_UNIQUE,
    RepetitionFit,
    as_runs,
    effect,
)

NODES = 5  # effective tokens at which the laws are asked; ln L is close to straight in ln D' between them


def read_repetition(path: str | Path) -> RepetitionFit | None:
    """The repetition law in what `orion fit --out` wrote, None where no run repeated its text."""
    held = json.loads(Path(path).read_text(encoding="utf-8")).get("repetition")
    return None if held is None else RepetitionFit.from_json(held)


def forecast_repeated(
    fits: Fits,
    params: float,
    tokens: float,
    unique_tokens: float,
    level: float = 0.9,
    extrapolate: bool = False,
    fitted: RepetitionFit | None = None,
) -> Forecast:
    """`forecast` of a run that sees `unique_tokens` different tokens: at D', and raised by overfitting.

    Draws of R* and of overfitting (those `fitted` to the same runs, else MEASURED) widen the interval. With
    unique_tokens ≥ tokens it is the plain forecast. Refuses 4 times more epochs, or parameters a unique token, than
    any run measured.
    """
    n, d, u = as_runs(params, tokens, unique_tokens)
    plain = forecast(fits, params, tokens, level, extrapolate)
    if (u >= d).all():
        return plain
    measured = fitted is not None and len(fitted.draws) > 0
    epochs, room = float(d[0] / u[0]), float(n[0] / u[0])
    for name, value, known in (
        ("epochs", epochs, max(MEASURED_EPOCHS, fitted.max_epochs if fitted else 0)),
        ("parameters a unique token", room, max(MEASURED_ROOM, fitted.max_room if fitted else 0)),
    ):
        if value > MAX_REPEATS * known and not extrapolate:
            raise UserError(
                f"unique_tokens = {unique_tokens:g}: {value:.3g} {name} is {value / known:.3g} times the most that was "
                f"measured, past the limit of {MAX_REPEATS:g}; ask for it with --extrapolate"
            )
    effects = fitted.draws[:, len(FRESH) :] if fitted is not None and measured else MEASURED.draws(400)
    worth, h = (v[:, 0] for v in effect(effects, n, d, u))
    nodes = np.linspace(worth.min(), worth.max() + 1e-9, NODES)
    tails = [0.5, (1 - level) / 2, (1 + level) / 2]
    rng, pooled, by_law = np.random.default_rng(0), [], {}
    for fit in fits.laws:
        at = [predictive(fits, fit, params, tokens * float(np.exp(node))) for node in nodes]
        means, sds = np.stack([pair[0] for pair in at]), np.stack([pair[1] for pair in at])
        # Each draw of the law meets one draw of the effects, between the two nodes around its effective tokens.
        row, which = np.arange(means.shape[1]), rng.permutation(np.arange(means.shape[1]) % len(worth))
        left = np.clip(np.searchsorted(nodes, worth[which]) - 1, 0, NODES - 2)
        part = (worth[which] - nodes[left]) / (nodes[1] - nodes[0])
        mean = (1 - part) * means[left, row] + part * means[left + 1, row] + h[which]
        sd = (1 - part) * sds[left, row] + part * sds[left + 1, row]
        even = np.full(len(mean), 1 / len(mean))
        middle, low, high = np.exp(quantiles(mean, sd, even, tails))
        by_law[fit.law.name] = {"weight": fit.weight, "loss": float(middle), "low": float(low), "high": float(high)}
        pooled.append((mean, sd, even * fit.weight))
    mean, sd, weight = (np.concatenate(column) for column in zip(*pooled, strict=True))
    loss, low, high = (float(v) for v in np.exp(quantiles(mean, sd, weight, tails)))
    low_worth, middle_worth, high_worth = epochs * np.exp(np.quantile(worth, [0.05, 0.5, 0.95]))
    warnings = [
        *plain.warnings,
        f"{epochs:.3g} epochs of this text are worth {middle_worth:.3g} ({low_worth:.3g} to "
        f"{high_worth:.3g}) fresh ones; overfitting adds {100 * np.expm1(np.median(h)):.2g}% to the loss "
        f"(up to {100 * np.expm1(np.quantile(h, 0.95)):.2g}%)",
    ]
    if not measured:
        for name, value, (least, most) in (
            ("params", params, MEASURED_PARAMS),
            ("unique_tokens", unique_tokens, MEASURED_UNIQUE),
        ):
            if not least <= value <= most:
                warnings.append(
                    f"{name} {value:.3g} lies outside the runs whose repetition was measured, {least:.3g} to {most:.3g}"
                )
    return Forecast(
        loss,
        low,
        high,
        level,
        plain.extrapolation_factor,
        by_law,
        warnings,
        plain.unit,
        plain.params,
        plain.tokens,
        plain.flops,
    )

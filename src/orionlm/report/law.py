"""The law's curve on the ladder's chart: loss and interval of one new run, from the ladder out past the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orionlm.plan.forecast import forecast
from orionlm.plan.posterior import Fits

PLACES = 24
BEYOND = 4.0


@dataclass(frozen=True)
class Curve:
    """Rows {flops, loss, low, high, edge} by rising compute; `edge` marks the end of the ladder. `ratio` is D/N.

    `fitted` are rows {run, flops, loss}: what the law says at each of the ladder's own points.
    """

    rows: list[dict[str, float]]
    fitted: list[dict]
    level: float
    ratio: float


def curve(fits: Fits, ladder: Sequence[dict], targets: Sequence[dict], level: float) -> Curve:
    """The law along the tokens per parameter of `targets` (rows with params, tokens and counted flops).

    Laws know compute as 6·N·D, tables as counted: the counted share is interpolated in ln N between ladder and targets.
    The ratio of tokens to parameters is interpolated in ln C between targets, so that the curve passes through each.
    """
    known = sorted([*ladder, *targets], key=lambda row: row["params"])
    size = np.log([row["params"] for row in known])
    counted = np.log([row["flops"] / (6 * row["params"] * row["tokens"]) for row in known])
    sizes = np.unique(size)
    shares = np.array([counted[size == each].mean() for each in sizes])
    ends = sorted(targets, key=lambda row: row["params"] * row["tokens"])
    place = np.log([6 * row["params"] * row["tokens"] for row in ends])
    ratio = np.log([row["tokens"] / row["params"] for row in ends])
    within = np.log([6 * row["params"] * row["tokens"] for row in ladder])
    grid = np.linspace(within.min(), max(place.max(), within.max()) + np.log(BEYOND), PLACES)
    rows = []
    for at in np.unique(np.concatenate([grid, place, [within.max()]])):
        tilt = float(np.interp(at, place, ratio))
        params, tokens = np.exp((at - np.log(6) - tilt) / 2), np.exp((at - np.log(6) + tilt) / 2)
        said = forecast(fits, params, tokens, level, extrapolate=True)
        flops = float(np.exp(at + np.interp(np.log(params), sizes, shares)))
        edge = bool(at == within.max())
        rows.append({"flops": flops, "loss": said.loss, "low": said.low, "high": said.high, "edge": edge})
    fitted = [
        {"run": row["run"], "flops": row["flops"], "loss": forecast(fits, row["params"], row["tokens"], level).loss}
        for row in ladder
    ]
    return Curve(rows, fitted, level, float(np.exp(ratio[-1])))

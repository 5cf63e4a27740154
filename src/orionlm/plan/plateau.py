"""Was the latest model of a line below what the line's own law promised, or only below what people hoped?

The law is fitted to the earlier models alone, and the latest is held against its prediction interval for a new model.

- Scores: score = a + b·ln C, and where scores have a floor and a ceiling logit((score − chance)/(1 − chance)) =
  a + b·ln C (the sigmoid of Owen 2024, 2401.04757, and of Llama 3, 2407.21783, section 3.2.1). Each is a least-squares
  line with the t prediction interval (Draper & Smith 1998, section 1.4); a point of measurement noise, counted as one
  more observation, keeps a line through three points from claiming certainty.
- Losses: L = E + K/C^γ with the priors and the departure of `plan/posterior.py`.

"Below" needs the measurement under the 5% point of every law; laws that disagree cannot tell. Nor can a law so
uncertain that no progress at all would lie inside its interval, unless the latest reached the middle of its promise.
"""

from __future__ import annotations

import csv
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orionlm.errors import UserError
from orionlm.plan.fit import Points
from orionlm.plan.forecast import predictive, quantiles
from orionlm.plan.posterior import fit_laws
from orionlm.settings import read_toml, validate

Array = np.ndarray
LEVEL = 0.9
MAX_FACTOR = 100.0
FEWEST = 3
NOISE = 0.01  # of the range of a score: what benchmarks repeat to
Below = Literal["yes", "no", "cannot tell"]


class Model(BaseModel):
    """A row: one of flops, or params and tokens; one of score and loss; `planned` is the score or loss hoped for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    flops: float | None = Field(default=None, gt=0, le=1e40)
    params: float | None = Field(default=None, gt=0, le=1e20)
    tokens: float | None = Field(default=None, gt=0, le=1e20)
    score: float | None = Field(default=None, ge=-1e9, le=1e9)
    loss: float | None = Field(default=None, gt=0, le=1e9)
    planned: float | None = Field(default=None, ge=-1e9, le=1e9)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: list[Model]


@dataclass(frozen=True)
class Line:
    """A model line in order, the latest last: names, training FLOPs (n,) and values (n,) of `metric`."""

    names: tuple[str, ...]
    flops: Array
    values: Array
    metric: Literal["score", "loss"]
    planned: float | None


def read_line(path: Path) -> Line:
    """A CSV with the columns of `Model`, or a TOML file of [[model]] tables. Raises UserError naming row and column."""
    path = Path(path)
    if path.suffix == ".toml":
        document = read_toml(path)
        return line(list(validate(_File, document.values, document).model), path.name)
    if not os.path.isfile(path):
        raise UserError(f"{path}: no such file; give a CSV with model, flops, and score or loss")
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader((text for text in stream if text.strip()), skipinitialspace=True)
            names = [name.strip() for name in reader.fieldnames or []]
            if len(set(names)) < len(names):
                raise UserError(f"{path.name}: a column name stands twice in the header ({', '.join(names)})")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a UTF-8 CSV file ({error}); save it as one") from None
    return line([_model(row, i, path.name) for i, row in enumerate(rows, 1)], path.name)


def _model(row: dict, number: int, source: str) -> Model:
    known = set(Model.model_fields)
    if None in row:
        raise UserError(f"{source}: row {number} has more fields than the header; quote commas")
    unknown = [name for name in row if name.strip() not in known]
    if unknown:
        raise UserError(f"{source}: row {number}: no column '{unknown[0]}' here; known: {', '.join(sorted(known))}")
    values: dict = {}
    for name, text in ((name.strip(), (text or "").strip()) for name, text in row.items()):
        if name == "model":
            values[name] = text or f"row {number}"
        elif text:
            try:
                values[name] = float(text)
            except ValueError:
                raise UserError(
                    f"{source}: row {number}, {name} = {text!r} is not a number; write it like 2e25"
                ) from None
            signed = name in ("score", "planned")
            if not np.isfinite(values[name]) or (not signed and values[name] <= 0):
                raise UserError(
                    f"{source}: row {number}, {name} = {text} must be a {'' if signed else 'positive, '}finite number"
                )
    try:
        return Model(**{"model": f"row {number}"} | values)
    except ValidationError as error:
        name = error.errors()[0]["loc"][0]
        raise UserError(
            f"{source}: row {number}, {name} = {values[str(name)]} is beyond all bounds; check it"
        ) from None


def line(models: list[Model], source: str = "line") -> Line:
    """A checked line. Every row needs its compute and the same metric."""
    if not models:
        raise UserError(f"{source}: holds no models; add one row a model, the latest last")
    metric: Literal["score", "loss"] = "loss" if models[-1].loss is not None else "score"
    flops, values = [], []
    for i, row in enumerate(models, 1):
        compute = row.flops or (6 * row.params * row.tokens if row.params and row.tokens else None)
        if compute is None:
            raise UserError(f"{source}: row {i} ({row.model}) has neither flops nor params and tokens; fill them in")
        value = getattr(row, metric)
        if value is None:
            raise UserError(f"{source}: row {i} ({row.model}) has no {metric}; measure every model in one metric")
        flops.append(compute)
        values.append(value)
    if metric == "score":
        _one_scale([*values, models[-1].planned], source)
    return Line(tuple(row.model for row in models), np.array(flops), np.array(values), metric, models[-1].planned)


def _one_scale(scores: list[float | None], source: str) -> None:
    """Raises UserError where shares (0 to 1) and percentages stand side by side."""
    known = np.array([score for score in scores if score])
    shares, others = known[known <= 1], known[known > 1]
    if len(shares) and len(others) and known.min() > 0 and known.max() <= 100 and others.min() > 30 * shares.max():
        raise UserError(
            f"{source}: scores of {shares.max():g} and of {others.min():g} mix shares (0 to 1) and percentages "
            "(0 to 100); write all of them, and planned, in one"
        )


@dataclass(frozen=True)
class Plateau:
    """The answer. `below_law` is about the fitted law, `below_plan` about the hope (None where none is given).

    `promised`, `low` and `high` are the median and 90% interval for the latest; `by_law` gives those of each law and
    the `probability` of a value at least as bad.
    """

    verdict: str
    below_law: Below
    below_plan: Literal["yes", "no"] | None
    latest: str
    metric: str
    measured: float
    planned: float | None
    promised: float | None
    low: float | None
    high: float | None
    by_law: dict[str, dict[str, float]]
    level: float
    n: int
    extrapolation_factor: float
    words: str
    warnings: list[str]

    def to_json(self) -> dict:
        return asdict(self)


def plateau(line: Line, chance: float = 0.0, extrapolate: bool = False) -> Plateau:
    """Judges the last model of `line` by the others. `chance` is the score of guessing, as a share.

    Beyond 100 times the compute of the earlier models the answer is "cannot tell" unless `extrapolate`.
    """
    if not 0 <= chance < 1:
        raise UserError(f"chance = {chance}: give the share that guessing gets right, such as 0.25")
    sign = -1.0 if line.metric == "loss" else 1.0
    measured, earlier = float(line.values[-1]), len(line.names) - 1
    factor = float(line.flops[-1] / line.flops[:-1].max()) if earlier else float("nan")
    below_plan: Literal["yes", "no"] | None = None
    if line.planned is not None:
        below_plan = "yes" if sign * measured < sign * line.planned else "no"
    by_law: dict[str, dict[str, float]] = {}
    warnings: list[str] = []
    why = _too_little(line)
    if not why:
        by_law, warnings = (_loss if line.metric == "loss" else _scores)(line, chance)
        if not by_law:
            why = "every score stands at chance or at the ceiling, where the metric is blind"
        elif factor > MAX_FACTOR and not extrapolate:
            why = f"it has {factor:.3g} times the compute of the earlier models, past the limit of {MAX_FACTOR:g}"
    if factor > 10 and not why:
        warnings.append(f"extrapolates {factor:.3g} times past the compute of the earlier models")
    below: Below = "cannot tell"
    if not why:
        below, why = _judge(by_law, measured, float(line.values[-2]), sign)
    middle = (
        {key: float(np.mean([law[key] for law in by_law.values()])) for key in ("promised", "low", "high")}
        if by_law
        else {}
    )
    if by_law:
        middle["low"] = min(law["low"] for law in by_law.values())
        middle["high"] = max(law["high"] for law in by_law.values())
    verdict = {"yes": "below its law", "no": "as its law promised", "cannot tell": "cannot tell"}[below]
    if below == "no" and below_plan == "yes":
        verdict = "only below hopes"
    words = _words(line, middle, verdict, why)
    return Plateau(
        verdict,
        below,
        below_plan,
        line.names[-1],
        line.metric,
        measured,
        line.planned,
        middle.get("promised"),
        middle.get("low"),
        middle.get("high"),
        by_law,
        LEVEL,
        earlier,
        factor if earlier else 0.0,
        words,
        warnings,
    )


def _too_little(line: Line) -> str:
    """Why there is no law to judge by, or ""."""
    earlier = len(line.names) - 1
    needed = FEWEST + (line.metric == "loss")
    if earlier < needed:
        return f"{earlier} earlier models are too few for a law of their {line.metric}: it takes {needed}"
    if np.ptp(np.log(line.flops[:-1])) < 0.5:
        return "the earlier models had about the same compute, so they show no law"
    return ""


def _judge(by_law: dict[str, dict[str, float]], measured: float, before: float, sign: float) -> tuple[Below, str]:
    """Whether the latest is below every law's interval, and, where that cannot be told, why."""
    worst = "low" if sign > 0 else "high"
    under = [sign * measured < sign * law[worst] for law in by_law.values()]
    if all(under):
        return "yes", ""
    if any(under):
        return "cannot tell", "the laws that fit the earlier models disagree about it"
    if all(sign * measured >= sign * law["promised"] for law in by_law.values()):
        return "no", ""
    if any(sign * before > sign * law[worst] for law in by_law.values()):
        return "cannot tell", "no progress at all would lie inside the interval too"
    return "no", ""


def _scores(line: Line, chance: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The interval of each law of scores, and warnings."""
    top, warnings = float(line.values.max()), []
    scale = 1.0 if top <= 1 else 100.0 if top <= 100 else None
    if scale and (line.values.min() < 0):
        scale = None
    x, y = np.log(line.flops), line.values
    spread = scale or float(np.ptp(y)) or 1.0
    by_law = {"log-linear": _line(x, y, NOISE * spread, lambda v: v)}
    if by_law["log-linear"]["slope"] <= 0:
        warnings.append("the earlier scores do not rise with compute: the metric does not measure this line's progress")
    if scale:
        share = (y / scale - chance) / (1 - chance)
        blind = (share[:-1] <= 0.02) | (share[:-1] >= 0.98)
        if blind.all():
            return {}, warnings
        if blind.any():
            warnings.append(f"{int(blind.sum())} of the earlier scores stand at chance or at the ceiling")
        bounded = np.clip(share, 0.005, 0.995)
        noise = NOISE / float(np.mean(bounded[:-1] * (1 - bounded[:-1])))
        by_law["sigmoid"] = _line(
            x, np.log(bounded / (1 - bounded)), noise, lambda v: scale * (chance + (1 - chance) / (1 + np.exp(-v)))
        )
        if by_law["log-linear"]["promised"] > scale:
            del by_law["log-linear"]
            warnings.append("a straight line would pass the ceiling here: the sigmoid alone is used")
    for law in by_law.values():
        del law["slope"]
    return by_law, warnings


def _line(x: Array, y: Array, noise: float, back) -> dict[str, float]:
    """A straight line through all but the last point, and what it says of the last, in the unit that `back` gives."""
    from scipy.stats import t

    n = len(x) - 1
    at, centre = x[-1], x[:-1].mean()
    spread = ((x[:-1] - centre) ** 2).sum()
    slope = float(((x[:-1] - centre) * y[:-1]).sum() / spread)
    left = y[:-1] - y[:-1].mean() - slope * (x[:-1] - centre)
    freedom = n - 1
    variance = ((left**2).sum() + noise**2) / freedom
    error = float(np.sqrt(variance * (1 + 1 / n + (at - centre) ** 2 / spread)))
    middle = float(y[:-1].mean() + slope * (at - centre))
    reach = error * float(t.ppf((1 + LEVEL) / 2, freedom))
    return {
        "promised": float(back(middle)),
        "low": float(back(middle - reach)),
        "high": float(back(middle + reach)),
        "probability": float(t.cdf((y[-1] - middle) / error, freedom)),
        "slope": slope,
    }


def _loss(line: Line, chance: float) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The interval of the law L = E + K/C^γ, and warnings. Every model is put on one path of N and D."""
    from scipy.special import ndtr

    side = np.sqrt(line.flops / 6)
    names = np.array([str(i) for i in range(len(side) - 1)], dtype=object)
    fits = fit_laws(Points(side[:-1], side[:-1], line.values[:-1], names), ("compute",))
    mean, sd = predictive(fits, fits.laws[0], side[-1], side[-1])
    weight = np.full(len(mean), 1 / len(mean))
    low, middle, high = np.exp(quantiles(mean, sd, weight, [(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2]))
    worse = float(weight @ (1 - ndtr((np.log(line.values[-1]) - mean) / sd)))
    law = {"promised": float(middle), "low": float(low), "high": float(high), "probability": worse}
    return {"power law with a floor": law}, []


def _words(line: Line, middle: dict[str, float], verdict: str, why: str) -> str:
    said = f"{line.names[-1]}: {verdict}"
    if why:
        said += f", for {why}"
    if middle:
        said += (
            f"; its law promised {middle['promised']:.4g} ({100 * LEVEL:g}% {middle['low']:.4g} to "
            f"{middle['high']:.4g}), measured {line.values[-1]:.4g}"
        )
    if line.planned is not None:
        said += f", hoped for {line.planned:.4g}"
    return said

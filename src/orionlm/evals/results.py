"""What did an evaluation find? Its rows and its summary, as files and as scores that statistics take."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from orionlm.artifact import write_json, write_text
from orionlm.errors import UserError
from orionlm.evals.clustered import Score
from orionlm.evals.statistics import Estimate, mean
from orionlm.tasks.outcome import Outcome

RESULTS, SUMMARY = "results.jsonl", "summary.json"
SCHEMA = 1


@dataclass(frozen=True)
class Row:
    """One sample of one item of one task.

    `outcome` is empty for a text, which is measured and not judged. `log_probabilities` (nats) and `tokens` are those
    of each choice, or of the text; of an answer in words, `tokens` is its length. `bytes` are the text's.
    """

    task: str
    item: str
    sample: int
    cluster: str
    outcome: str
    answer: str | None = None
    detail: str = ""
    log_probabilities: tuple[float, ...] = ()
    tokens: tuple[int, ...] = ()
    bytes: int = 0
    text: str | None = None
    finish: str = ""

    @property
    def judged(self) -> bool:
        return not self.outcome or Outcome(self.outcome).judged


@dataclass(frozen=True)
class Results:
    """`summary` names the suite and the model by digest, and holds a line for each task."""

    summary: dict[str, Any]
    rows: tuple[Row, ...]

    def of(self, task: str) -> list[Row]:
        return [row for row in self.rows if row.task == task]

    def write(self, folder: Path) -> None:
        lines = (json.dumps(asdict(row), ensure_ascii=False, allow_nan=False) for row in self.rows)
        write_text(folder / RESULTS, "".join(line + "\n" for line in lines))
        write_json(folder / SUMMARY, self.summary)


def read(folder: Path) -> Results:
    """The results in `folder`; UserError where there are none, or only a part."""
    try:
        summary = json.loads((folder / SUMMARY).read_text(encoding="utf-8"))
        lines = (folder / RESULTS).read_text(encoding="utf-8").splitlines()
        rows = tuple(_row(json.loads(line)) for line in lines)
        if summary["schema"] != SCHEMA:
            raise UserError(
                f"{folder}: results of schema {summary['schema']}, this version reads {SCHEMA}; evaluate again"
            )
    except OSError:
        raise UserError(f"{folder}: no results here (no {SUMMARY} and {RESULTS}); evaluate first: orion eval") from None
    except (ValueError, TypeError, KeyError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"{folder}: damaged results ({error}); evaluate again") from None
    return Results(summary, rows)


def _row(values: dict[str, Any]) -> Row:
    lists = {name: tuple(values[name]) for name in ("log_probabilities", "tokens")}
    return Row(**{**values, **lists})


def scores(rows: Iterable[Row]) -> dict[str, Score]:
    """Item → 1 for right, else 0, None where it could not be judged; a list where it was asked several times."""
    found: dict[str, list[float | None]] = {}
    for row in rows:
        found.setdefault(row.item, []).append(float(row.outcome == Outcome.RIGHT) if row.judged else None)
    return {item: values[0] if len(values) == 1 else values for item, values in found.items()}


def bits(rows: Sequence[Row]) -> dict[str, float | None]:
    """Item → a number whose mean over items is Σ bits / Σ bytes, and whose spread is that ratio's.

    The linearised ratio R + (yᵢ − R xᵢ) / x̄ (Cochran 1977, § 6.4): long texts weigh as much as they should, and the
    clustered error of the mean is that of the ratio.
    """
    measured = [row for row in rows if row.judged and row.bytes]
    if not measured:
        return {row.item: None for row in rows}
    y = np.array([-sum(row.log_probabilities) / math.log(2) for row in measured])
    x = np.array([row.bytes for row in measured], float)
    ratio = y.sum() / x.sum()
    values = ratio + (y - ratio * x) / x.mean()
    found: dict[str, float | None] = {row.item: None for row in rows}
    return found | dict(zip((row.item for row in measured), values.tolist(), strict=True))


def clusters(rows: Iterable[Row]) -> dict[str, str]:
    return {row.item: row.cluster for row in rows}


def estimate(kind: str, rows: Sequence[Row], level: float = 0.95) -> Estimate | None:
    """The task's score: bits per byte of a text, else the share that is right; None where nothing could be judged."""
    values: Mapping[str, Score] = bits(rows) if kind == "text" else scores(rows)
    of = clusters(rows)
    try:
        return mean(
            list(values.values()), [of[item] for item in values], level=level, bounds=None if kind == "text" else (0, 1)
        )
    except UserError:
        return None


def plain(found: Estimate | None) -> dict[str, Any] | None:
    """An estimate as JSON holds it: what is not finite is null."""
    if found is None:
        return None
    return {
        name: (float(value) if math.isfinite(value) else None) if isinstance(value, float) else value
        for name, value in asdict(found).items()
    }


def outcomes(rows: Iterable[Row]) -> dict[str, int]:
    """How often each, those that never came left out."""
    return dict(sorted(Counter(row.outcome for row in rows if row.outcome).items()))

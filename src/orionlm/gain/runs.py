"""The run table: what runs cost and what loss they reached, from our ladder or from anybody's tracker.

Schema, version 1, CSV or Parquet, one row for a point that was trained and measured:

| column | meaning |
|---|---|
| `run` | the training trajectory; rows that branch from one trajectory share it (default: every row its own) |
| `lever` | what was changed against the plain recipe (default: empty) |
| `scale` | the rung of the ladder |
| `params`, `active_params` | parameters in all, and those used for a token (default: all) |
| `tokens`, `unique_tokens` | tokens trained on, and how many of them were different (default: all) |
| `flops` | training FLOPs (default 6·active_params·tokens) |
| `dollars`, `seed` | cost, random seed |
| `vocabulary` | size of the tokenizer: losses in nats compare only at one vocabulary |
| `validation` | the data that losses are measured on: gains are read from rows of one only |
| `bits_per_byte`, `loss` | validation loss; loss in nats per token |
| `n_questions`, `METRIC_questions` | how many questions a score rests on |

`params`, one of `tokens` and `flops`, and one of `loss` and `bits_per_byte` are needed. Other numbers are kept as
metrics; other text is left out.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from orionlm.errors import UserError
from orionlm.plan.fit import Points

VERSION = 1
TEXT = ("run", "lever", "scale", "validation")
POSITIVE = ("params", "active_params", "tokens", "unique_tokens", "flops", "vocabulary", "bits_per_byte", "loss")
ORDER = (
    "run",
    "lever",
    "scale",
    "params",
    "active_params",
    "tokens",
    "unique_tokens",
    "flops",
    "dollars",
    "seed",
    "vocabulary",
    "validation",
    "bits_per_byte",
    "loss",
)


@dataclass(frozen=True)
class RunTable:
    """Columns of equal length, (n,) each: text for `run`, `lever` and `scale`, float64 with NaN for holes elsewhere."""

    columns: dict[str, np.ndarray]
    source: str = "runs"
    version: int = field(default=VERSION)

    def __len__(self) -> int:
        return len(self.columns["params"])

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self.columns:
            raise UserError(f"{self.source}: no column '{name}'; it has {', '.join(self.columns)}")
        return self.columns[name]

    def select(self, keep: np.ndarray) -> RunTable:
        """The rows that a mask or an index array names."""
        return RunTable({name: values[keep] for name, values in self.columns.items()}, self.source)

    @property
    def metric(self) -> str:
        """The column losses are compared in: bits per byte where every row has it, else nats at one vocabulary.

        Raises UserError where they do not compare: on different validation data, or for want of a common column.
        """
        data = sorted({str(value) for value in self.columns.get("validation", ())})
        if len(data) > 1:
            shown = ", ".join(value or "(empty)" for value in data[:4])
            raise UserError(
                f"{self.source}: validation: losses on different data do not compare ({shown}); keep the rows of one"
            )
        measured = self.columns.get("bits_per_byte")
        if measured is not None and not np.isnan(measured).any():
            return "bits_per_byte"
        vocabulary = self.columns.get("vocabulary", np.array([]))
        if len(np.unique(vocabulary)) > 1:
            sizes = ", ".join(f"{v:g}" for v in np.unique(vocabulary)[:4])
            raise UserError(f"{self.source}: loss mixes vocabularies ({sizes}); fill bits_per_byte in every row")
        loss = self.columns.get("loss")
        if loss is None or np.isnan(loss).any():
            raise UserError(f"{self.source}: neither bits_per_byte nor loss is filled in every row; fill one of them")
        return "loss"

    def points(self) -> Points:
        """What the fitter reads: active parameters, tokens and loss of each row, and its run."""
        metric = self.metric
        return Points(self["active_params"], self["tokens"], self[metric], self["run"], metric)

    @classmethod
    def from_rows(cls, rows: list[dict], source: str = "runs", names: list[str] | None = None) -> RunTable:
        """A checked table of dictionaries, holes as None, NaN or empty text. Errors name the row, column and value."""
        names = names or list(dict.fromkeys(name for row in rows for name in row))
        for group in (("params",), ("tokens", "flops"), ("loss", "bits_per_byte")):
            if not set(group) & set(names):
                raise UserError(f"{source}: needs a column {' or '.join(group)}; it has {', '.join(names) or 'none'}")
        if not rows:
            raise UserError(f"{source}: has a header but no runs; add one row a run")
        columns = {}
        for name in names:
            given = [row.get(name) for row in rows]
            values = _text(given) if name in TEXT else _numbers(name, given, source)
            if values is not None:
                columns[name] = values
        return cls(_complete(columns, source), source)

    def rows(self) -> list[dict]:
        """The table as dictionaries, holes as None."""
        names = [name for name in ORDER if name in self.columns] + [name for name in self.columns if name not in ORDER]
        return [{name: _plain(self.columns[name][i]) for name in names} for i in range(len(self))]


def _plain(value):
    if isinstance(value, str):
        return str(value)
    number = float(value)
    if np.isnan(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _text(values: list) -> np.ndarray:
    return np.array(["" if value is None else str(value) for value in values], dtype=object)


def _numbers(name: str, values: list, source: str) -> np.ndarray | None:
    """float64 with NaN for holes. A column that the schema does not name and that holds text is left out (None)."""
    numbers = np.full(len(values), np.nan)
    for i, value in enumerate(values):
        if value is None or (isinstance(value, str) and not value.strip()):
            continue
        try:
            numbers[i] = float(value)
        except (TypeError, ValueError):
            if name not in ORDER:
                return None
            raise UserError(f"{source}: row {i + 1}, {name} = {value!r} is not a number; write it like 1.5e9") from None
        if name in POSITIVE and not (0 < numbers[i] < np.inf) and not np.isnan(numbers[i]):
            raise UserError(f"{source}: row {i + 1}, {name} = {value} must be a positive, finite number")
    return numbers


def _complete(columns: dict[str, np.ndarray], source: str) -> dict[str, np.ndarray]:
    """Fills what follows from others: tokens = flops/6N, flops = 6ND, active_params = params, a run for every row."""
    params = columns["params"]
    if np.isnan(params).any():
        raise UserError(f"{source}: row {int(np.isnan(params).argmax()) + 1} has no params; fill it in")
    hole = np.full(len(params), np.nan)

    def filled(name: str, default: np.ndarray) -> np.ndarray:
        given = columns.get(name, hole)
        return np.where(np.isnan(given), default, given)

    active = filled("active_params", params)
    tokens = filled("tokens", columns.get("flops", hole) / (6 * active))
    if np.isnan(tokens).any():
        raise UserError(f"{source}: row {int(np.isnan(tokens).argmax()) + 1} has neither tokens nor flops; fill one")
    if (active > params).any():
        raise UserError(f"{source}: row {int((active > params).argmax()) + 1} has more active_params than params")
    unique = filled("unique_tokens", tokens)
    run = columns.get("run", _text([""] * len(params)))
    run = np.array([name or f"row-{i + 1}" for i, name in enumerate(run)], dtype=object)
    return columns | {
        "run": run,
        "active_params": active,
        "tokens": tokens,
        "unique_tokens": unique,
        "flops": filled("flops", 6 * active * tokens),
    }


def read_runs(path: str | Path) -> RunTable:
    """Reads and checks a run table, CSV or Parquet. Raises UserError: no such file, not readable, or a column amiss."""
    path = Path(path)
    if not os.path.isfile(path):
        problem = "is a directory" if os.path.isdir(path) else "no such file"
        raise UserError(f"{str(path)[:200]}: {problem}; give a CSV or Parquet run table")
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        try:
            table = pyarrow.parquet.read_table(path)
        except pyarrow.ArrowInvalid as error:
            raise UserError(f"{path}: not a readable Parquet file ({str(error).splitlines()[0]})") from None
        return RunTable.from_rows(table.to_pylist(), path.name, table.column_names)
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, skipinitialspace=True)
            names = [(name or "").strip() for name in reader.fieldnames or []]
            if len(set(names)) < len(names):
                raise UserError(f"{path.name}: a column name stands twice in the header ({', '.join(names)})")
            reader.fieldnames = names
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a UTF-8 CSV file ({error}); save it as one") from None
    for i, row in enumerate(rows):
        if None in row:
            raise UserError(f"{path.name}: row {i + 1} has more fields than the header's {len(names)}; quote commas")
    return RunTable.from_rows(rows, path.name, names)


def join(tables: list[RunTable]) -> RunTable:
    """Several tables as one; a run of a name that an earlier table has is another run, and is numbered."""
    rows, taken = [], set[str]()
    for number, table in enumerate(tables, start=1):
        names = {run: f"{run} ({number})" if run in taken else str(run) for run in table["run"]}
        taken |= set(names.values())
        rows += [row | {"run": names[row["run"]]} for row in table.rows()]
    return RunTable.from_rows(rows, tables[0].source if len(tables) == 1 else f"{len(tables)} tables")


def write_runs(path: str | Path, table: RunTable) -> None:
    """Writes the table as CSV or Parquet, by the name's ending."""
    path, rows = Path(path), table.rows()
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
        return
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)

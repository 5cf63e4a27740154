"""How do runs that others tracked become a run table? CSV exports of trackers, torchtitan's and TRL's logs.

- A tracker's export (wandb, trackio, MLflow) has one row a run, or one a step; columns are named by whoever logged.
  Common names are found (`ALIASES`), others are mapped by hand: {"loss": "final/val_nll"}. Of a run's many steps the
  last with a loss is kept.
- torchtitan prints `step: 10  loss: 4.1234  grad_norm: 1.2  memory: …  tps: …`; a row for the last step, or, where it
  validates, for the last `validate step: 10  loss: 4.2`.
- TRL and transformers write trainer_state.json with `log_history`, a list of {"step": …, "loss" or "eval_loss": …}.

Logs do not say how large a model is or how many tokens a step reads: `facts` gives what is missing (params,
tokens_per_step, lever, …). A training loss is of other text than a validation loss: the column `validation` says which.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from pathlib import Path

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable

Row = dict[str, object]
ALIASES = {
    "run": ("run", "name", "run_name", "run name", "id"),
    "lever": ("lever", "config.lever", "group"),
    "scale": ("scale", "config.scale"),
    "params": ("params", "config.params", "n_params", "num_params", "model/params", "config.n_params", "parameters"),
    "active_params": ("active_params", "config.active_params"),
    "tokens": ("tokens", "n_tokens", "train/tokens", "tokens_seen", "train/tokens_seen", "num_input_tokens_seen",
               "train/num_input_tokens_seen", "config.tokens"),
    "unique_tokens": ("unique_tokens", "config.unique_tokens"),
    "flops": ("flops", "total_flos", "train/total_flos", "train/flops"),
    "dollars": ("dollars", "cost"),
    "seed": ("seed", "config.seed"),
    "vocabulary": ("vocabulary", "vocab_size", "config.vocab_size"),
    "bits_per_byte": ("bits_per_byte", "bpb", "eval/bpb", "val/bpb", "eval/bits_per_byte"),
    "loss": ("eval/loss", "val/loss", "validation/loss", "eval_loss", "val_loss", "validation_loss", "loss",
             "train/loss", "train_loss", "loss_metrics/global_avg_loss"),
}  # fmt: skip
STEP = ("_step", "step", "global_step", "train/global_step")
TRAINING = ("loss", "train/loss", "train_loss", "loss_metrics/global_avg_loss")
TITAN = re.compile(r"(validate )?step:\s*([\d,]+)\s.*?loss:\s*([-+\d.eE]+|nan|inf)")
COLOUR = re.compile(r"\x1b\[[0-9;]*m")


def import_runs(
    path: Path | str, mapping: Mapping[str, str] | None = None, facts: Mapping[str, str] | None = None
) -> RunTable:
    """The run table in a tracker's CSV export, a torchtitan log (.log, .txt) or a trainer_state.json.

    `mapping` is {our column: their column} and goes before the common names, `facts` {our column: value} fills holes.
    Raises UserError for what cannot be read or lacks a column that no fact fills.
    """
    path = Path(path)
    mapping, facts = dict(mapping or {}), dict(facts or {})
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}; give a tracker's export or a log") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not UTF-8 text; give a CSV export, a torchtitan log or trainer_state.json") from None
    if path.suffix == ".json":
        rows = _trainer_state(path, text)
    elif path.suffix in (".log", ".txt", ".out"):
        rows = _titan(path, text)
    else:
        rows = _tracker(path, text, mapping)
    return RunTable.from_rows([_with_facts(row, facts, path) for row in rows], path.name)


def _with_facts(row: Row, facts: Mapping[str, str], path: Path) -> Row:
    filled = {k: v for k, v in row.items() if k != "step"}
    for name, value in facts.items():
        if name == "tokens_per_step":
            try:
                filled.setdefault("tokens", float(str(row["step"]).replace(",", "")) * float(value))
            except (KeyError, ValueError):
                raise UserError(
                    f"tokens_per_step = {value}: {path.name} has no steps to count, or it is no number"
                ) from None
        elif filled.get(name) in (None, ""):
            filled[name] = value
    if not {"tokens", "flops"} & set(filled):
        raise UserError(f"{path.name}: says neither tokens nor flops; give tokens_per_step=… or tokens=…")
    if "params" not in filled:
        raise UserError(f"{path.name}: says no params; give params=…, or map the column that holds them")
    return filled


def _tracker(path: Path, text: str, mapping: dict[str, str]) -> list[Row]:
    try:
        reader = csv.DictReader(text.splitlines())
        names = [name.strip() for name in reader.fieldnames or []]
        reader.fieldnames = names
        given = list(reader)
    except csv.Error as error:
        raise UserError(f"{path}: not a CSV file ({error})") from None
    if not given:
        raise UserError(f"{path}: has no rows; export the runs again")
    for ours, theirs in mapping.items():
        if theirs not in names:
            raise UserError(f"{path.name}: no column '{theirs}' (mapped to {ours}); it has {', '.join(names[:20])}")
    lower = {name.lower(): name for name in names}
    found = {ours: lower[alias] for ours, known in ALIASES.items() for alias in reversed(known) if alias in lower}
    found |= mapping
    if not {"loss", "bits_per_byte"} & set(found):
        raise UserError(f"{path.name}: no column of losses found among {', '.join(names[:20])}; map one: loss=THEIRS")
    step = mapping.get("step") or next((lower[alias] for alias in STEP if alias in lower), None)
    loss = found.get("bits_per_byte", found.get("loss", ""))
    kind = "training text" if loss.lower() in TRAINING and loss == found.get("loss") else "validation"
    taken = set(found.values()) | {step}
    rows: dict[str, tuple[float, Row]] = {}
    for i, line in enumerate(given):
        if not (line.get(loss) or "").strip() or line[loss].lower() == "nan":
            continue
        row: Row = {ours: line[theirs] for ours, theirs in found.items()}
        row |= {name: line[name] for name in names if name not in taken and name not in row}
        row.setdefault("validation", kind)
        at = _number(line.get(step, "")) if step else 0.0
        row["step"] = at
        key = str(row.get("run") or f"row-{i + 1}")
        if key not in rows or step is None or at >= rows[key][0]:
            rows[key if step else f"{key}-{i}"] = (at, row)
    if not rows:
        raise UserError(f"{path.name}: the column '{loss}' is empty in every row")
    return [row for _, row in rows.values()]


def _number(text: str) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        return -1.0


def _titan(path: Path, text: str) -> list[Row]:
    last: dict[bool, Row] = {}
    for line in text.splitlines():
        found = TITAN.search(COLOUR.sub("", line))
        if found:
            validates = bool(found.group(1))
            what = "validation" if validates else "training text"
            step = int(found.group(2).replace(",", ""))
            last[validates] = {"run": path.stem, "step": step, "loss": found.group(3), "validation": what}
    if not last:
        raise UserError(f"{path.name}: no line like 'step: 10  loss: 4.1234'; give a torchtitan log")
    return [last.get(True, last.get(False, {}))]


def _trainer_state(path: Path, text: str) -> list[Row]:
    try:
        state = json.loads(text)
        history = [entry for entry in state["log_history"] if isinstance(entry, dict)]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise UserError(f"{path.name}: not a trainer_state.json with log_history") from None
    for name, what in (("eval_loss", "validation"), ("loss", "training text")):
        measured = [entry for entry in history if name in entry and "step" in entry]
        if measured:
            entry = measured[-1]
            row: Row = {
                "run": path.parent.name or path.stem,
                "step": entry["step"],
                "loss": entry[name],
                "validation": what,
            }
            seen = entry.get("num_tokens", entry.get("num_input_tokens_seen")) or 0
            return [row | ({"tokens": seen} if seen else {})]
    raise UserError(f"{path.name}: log_history has neither eval_loss nor loss")

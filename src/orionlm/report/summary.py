"""A run in numbers: what `orion report --json` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orionlm.ledger import Entry, totals
from orionlm.report.reading import Run, Trial, read_run

FORECAST = ("predicted", "low", "high", "measured", "flops_ratio", "verdict")
SPENT = ("flops", "flops_kind", "tokens", "seconds", "utilization", "dollars", "dollars_source", "entries")


def summarize(run_dir: Path) -> dict[str, Any]:
    """Forecast, models, ledger totals, stages and accepted drift of a run, finished or not.

    `forecast` is the recipe's first, `forecasts` all of them, with null for what is not there yet: `verdict` is null
    until a forecast is refused ("cannot tell") or compared with its run ("inside", "outside"). Losses are bits per
    byte. Raises UserError for a directory that is no run, and for a corrupt artifact.
    """
    run = read_run(Path(run_dir))
    forecasts = [{"stage": trial.forecast.name} | outlook(trial) for trial in run.trials]
    first = forecasts[0] if forecasts else {}
    return {
        "run": run.name,
        "recipe": run.recipe.get("name"),
        "seed": run.recipe.get("seed", 0),
        "forecast": {name: first.get(name) for name in FORECAST},
        "forecasts": forecasts,
        "models": [{"stage": stage.name} | result for stage, result in models(run)],
        "ledger": spent(run.entries),
        "stages": [{"name": stage.name, "kind": stage.kind, "state": stage.state} for stage in run.stages],
        "drift": list(run.drift),
    }


def outlook(trial: Trial) -> dict[str, Any]:
    """What was said of a run before it began, and what it then reached."""
    numbers = {name: trial.found.get(name, trial.said.get(name)) for name in FORECAST}
    verdict = trial.found.get("verdict")
    if trial.said.get("verdict") == "cannot tell":
        verdict = "cannot tell"
        numbers |= {"predicted": None, "low": None, "high": None}
    return numbers | {"verdict": verdict}


def models(run: Run) -> list[tuple[Any, dict[str, Any]]]:
    """Every finished training run, as (stage, its result.json)."""
    results = [(stage, stage.json("result.json")) for stage in run.of_kind("train")]
    return [(stage, result) for stage, result in results if result]


def spent(entries: Sequence[Entry]) -> dict[str, Any]:
    """Ledger totals, overall and by purpose, killed attempts included."""
    nothing = {"flops": 0.0, "flops_kind": "counted", "tokens": 0, "seconds": 0.0, "utilization": None}
    nothing |= {"dollars": None, "dollars_source": "", "entries": 0}
    whole = totals(entries, by=())
    return {
        "total": {name: (whole[0] if whole else nothing)[name] for name in SPENT},
        "by_purpose": {row["purpose"]: {name: row[name] for name in SPENT} for row in totals(entries)},
    }

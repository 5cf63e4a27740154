"""A run as one offline page: `RUN/report.html`, static SVG, no script, nothing fetched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from orionlm.artifact import write_text
from orionlm.ledger import totals
from orionlm.report import numbers
from orionlm.report.levers import lever_views
from orionlm.report.reading import Run, Stage, Study, Trial, read_run
from orionlm.report.summary import models, outlook, spent
from orionlm.report.synthetic import sections
from orionlm.report.tasks import task_views

Z90 = 1.645
CONTROLS = [*range(32), *range(127, 160), *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0xD800, 0xE000)]
UNPRINTABLE = {code: "\ufffd" for code in CONTROLS if chr(code) not in "\n\t"}


def write_report(run_dir: Path) -> Path:
    """Write RUN/report.html, whole or not at all, and return its path.

    Works for unfinished runs, refused forecasts and recipes without one. Raises UserError for a directory that is no
    run, and for a corrupt artifact.
    """
    page = Path(run_dir) / "report.html"
    write_text(page, render(read_run(Path(run_dir))))
    return page


def render(run: Run) -> str:
    """The page's text. All that came from outside is escaped; text of a model is hostile."""
    import jinja2
    from markupsafe import Markup

    here = resources.files("orionlm.report")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= numbers.FILTERS
    environment.globals["between"] = numbers.between
    results = {stage.name: result for stage, result in models(run)}
    text = environment.from_string(here.joinpath("page.html").read_text(encoding="utf-8")).render(
        style=Markup(here.joinpath("page.css").read_text(encoding="utf-8")),
        run=run,
        headlines=headlines(run, results),
        ahead=[stage for stage in run.stages if stage.state != "done"],
        studies=[study_view(study, i, run) for i, study in enumerate(run.studies)],
        levers=lever_views(run),
        synthetic=sections(run),
        tasks=task_views(run),
        models=[model_view(stage, results[stage.name]) for stage in run.of_kind("train") if stage.name in results],
        samples=[
            sample for trial in run.trials if trial.outcome for sample in trial.outcome.json("samples.json") or []
        ],
        ledger=totals(run.entries),
        spent=spent(run.entries)["total"],
        made=[made_view(run, stage) for stage in run.stages],
    )
    return text.translate(UNPRINTABLE)


def headlines(run: Run, results: Mapping[str, dict]) -> list[dict[str, str]]:
    """What came of the run, a sentence a person understands for each forecast: {verdict, sentence}."""
    if run.trials:
        found = [_headline(trial) for trial in run.trials]
        if any(item["verdict"] != "ahead" for item in found):
            return found
    if results:
        return [
            {"verdict": "trained", "sentence": f"Trained {name}: {numbers.bits(r.get('bits_per_byte'))} bits per byte."}
            for name, r in results.items()
        ]
    if all(stage.state == "done" for stage in run.stages):
        return [{"verdict": "done", "sentence": f"All {len(run.stages)} stages are done."}]
    begun = "Nothing is measured yet." if run.studies else "The run is unfinished."
    return [{"verdict": "ahead", "sentence": begun}]


def _headline(trial: Trial) -> dict[str, str]:
    seen = outlook(trial)
    measured = seen["measured"]
    reach = (
        f" at {numbers.times(seen['flops_ratio'])} the compute of the largest ladder run" if seen["flops_ratio"] else ""
    )
    if seen["verdict"] == "cannot tell":
        why = str(trial.said.get("why") or trial.found.get("why") or "no reason was recorded").rstrip(".")
        after = (
            f" The run was made all the same and measured {numbers.bits(measured)} bits per byte." if measured else ""
        )
        return {"verdict": "cannot tell", "sentence": f"Cannot tell: {why}. No loss was forecast{reach}.{after}"}
    if seen["predicted"] is None:
        return {"verdict": "ahead", "sentence": f"{trial.forecast.name}: no forecast yet."}
    said = f"Forecast {numbers.bits(seen['predicted'])} ({numbers.between(seen['low'], seen['high'])}) bits per byte"
    if measured is None:
        return {"verdict": "forecast", "sentence": f"{said}{reach}; not measured yet."}
    return {
        "verdict": str(seen["verdict"]),
        "sentence": f"{said} before the run; measured {numbers.bits(measured)}: {seen['verdict']}.",
    }


def study_view(study: Study, index: int, run: Run) -> dict[str, Any]:
    """Charts and tables of one ladder and its forecasts."""
    view: dict[str, Any] = {"name": study.ladder.name, "trials": [], "ladder": None, "points": 0}
    if study.ladder.artifact is None:
        return view
    from orionlm.gain.runs import read_runs
    from orionlm.report import charts

    table = read_runs(study.ladder.artifact.file("runs.csv"))
    rows = [row | {"loss": row[table.metric]} for row in table.rows()]
    rows = [{name: row[name] for name in ("run", "params", "tokens", "flops", "loss")} for row in rows]
    view |= {"points": len(rows), "ladder": charts.ladder(f"ladder{index}", rows)}
    said = [trial for trial in study.trials if trial.said]
    if not said:
        return view
    curve = _curve(rows, said)
    targets = [_target(trial) for trial in said]
    if curve or any(target["measured"] is not None for target in targets):
        view["law"] = charts.law(f"law{index}", rows, curve, targets)
    view["trials"] = [_trial_view(trial, f"forecast{index}-{k}", len(rows)) for k, trial in enumerate(said)]
    first = next((trial.said for trial in said if trial.said.get("wall")), None)
    if first and curve:
        view["wall"] = charts.wall(f"wall{index}", first["wall"])
        view["bought"] = list(_bought(first["wall"], run))
    regime = next((trial.said["regime"] for trial in said if trial.said.get("regime")), None)
    if regime:
        params = {row["run"]: row["params"] for row in rows}
        scores = [row | {"params": params[row["run"]]} for row in regime.get("induction") or [] if row["run"] in params]
        view["regime"] = regime
        view["scores"] = charts.regime(f"regime{index}", scores, regime.get("least")) if scores else None
    return view


def _curve(rows: list[dict], trials: list[Trial]) -> Any:
    """The law that the first of the forecasts was drawn from; None where all were refused."""
    from orionlm.plan.posterior import Fits
    from orionlm.report.law import curve

    made = [trial for trial in trials if trial.said.get("verdict") == "forecast" and trial.forecast.json("fits.json")]
    if not made:
        return None
    fits = Fits.from_json(made[0].forecast.json("fits.json"))
    return curve(fits, rows, [trial.said["target"] for trial in made], made[0].said.get("level") or 0.9)


def _target(trial: Trial) -> dict[str, Any]:
    return {"flops": trial.said["target"]["flops"]} | outlook(trial)


def _trial_view(trial: Trial, name: str, points: int) -> dict[str, Any]:
    from orionlm.report import charts

    seen = outlook(trial) | {"level": trial.said.get("level") or trial.found.get("level") or 0.9}
    baselines = {str(key): value for key, value in (trial.said.get("baselines") or {}).items() if value is not None}
    drawn = seen["predicted"] is not None or seen["measured"] is not None
    laws = sorted((trial.said.get("by_law") or {}).items(), key=lambda item: -item[1]["weight"])
    return {
        "name": trial.forecast.name,
        "seen": seen,
        "said": trial.said,
        "found": trial.found,
        "digest": trial.forecast.artifact.digest if trial.forecast.artifact else "",
        "points": points,
        "target": trial.said.get("target") or {},
        "chart": charts.comparison(name, seen, baselines) if drawn else None,
        "laws": laws,
    }


def _bought(wall: list[dict], run: Run) -> Iterator[dict[str, Any]]:
    """The wall's rows with what each step buys, and how long it would take at this run's training speed."""
    training = next((row for row in totals(run.entries) if row["purpose"] == "train"), None)
    speed = training["flops"] / training["seconds"] if training and training["seconds"] > 0 else 0.0
    before = None
    for row in wall:
        drop = row.get("drop") or (1 - row["loss"] / before if before else None)
        band = (row.get("drop_low"), row.get("drop_high")) if row.get("drop") else (None, None)
        factor = row["flops"] / wall[0]["flops"]
        yield row | {
            "factor": factor,
            "drop": drop,
            "drop_band": band,
            "seconds": row["flops"] / speed if speed else None,
        }
        before = row["loss"]


def model_view(stage: Stage, result: Mapping[str, Any]) -> dict[str, Any]:
    """One trained model, its loss with a 90% interval."""
    error = result.get("standard_error")
    return {
        "name": stage.name,
        "result": result,
        "half": Z90 * error if error is not None else None,
        "digest": stage.artifact.digest if stage.artifact else "",
    }


def made_view(run: Run, stage: Stage) -> dict[str, Any]:
    """How one stage was made: state, seed, digest and settings, a line each."""
    manifest = stage.artifact.manifest if stage.artifact else {}
    asked = {key: value for key, value in stage.table.items() if key not in ("kind", "inputs", "seed")}
    return {
        "stage": stage,
        "seed": manifest.get("seed", stage.table.get("seed", run.recipe.get("seed", 0))),
        "digest": stage.artifact.digest if stage.artifact else "",
        "code": manifest.get("code", ""),
        "settings": list(flat(manifest.get("settings", asked))),
        "inputs": ", ".join(dict.fromkeys(stage.inputs.values())),
    }


def flat(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Nested settings as (dotted name, plain value)."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from flat(inner, f"{at}.{key}" if at else str(key))
    elif isinstance(value, list) and any(isinstance(item, (Mapping, list)) for item in value):
        for i, inner in enumerate(value, start=1):
            yield from flat(inner, f"{at} {i}")
    else:
        yield at, None if isinstance(value, Mapping) else value

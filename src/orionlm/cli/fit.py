"""`orion fit` and `orion forecast`: a scaling law from a table of runs, and what it says of a run not yet made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MOST_RESAMPLES, MOST_WORK = 100_000, 10_000_000  # resamples, and rows times resamples: minutes of work
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def fit(
    runs: Annotated[
        Path, typer.Argument(help="A run table, CSV or Parquet: params, tokens or flops, loss or bits_per_byte.")
    ],
    law: Annotated[
        str,
        typer.Option(help="chinchilla, gadre, coupled, kaplan, data, compute or repetition; --out: all joint laws."),
    ] = "",
    drop_worst: Annotated[int, typer.Option(help="Leave out this many rows of highest loss.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Refits to resampled runs, for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the fit here, for `orion forecast`.")] = None,
    as_json: Json = False,
) -> None:
    """Fit L = E + A/N^alpha + B/D^beta, or another law, to runs, robustly, with bootstrap intervals.

    Where rows have fewer unique_tokens than tokens, the repetition law is fitted first, and the others to what the
    repeated text is worth in fresh tokens.

    \b
    Examples:
      orion fit runs.csv --out fit.json
      orion fit runs.csv --law repetition --json
      orion fit chinchilla_points.csv --drop-worst 5 --bootstrap 4000 --json
    """
    import errno
    import os
    import time
    from dataclasses import replace

    import numpy as np

    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.gain.runs import read_runs
    from orionlm.plan.fit import fit_robust
    from orionlm.plan.laws import JOINT, LAWS
    from orionlm.plan.repetition import MEASURED, fit_repetition
    from orionlm.settings import nearest

    if not 0 <= bootstrap <= MOST_RESAMPLES:
        raise UserError(f"bootstrap = {bootstrap}: give 0 to {MOST_RESAMPLES:,} resamples")
    if law and law not in (*LAWS, "repetition"):
        raise UserError(f"law = {law}: no such law, {nearest(law, [*LAWS, 'repetition'])}")
    if out is not None and (not out.name or os.path.isdir(out)):
        raise UserError(f"--out {out}: is a directory; give the name of a file, such as fit.json")
    if out and not os.path.isdir(out.parent):
        raise UserError(f"--out {out}: there is no directory {out.parent}; make it first")
    table = read_runs(runs)
    points = table.points()
    kept = replace(points, run=np.arange(len(points))).without_worst(drop_worst).run
    points, unique = points.select(kept), table["unique_tokens"][kept]
    if len(points) * max(bootstrap, 200) > MOST_WORK:
        raise UserError(
            f"{runs.name}: {len(points):,} rows with {bootstrap:,} resamples are too much work; keep one point a run, "
            f"or give --bootstrap {max(MOST_WORK // len(points), 0):,} or less"
            if len(points) * 200 <= MOST_WORK
            else f"{runs.name}: {len(points):,} rows are more than {MOST_WORK // 200:,}; keep one point a run"
        )
    repeats = unique < points.tokens
    repetition, said, note = None, {}, ""
    if repeats.any():
        begin = time.perf_counter()
        repetition = fit_repetition(
            points.params,
            points.tokens,
            unique,
            points.loss,
            seed,
            min(bootstrap, 200),
            points.run,
            MEASURED,
            points.unit,
        )
        said = repetition.to_json() | {"seconds": time.perf_counter() - begin}
        points, fresh = repetition.fresh(points, unique)
        if not fresh.any() and law != "repetition":
            raise UserError(
                f"{runs.name}: repetition hurts all {len(repeats)} rows, so none is left to fit; check unique_tokens"
            )
        note = (
            f"{int(repeats.sum())} of {len(repeats)} rows repeat text: fitted to effective tokens, R* = "
            f"{said['r_star']:.3g}"
            + (f"; {int((~fresh).sum())} rows hurt by repetition are left out" * (not fresh.all()))
        )
    elif law == "repetition":
        raise UserError(f"{runs.name}: no row has fewer unique_tokens than tokens, so none tells what repetition does")
    result = None
    if law != "repetition" or out:
        result = fit_robust(points, LAWS.get(law, LAWS["chinchilla"]), bootstrap if law != "repetition" else 0, seed)
    if out and result:
        from orionlm.artifact import write_json
        from orionlm.plan.posterior import fit_laws

        saved = result.to_json()
        del saved["seconds"]
        fits = fit_laws(points, (law,) if law in LAWS else JOINT, seed=seed)
        block = {} if repetition is None else {"repetition": repetition.to_json()}
        try:
            write_json(out, replace(fits, robust=saved).to_json() | block)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise UserError(f"--out {out}: {(error.strerror or str(error)).lower()}; choose another place") from None
    shown = {name: value for name, value in said.items() if name != "fit"}
    if law != "repetition" and result:
        shown = result.to_json() | ({"repetition": shown} if shown else {})
    if as_json:
        print_json(shown)
        return
    if law == "repetition":
        print("L = [E + A/N^alpha + B/D'^beta + S/D^sigma]·e^h   " + f"{len(repeats)} rows of {points.unit}")
        _print_values(shown)
    elif result:
        shape = "L = E + A/N^alpha + B/D^beta" if law in ("", "chinchilla") else f"law '{law}'"
        print(f"{shape}   {result.n} rows of {points.unit}   objective {result.objective:.5g}")
        _print_values(shown)
    if note:
        print(note)
    if out:
        again = " [--unique-tokens U]" if repetition else ""
        print(f"written to {out}; next: orion forecast {out} --params N --tokens D{again}")


def _print_values(shown: dict) -> None:
    """Every parameter with its standard deviation and interval."""
    from orionlm.cli.output import number, print_table

    sd, interval = shown["sd"], shown["interval"]
    named = [name for name in shown if isinstance(shown[name], float) and name not in ("objective", "seconds", "noise")]
    print_table(
        ["", "value", "sd", "90% interval"],
        [
            [
                name,
                number(shown[name]),
                number(sd[name]) if sd and sd[name] is not None else "–",
                " to ".join("–" if v is None else number(v) for v in interval[name]) if interval else "–",
            ]
            for name in named
        ],
    )


def forecast(
    fitted: Annotated[Path, typer.Argument(metavar="FIT.json", help="What `orion fit --out` wrote.")],
    params: Annotated[float, typer.Option(help="Parameters of the new run, such as 7e9.")],
    tokens: Annotated[float, typer.Option(help="Training tokens of the new run, such as 1.4e11.")],
    unique_tokens: Annotated[
        float | None, typer.Option(help="How many of the tokens are different; fewer than --tokens are repeated.")
    ] = None,
    scores: Annotated[
        Path | None, typer.Option(help="A CSV of measured models, loss and score: also forecast the task's score.")
    ] = None,
    chance: Annotated[float, typer.Option(help="The score that guessing gets, as a share, for --scores.")] = 0.0,
    level: Annotated[float, typer.Option(help="Probability that the interval is to hold the run with.")] = 0.9,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Go past 16 times the largest fitted compute.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Forecast the loss of a run that has not been made, with an interval.

    The interval carries the parameters' and the laws' uncertainty and the noise of the run itself; with
    --unique-tokens also that of what a repeated token is worth, and of what overfitting costs.

    \b
    Examples:
      orion forecast fit.json --params 7e9 --tokens 1.4e11
      orion forecast fit.json --params 7e9 --tokens 1.4e11 --unique-tokens 2e10
      orion forecast fit.json --params 7e9 --tokens 1.4e11 --scores scores.csv --chance 0.25
      orion forecast fit.json --params 7e10 --tokens 1.4e12 --extrapolate --json
    """
    from orionlm.cli.output import number, print_json, print_table
    from orionlm.plan.forecast import forecast as predict
    from orionlm.plan.posterior import read_fits

    fits = read_fits(fitted)
    if unique_tokens is None:
        said = predict(fits, params, tokens, level, extrapolate)
    else:
        from orionlm.plan.repeated import forecast_repeated, read_repetition

        said = forecast_repeated(fits, params, tokens, unique_tokens, level, extrapolate, read_repetition(fitted))
    value = said.to_json()
    if scores:
        from orionlm.plan.downstream import fit_accuracy, read_scores

        task = fit_accuracy(*read_scores(scores, said.unit), chance)
        middle, low, high = task.forecast(said.loss, said.low, said.high, level, extrapolate)
        value["score"] = {
            "value": middle,
            "low": low,
            "high": high,
            "predictable": task.verdict,
            "explained": task.explained,
            "n": task.n,
            "warnings": list(task.warnings),
        }
    if as_json:
        print_json(value)
        return
    print(
        f"{said.unit} {said.loss:.4f}   {100 * level:g}% interval {said.low:.4f} to {said.high:.4f}"
        f" (±{100 * said.half_width:.1f}%)"
    )
    if scores:
        score = value["score"]
        print(f"score {score['value']:.3f}   {100 * level:g}% interval {score['low']:.3f} to {score['high']:.3f}")
    print(f"{number(said.flops)} FLOPs, {number(said.extrapolation_factor)} times the largest fitted run")
    print_table(
        ["law", "weight", "loss", "low", "high"],
        [
            [name, f"{row['weight']:.2f}", *(f"{row[key]:.4f}" for key in ("loss", "low", "high"))]
            for name, row in said.by_law.items()
        ],
    )
    for warning in [*said.warnings, *(value["score"]["warnings"] if scores else [])]:
        print(f"warning: {warning}")


def register(app: typer.Typer) -> None:
    """Adds both commands to the command line."""
    app.command("fit")(fit)
    app.command("forecast")(forecast)

"""`orion fit` and `orion forecast`: a scaling law from a table of runs, and what it says of a run not yet made."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def fit(
    runs: Annotated[
        Path, typer.Argument(help="A run table, CSV or Parquet: params, tokens or flops, loss or bits_per_byte.")
    ],
    drop_worst: Annotated[int, typer.Option(help="Leave out this many rows of highest loss.")] = 0,
    bootstrap: Annotated[int, typer.Option(help="Refits to resampled runs, for the intervals.")] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the fit here, for `orion forecast`.")] = None,
    as_json: Json = False,
) -> None:
    """Fit L = E + A/N^alpha + B/D^beta to runs, robustly, with bootstrap intervals.

    \b
    Examples:
      orion fit runs.csv --out fit.json
      orion fit chinchilla_points.csv --drop-worst 5 --bootstrap 4000 --json
    """
    from orionlm.cli.output import number, print_json, print_table
    from orionlm.errors import UserError
    from orionlm.gain.runs import read_runs
    from orionlm.plan.fit import fit_robust

    if bootstrap < 0:
        raise UserError(f"bootstrap = {bootstrap}: give 0 or more resamples")
    if out and not out.parent.is_dir():
        raise UserError(f"--out {out}: there is no directory {out.parent}; make it first")
    points = read_runs(runs).points().without_worst(drop_worst)
    result = fit_robust(points, bootstrap=bootstrap, seed=seed)
    if out:
        from dataclasses import replace

        from orionlm.artifact import write_json
        from orionlm.plan.posterior import fit_laws

        saved = result.to_json()
        del saved["seconds"]
        write_json(out, replace(fit_laws(points, seed=seed), robust=saved).to_json())
    if as_json:
        print_json(result.to_json())
        return
    values, sd, interval = result.values(), result.sd(), result.interval()
    print(f"L = E + A/N^alpha + B/D^beta   {result.n} rows of {points.unit}   objective {result.objective:.5g}")
    print_table(
        ["", "value", "sd", "90% interval"],
        [
            [
                name,
                number(float(values[name])),
                number(sd[name]) if sd else "–",
                " to ".join(number(v) for v in interval[name]) if interval else "–",
            ]
            for name in ("A", "B", "E", "alpha", "beta")
        ],
    )
    if out:
        print(f"written to {out}; next: orion forecast {out} --params N --tokens D")


def forecast(
    fitted: Annotated[Path, typer.Argument(metavar="FIT.json", help="What `orion fit --out` wrote.")],
    params: Annotated[float, typer.Option(help="Parameters of the new run, such as 7e9.")],
    tokens: Annotated[float, typer.Option(help="Training tokens of the new run, such as 1.4e11.")],
    level: Annotated[float, typer.Option(help="Probability that the interval is to hold the run with.")] = 0.9,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Go past 16 times the largest fitted compute.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Forecast the loss of a run that has not been made, with an interval.

    The interval carries the parameters' and the laws' uncertainty and the noise of the run itself.

    \b
    Examples:
      orion forecast fit.json --params 7e9 --tokens 1.4e11
      orion forecast fit.json --params 7e10 --tokens 1.4e12 --extrapolate --json
    """
    from orionlm.cli.output import number, print_json, print_table
    from orionlm.plan.forecast import forecast as predict
    from orionlm.plan.posterior import read_fits

    said = predict(read_fits(fitted), params, tokens, level, extrapolate)
    if as_json:
        print_json(said.to_json())
        return
    print(
        f"{said.unit} {said.loss:.4f}   {100 * level:g}% interval {said.low:.4f} to {said.high:.4f}"
        f" (±{100 * said.half_width:.1f}%)"
    )
    print(f"{number(said.flops)} FLOPs, {number(said.extrapolation_factor)} times the largest fitted run")
    print_table(
        ["law", "weight", "loss", "low", "high"],
        [
            [name, f"{row['weight']:.2f}", *(f"{row[key]:.4f}" for key in ("loss", "low", "high"))]
            for name, row in said.by_law.items()
        ],
    )
    for warning in said.warnings:
        print(f"warning: {warning}")


def register(app: typer.Typer) -> None:
    """Adds both commands to the command line."""
    app.command("fit")(fit)
    app.command("forecast")(forecast)

"""`orion plateau`: below its law, or only below hopes."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def plateau(
    line: Annotated[
        Path, typer.Argument(metavar="LINE.csv", help="The models in order, the latest last; CSV or TOML.")
    ],
    chance: Annotated[float, typer.Option(help="The score that guessing gets, as a share.")] = 0.0,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Judge past 100 times the compute of the earlier models.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Was a line's latest model below what its own law promised, or only below what people hoped?

    \b
    Columns: model; flops, or params and tokens; score (0 to 1, or 0 to 100), or loss;
    planned (what was hoped for, of which the last row's is used).
    In TOML: [[model]] tables with the same keys, model being the name.

    \b
    Examples:
      orion plateau line.csv
      orion plateau line.csv --chance 0.25 --json
    """
    from orionlm.cli.output import print_json, print_table
    from orionlm.plan.plateau import plateau as judge
    from orionlm.plan.plateau import read_line

    said = judge(read_line(line), chance, extrapolate)
    if as_json:
        print_json(said.to_json())
        return
    print(said.words)
    if said.by_law:
        print_table(
            ["law", "promised", "low", "high", "P(this low or worse)"],
            [
                [name, *(f"{law[key]:.4g}" for key in ("promised", "low", "high")), f"{law['probability']:.2f}"]
                for name, law in said.by_law.items()
            ],
        )
    for warning in said.warnings:
        print(f"warning: {warning}")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("plateau")(plateau)

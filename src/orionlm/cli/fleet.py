"""`orion fleet`: which run goes on which cluster and when, what holds the timeline up, what renting would free."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def fleet(
    path: Annotated[
        Path, typer.Argument(metavar="FLEET.toml", help="Clusters and their dates, runs, and what may be rented.")
    ],
    seed: Annotated[int, typer.Option(min=0, help="Random seed of the intervals.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Schedule runs on clusters that come online at dates.

    Ends with exit code 2, and names the smallest change that mends it, where the deadlines cannot be met.

    \b
    Examples:
      orion fleet FLEET.toml
      orion fleet FLEET.toml --json
    \b
    A file:
      start = 2026-01-01
      money = "$30M"            # all that rent may cost; only with [[rent]]
      [[cluster]]
      name = "new hall"
      accelerator = "H100"
      devices = "20K"
      online = 2026-04-01
      slip = ["1 week", "3 months"]
      utilisation = ["33%", "42%"]
      [[rent]]
      name = "cloud"
      accelerator = "H100"
      devices = "4K"
      price = "$2.35"           # a device hour
      [[run]]
      name = "flagship"
      flops = "1e26"
      min_devices = "8K"
      deadline = 2026-12-31
      priority = 3
    """
    from orionlm.cli.output import print_json, print_table
    from orionlm.errors import UserError
    from orionlm.plan.fleet import plan, read_fleet

    settings, table, document = read_fleet(path)
    made = plan(settings, table, document, seed)
    verdict = "the deadlines cannot be met" if made.proven else "no plan was found that meets the deadlines"
    problem = f"{path}: {verdict}; the smallest changes that would: {'; or '.join(made.relaxations)}"
    if as_json:
        print_json(made.to_json())
        if not made.feasible:
            raise UserError(problem)
        return
    print_table(
        ["run", "on", "from", "to", "90% interval", "wanted by", "on time", "earliest", "rent"],
        [
            [
                run.name,
                run.cluster,
                f"{run.start}",
                f"{run.finish}",
                f"{run.low} to {run.high}" if run.low != run.high else "–",
                f"{run.deadline}" if run.deadline else "–",
                f"{100 * run.on_time:.0f}%" if run.on_time is not None else "–",
                f"{run.earliest}",
                f"${run.dollars / 1e6:,.1f}M" if run.dollars else "–",
            ]
            for run in made.runs
        ],
    )
    for line in (made.bound.words, made.freed.words if made.freed else ""):
        if line:
            print(line[0].upper() + line[1:] + ".")
    for warning in made.warnings:
        print(f"warning: {warning}")
    if not made.feasible:
        raise UserError(problem)


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("fleet")(fleet)

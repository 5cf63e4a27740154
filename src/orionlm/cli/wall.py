"""`orion wall`: when text runs out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def wall(
    inputs: Annotated[Path | None, typer.Argument(metavar="[WALL.toml]", help="Inputs that differ.")] = None,
    overtraining: Annotated[
        float | None, typer.Option(help="Tokens per parameter over the compute-optimal number.")
    ] = None,
    year: Annotated[int | None, typer.Option(help="Give the probability that text runs out by this year.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """When the largest training run needs all public text: the year's distribution, and what moves it.

    \b
    WALL.toml may set, as one value or as the ends of a 90% interval, ["130T", "2100T"] or [low, median, high]:
      web = "indexed web"        or "common crawl", "whole web"
      raw, stock                 raw tokens; or effective tokens (in place of raw, quality and repetition)
      quality, repetition        share that is worth training on; what repeating multiplies it by
      demand, demand_year        tokens of the largest run, and its date such as 2024.56
      growth                     of the demand, in orders of magnitude a year (0.38)
      overtraining, synthetic_share, synthetic_worth

    \b
    Examples:
      orion wall
      orion wall --overtraining 5 --year 2026 --json
      orion wall my-wall.toml
    """
    import numpy as np

    from orionlm.cli.output import number, print_json, print_table
    from orionlm.errors import UserError
    from orionlm.plan.draws import Draws
    from orionlm.plan.quantity import FACTOR, parse
    from orionlm.plan.stock import Wall, exhaustion, probability_by, read_wall

    asked = read_wall(inputs) if inputs else Wall()
    if overtraining is not None:
        try:
            asked = asked.model_copy(update={"overtraining": parse(FACTOR, overtraining)})
        except ValueError as error:
            raise UserError(f"--overtraining {error}") from None
    draws = Draws(seed=seed)
    said = exhaustion(asked, draws)
    value = said.to_json()
    if year is not None:
        years = asked.years(draws)[1:]
        value["year"] = year
        value["probability"] = probability_by(years, year)
        value["probability_before"] = float(np.mean(years < year))
    if as_json:
        print_json(value)
        return
    (low, high), (low90, high90) = said.interval80, said.interval90
    print(f"Demand meets the stock of text in {said.median:.1f}")
    print(f"80% interval {low:.1f} to {high:.1f}, 90% {low90:.1f} to {high90:.1f}")
    if year is not None:
        print(
            f"by the end of {year}: {100 * value['probability']:.0f}%   "
            f"before it begins: {100 * value['probability_before']:.0f}%"
        )
    stock = said.stock
    print(f"effective stock {number(stock['value'])} tokens, 90% {number(stock['low'])} to {number(stock['high'])}\n")
    print_table(
        ["change", "median", "years"],
        [[row["name"], f"{row['median']:.1f}", f"{row['shift_years']:+.1f}"] for row in said.levers],
    )
    for warning in said.warnings:
        print(f"warning: {warning}")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("wall")(wall)

"""`orion pace`: how fast chips improve, train now or wait, and what a slower pace does to a plan."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def pace(
    flops: Annotated[str, typer.Option(help="FLOPs of a run, such as 1e26: train now, or wait? Needs --money.")] = "",
    money: Annotated[str, typer.Option(help='What its cluster may cost to buy, such as "$500M".')] = "",
    accelerator: Annotated[str, typer.Option(help="What that money buys today.")] = "H100",
    utilisation: Annotated[str, typer.Option(help="Of the bf16 peak, net of downtime.")] = "34.6%",
    slowed: Annotated[
        float, typer.Option("--pace", help="A slower pace: the share of the logarithm of the growth of FLOP/$.")
    ] = 0.5,
    years: Annotated[float, typer.Option(help="Years ahead of a plan that counts on the whole growth.")] = 3.0,
    year: Annotated[
        float | None, typer.Option(help="Also say what a chip released then does, and what a frontier run costs then.")
    ] = None,
    accelerators: Annotated[Path | None, typer.Option(help="More accelerators, TOML.")] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Answer for a --year more than 6 years outside the data.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """How fast FLOP/s, FLOP/$ and FLOP/W grow, whether a run should wait, and what a slower pace does to a plan.

    \b
    Examples:
      orion pace
      orion pace --pace 0.5 --years 4
      orion pace --flops 1e27 --money "$500M"
      orion pace --year 2028 --json
    """
    from dataclasses import asdict

    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.plan.accelerators import find, load
    from orionlm.plan.pace import frontier_cost, slower, trends, wait
    from orionlm.plan.quantity import FLOPS, MONEY, SHARE, Quantity, parse

    def read(option: str, dimension: Any, text: str) -> Quantity:
        try:
            return parse(dimension, text)
        except ValueError as error:
            raise UserError(f"--{option} {error}") from None

    if bool(flops) != bool(money):
        raise UserError(f"pace: --{'money' if flops else 'flops'} is missing: whether to wait takes both")
    table = load(accelerators)
    found = trends(table)
    growth = found["flops_per_dollar"].growth
    value: dict[str, Any] = {
        "trends": {
            name: {
                "growth": _interval(trend.growth),
                "doubling_years": trend.doubling_years if trend.slope > 0 else None,
                "n": trend.n,
                "first": trend.first,
                "last": trend.last,
            }
            for name, trend in found.items()
        },
        "slower": {"pace": slowed, "years": years}
        | {name: _interval(part) for name, part in vars(slower(growth, years, slowed, seed)).items()},
    }
    if year is not None:
        value["year"] = year
        value["chip"] = {name: _interval(trend.at(year, extrapolate)) for name, trend in found.items()}
        value["frontier_dollars"] = _interval(frontier_cost(year, extrapolate))
    if flops:
        work, dollars = read("flops", FLOPS, flops), read("money", MONEY, money)
        share, chip = read("utilisation", SHARE, utilisation), find(accelerator, table)
        for name, factor in (("wait", 1.0), ("wait_at_pace", slowed)):
            said = wait(work.median, dollars.median, chip, growth, utilisation=share.median, pace=factor, seed=seed)
            parts = asdict(said) | {name: _interval(part) for name, part in vars(said).items() if _uncertain(part)}
            value[name] = parts
    if as_json:
        print_json(value)
        return
    _print(value)


def _uncertain(value: Any) -> bool:
    return hasattr(value, "is_exact")


def _interval(quantity: Any) -> dict[str, float]:
    return {"value": quantity.median, "low": quantity.low, "high": quantity.high}


def _print(value: dict[str, Any]) -> None:
    from orionlm.cli.output import number, print_table

    def span(part: dict[str, float], scale: float = 1.0) -> str:
        middle, low, high = (number(part[name] * scale) for name in ("value", "low", "high"))
        return middle if low == high else f"{middle} [{low}–{high}]"

    chip = value.get("chip")
    print_table(
        ["bf16", "times a year", "doubles in", "chips", *([f"in {value['year']:g}"] if chip else [])],
        [
            [
                name.replace("_per_", " per ").replace("flops", "FLOP/s"),
                span(row["growth"]),
                f"{row['doubling_years']:.1f} years" if row["doubling_years"] else "–",
                f"{row['n']}, {row['first']:.1f} to {row['last']:.1f}",
                *([span(chip[name])] if chip else []),
            ]
            for name, row in value["trends"].items()
        ],
    )
    slow = value["slower"]
    print(
        f"At {slow['pace']:g} of this pace, a plan {slow['years']:g} years ahead has {span(slow['compute'], 100)}% of "
        f"its FLOPs for the same money, or pays {span(slow['dollars'])} times as much, or comes "
        f"{slow['delay_days']['value']:,.0f} days later."
    )
    if chip:
        dollars = span(value["frontier_dollars"], 1e-6)
        print(f"A frontier run of {value['year']:g} costs ${dollars}M, hardware worn out and power (2405.21015).")
    for name, label in (("wait", "Now or later"), ("wait_at_pace", f"At {slow['pace']:g} of the pace")):
        if name in value:
            said = value[name]
            print(
                f"{label}: {said['verdict']} (waiting ends sooner with {said['worth_waiting']:.0%}; best wait "
                f"{said['wait_days']['value']:,.0f} days): {said['why']}"
            )


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("pace")(pace)

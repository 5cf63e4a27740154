"""`orion plan`: what a budget buys, what holds it back, and what one more unit of each resource would buy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def plan(
    budget: Annotated[
        str, typer.Argument(metavar="[BUDGET.toml]", help="A budget, or a shipped one: day, product, frontier.")
    ] = "",
    evidence: Annotated[
        Path | None, typer.Option(help="A run table: also say which lever to pull next, and how sure that is.")
    ] = None,
    law: Annotated[
        str | None, typer.Option(help="published, besiroglu, hoffmann, or a file of `orion fit --out`.")
    ] = None,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Go far past the fit's own runs.")] = False,
    formulas: Annotated[bool, typer.Option("--formulas", help="Print how each number comes about.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """The best model that a budget buys: its size, text, loss, time, cost, memory and what it can serve.

    \b
    Examples:
      orion plan day
      orion plan budget.toml --law fit.json --json
      orion plan budget.toml --evidence runs.csv

    \b
    A budget:
      [compute]                       every limit that is given holds
      accelerator = "H100"            devices = 8    time = "1 day"    money = "$5M"
      device_hours = "1M GPU-hours"   flops = "1e24"  utilisation = ["33%", "47%"]
      [text]
      unique = "10B"                  or [text.domains.code] tokens = "2B" most_epochs = 4
                                      or mixture = "runs/x/artifacts/mixture"   as `orion run` made it
      synthetic = "1B"                generator_params = "8B"   who writes it, if the budget pays
      [demand]
      tokens = "1e13"                 what the model will be asked for
      [target]
      loss = 2.1                      go, no-go or cannot tell
    """
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.plan.proposal import propose

    if not budget and evidence is None:
        raise UserError("plan: give a BUDGET.toml, or --evidence RUNS.csv, or both; try `orion plan day`")
    answer: dict[str, Any] = {}
    words: list[str] = []
    if budget:
        settings = _read(budget)
        if law:
            settings = settings.model_copy(update={"law": law})
        proposal = propose(settings, extrapolate=extrapolate, seed=seed)
        answer = proposal.to_json()
        if not as_json:
            _print(proposal, formulas)
    if evidence:
        from orionlm.gain.decide import recommend_from
        from orionlm.gain.runs import read_runs

        recommendation = recommend_from(read_runs(evidence), seed=seed)
        answer["next"] = recommendation.to_json()
        words = [recommendation.says, *(f"warning: {line}" for line in recommendation.warnings)]
    if as_json:
        print_json(answer)
    for line in [] if as_json else words:
        print(line)


def _read(name: str) -> Any:
    import os
    from importlib import resources

    from orionlm.errors import UserError
    from orionlm.plan.budget import Budget
    from orionlm.settings import nearest, parse_toml, read_toml, validate

    shipped = {
        entry.name.removesuffix(".toml"): entry
        for entry in (resources.files("orionlm.plan") / "examples" / "budgets").iterdir()
    }
    if name in shipped:
        document = parse_toml(shipped[name].read_text(encoding="utf-8"), f"{name}.toml")
    elif Path(name).suffix == ".toml" or os.path.exists(name):
        document = read_toml(name)
    else:
        raise UserError(f"{name}: no such budget; give a .toml file or a shipped one ({nearest(name, shipped)})")
    return validate(Budget, document.values, document)


def _print(proposal: Any, formulas: bool) -> None:
    from orionlm.cli.output import number, print_table
    from orionlm.plan.quantity import short

    parts = proposal.parts
    print(parts["name"])
    for line in proposal.words:
        print(f"  {line}")
    if len(parts["by_law"]) > 1:
        print("  by law: " + ", ".join(f"{name} {loss:.3f}" for name, loss in parts["by_law"].items()))
    mixture = parts["architecture"]
    if "dense_equivalent" in mixture:
        print(
            f"  {mixture['experts']} experts: as good as {short(mixture['dense_equivalent'])} dense parameters "
            f"[{short(mixture['low'])}–{short(mixture['high'])}], loss lower by {mixture['gain']:.1%}"
        )
    elif "refused" in mixture:
        print(f"  experts: cannot tell: {mixture['refused']}")
    cost, layout, serving = parts["cost"], parts["layout"], parts["serving"]
    for name, label in (("cloud", "rented"), ("hardware", "hardware worn down"), ("power", "power")):
        if cost[name]:
            value = cost[name]
            energy = f", {short(cost['energy_kwh']['value'])} kWh" if name == "power" else ""
            print(f"  {label}: ${short(value['value'])} [{short(value['low'])}–{short(value['high'])}]{energy}")
    if "refused" in layout:
        print(f"  memory: {layout['refused']}")
    else:
        print(
            f"  memory: {layout['bytes_per_device'] / 1e9:.0f} GB a device; data {layout['data']} × tensor "
            f"{layout['tensor']} × pipeline {layout['pipeline']}; {layout['why']}"
        )
    if "refused" in serving:
        print(f"  serving: {serving['refused']}")
    else:
        price = serving["dollars_per_million_tokens"]
        print(
            f"  serving on the same fleet: {short(serving['requests_per_day'])} requests of 500 tokens a day"
            + (f", ${number(price['median'])} a million tokens" if price else "")
        )
    print()
    print_table(
        ["one more", "lowers the loss by", "90% interval"],
        [
            [
                f"{row['unit']} of {row['resource'].replace('_', ' ')}",
                f"{row['loss_per_unit']['value']:.2g}",
                f"{row['loss_per_unit']['low']:.2g} to {row['loss_per_unit']['high']:.2g}",
            ]
            for row in parts["shadow_prices"]
        ],
    )
    print()
    print_table(
        ["neighbour", "tokens", "days", "loss more by"],
        [
            [short(row["params"]), short(row["tokens"]), number(row["days"]), f"{row['loss_difference']:.4f}"]
            for row in parts["neighbours"]
        ],
    )
    if formulas:
        print()
        print_table(["number", "value", "formula"], [[f.name, number(f.value), f.formula] for f in proposal.formulas])
    for warning in parts["warnings"]:
        print(f"warning: {warning}")

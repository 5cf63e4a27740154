"""`orion claim`: what would have to be true."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def claim(
    source: Annotated[
        str | None, typer.Argument(metavar="CLAIM.toml", help="A claim file, or the name of an example.")
    ] = None,
    list_examples: Annotated[bool, typer.Option("--list", help="Name the examples.")] = False,
    show: Annotated[bool, typer.Option("--show", help="Print the file itself, to copy and change.")] = False,
    accelerators: Annotated[Path | None, typer.Option(help="More accelerators, TOML.")] = None,
    runs: Annotated[Path | None, typer.Option(help="More model runs to refer to, TOML.")] = None,
    extrapolate: Annotated[
        bool, typer.Option("--extrapolate", help="Give verdicts past 2 orders of magnitude beyond the fitted data.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Is a public claim plausible? What it needs, how likely that is, and why.

    \b
    A claim file holds [[claim]] tables. All have name, kind and may have says, source,
    holds = "QUANTITY <= AMOUNT" (any quantity that `needs` shows; replaces the kind's own
    statement) and denies = true ("cannot"). Amounts are "50K", "5 months", "$100M", "2e26",
    or uncertain: [low, high], [low, median, high], the ends of a 90% interval.

    \b
    kind = "compute"   do these chips give that compute in that time?
      accelerator, and two of: flops (or times and reference), chips, days (or starts, ends)
      reference        a known run such as "GPT-4", or {flops, accelerator, chips, days}
      precision        "bf16", "fp8" or "either" (default)
      utilisation      supposed, net of downtime, for the days and chips needed
      mfu, goodput, fp8_speedup   the priors the probability rests on
      also             more clusters: [{accelerator, chips, days or starts and ends}]
    kind = "cost"      accelerator; device_hours, or chips and days, or flops [utilisation];
      rent ($ an hour), overhead, age_years; more_than or less_than
    kind = "loss"      [[claim.run]] tables, the last against the one before: flops,
      overtraining, unique_tokens, synthetic_tokens, synthetic_worth, multimodal_share,
      experts; laws = ["besiroglu", "hoffmann"], extrapolate = true
    kind = "text"      year, or tokens, or flops; wall = {as in `orion wall --help`}

    \b
    Examples:
      orion claim --list
      orion claim gpt4-ten-times
      orion claim gpt4-ten-times --show > mine.toml
      orion claim mine.toml --json
    """
    import os

    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.plan.accelerators import load as load_accelerators
    from orionlm.plan.claim_form import World
    from orionlm.plan.claims import answer, example, examples, read_claims
    from orionlm.plan.draws import Draws
    from orionlm.plan.model_runs import load as load_runs
    from orionlm.settings import read_toml

    if list_examples:
        if as_json:
            print_json({name: [part.name for part in example(name)] for name in examples()})
            return
        for name in examples():
            print(f"{name}: " + "; ".join(part.name for part in example(name)))
        return
    if source is None:
        raise UserError("claim: give a claim file, or the name of an example that `orion claim --list` shows")
    path = Path(source)
    is_file = os.path.isfile(path) or path.suffix == ".toml" and source not in examples()
    if show:
        print(read_toml(path).text if is_file else _text(source), end="")
        return
    claims = read_claims(path) if is_file else example(source)
    world = World(load_accelerators(accelerators), load_runs(runs), Draws(4000, seed), extrapolate)
    answers = [answer(part, world) for part in claims]
    if as_json:
        print_json({"claims": [part.to_json() for part in answers]})
        return
    for part in answers:
        chance = "" if part.probability is None else f" ({100 * part.probability:.0f}%)"
        print(f"{part.claim.name}: {part.verdict}{chance}")
        print(f"  {part.words}")
        for warning in part.warnings:
            print(f"  warning: {warning}")


def _text(name: str) -> str:
    from orionlm.plan.claims import example, examples

    example(name)
    return examples()[name]


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("claim")(claim)

"""`orion run`: a recipe, from wherever it was."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orionlm.recipe.recipe import Recipe
    from orionlm.recipe.rehearsal import Rehearsed


def run(
    recipe: Annotated[
        str, typer.Argument(help="A recipe file, the name of a published recipe, or a run to go on with.")
    ],
    directory: Annotated[Path | None, typer.Option("--dir", help="Where the run lives.  [default: runs/NAME]")] = None,
    until: Annotated[str | None, typer.Option(metavar="STAGE", help="Run only what STAGE needs, and STAGE.")] = None,
    redo: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Make STAGE and all that follows from it again.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print every derived number and the cost; run nothing.")
    ] = False,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Go on although the recipe changed; the report will say so.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Run a recipe. Kill it, run it again: it goes on where it was.

    \b
    Examples:
      orion run quickstart
      orion run quickstart --dry-run
      orion run my.toml --dir runs/second --until ladder
      orion run runs/second --redo forecast
    """
    from orionlm.progress import Progress
    from orionlm.recipe.recipe import find_recipe, parse_recipe
    from orionlm.recipe.rundir import RECIPE

    parsed = parse_recipe(find_recipe(recipe))
    if directory is None:
        directory = Path(recipe) if (Path(recipe) / RECIPE).is_file() else Path("runs") / parsed.name
    progress = Progress(quiet=quiet)
    if dry_run:
        from orionlm.recipe.rehearsal import rehearse

        _print_rehearsal(parsed, rehearse(parsed, directory, until=until, redo=redo or [], progress=progress), as_json)
        return
    _run(parsed, directory, until, redo or [], accept_drift, progress, as_json)


def _run(recipe, directory, until, redo, accept_drift, progress, as_json) -> None:  # type: ignore[no-untyped-def]
    from orionlm.cli.failures import Stopped
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.recipe.run import run_recipe

    try:
        done = run_recipe(recipe, directory, until=until, redo=redo, accept_drift=accept_drift, progress=progress)
    except Stopped as stop:
        stop.advice = "run it again to go on"
        raise
    except UserError:
        raise
    except Exception:
        progress.say(f"unfinished work is kept in {directory}; run it again to go on")
        raise
    from orionlm.report.page import write_report

    page = write_report(directory)
    if as_json:
        stages = [{"stage": n, "kind": a.kind, "digest": a.digest, "path": str(a.path)} for n, a in done.items()]
        print_json({"run": str(directory), "stages": stages, "report": str(page)})
    else:
        print(f"report: {page}")


def _print_rehearsal(recipe: Recipe, rehearsed: list[Rehearsed], as_json: bool) -> None:
    from orionlm.cli.output import number, print_json, print_table
    from orionlm.progress import duration
    from orionlm.recipe import rehearsal

    if as_json:
        print_json(rehearsal.as_json(recipe, rehearsed))
        return
    for item in rehearsed:
        print(f"{item.stage.name} ({item.stage.kind}){' · already done' if item.done else ''}")
        if item.estimate is None:
            print("  nothing to say beforehand")
        else:
            for derived in item.estimate.numbers:
                value = f"{number(derived.value)} {derived.unit}".rstrip()
                print(f"  {derived.name} = {value}" + (f"    {derived.formula}" if derived.formula else ""))
    price = recipe.price.dollars_per_hour if recipe.price else None
    rows = []
    for item in rehearsed:
        seconds = item.estimate.seconds if item.estimate else None
        rows.append([
            item.stage.name,
            number(item.estimate.flops) if item.estimate else "–",
            "done" if item.done else duration(seconds) if seconds is not None else "–",
            f"{price * seconds / 3600:.4f}" if price is not None and seconds is not None else "–",
        ])  # fmt: skip
    cost = rehearsal.cost(recipe, rehearsed)
    rows.append([
        "ahead",
        number(cost["flops"]),
        duration(cost["seconds"]) if cost["seconds"] is not None else "–",
        f"{cost['dollars']:.4f}" if cost["dollars"] is not None else "–",
    ])  # fmt: skip
    print()
    print_table(["stage", "FLOPs", "time here", "dollars"], rows)
    if cost["unknown_time"]:
        print(f"time not known beforehand: {', '.join(cost['unknown_time'])}")
    if recipe.price:
        print(f"price: ${recipe.price.dollars_per_hour:g}/h, {recipe.price.source}")
    else:
        print("no money: the recipe has no [price] dollars_per_hour")

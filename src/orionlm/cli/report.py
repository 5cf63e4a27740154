"""`orion report`: one offline page about a run, or its numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def report(
    run: Annotated[Path, typer.Argument(help="A run's directory, or its name in runs/.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the run's numbers as JSON; write no page.")] = False,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Write the run's report and print where it is.

    \b
    Examples:
      orion report runs/quickstart --open
      orion report quickstart --json
    """
    directory = find_run(run)
    if as_json:
        from orionlm.cli.output import print_json
        from orionlm.report.summary import summarize

        print_json(summarize(directory))
        return
    from orionlm.report.page import write_report

    page = write_report(directory)
    print(page)
    if show:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def find_run(run: Path) -> Path:
    """A run by path, or by name in runs/."""
    from orionlm.errors import UserError
    from orionlm.settings import nearest

    for candidate in (run, Path("runs") / run):
        if (candidate / "artifacts").is_dir():
            return candidate
    known = [path.parent.name for path in Path("runs").glob("*/artifacts")]
    raise UserError(
        f"{run}: no run here; {nearest(run.name, known) if known else 'make one with: orion run quickstart'}"
    )

"""The command line: one file a command group, one line here for each command.

Only typer and the standard library are imported before a command runs, so that help answers at once.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from orionlm.cli import (
    ask,
    chat,
    claim,
    complete,
    data,
    doctor,
    evaluation,
    fit,
    fleet,
    gain,
    pace,
    plan,
    plateau,
    report,
    run,
    runs,
    serve,
    synth,
    wall,
)
from orionlm.cli.failures import guarded

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run")(run.run)
app.command("report")(report.report)
app.command("plan")(plan.plan)
fit.register(app)
app.command("gain")(gain.gain)
claim.register(app)
wall.register(app)
pace.register(app)
fleet.register(app)
plateau.register(app)
app.command("complete")(complete.complete)
app.command("serve")(serve.serve)
app.command("chat")(chat.chat)
app.command("ask")(ask.ask)
app.command("eval")(evaluation.evaluate)
data.register(app)
synth.register(app)
app.command("runs")(runs.runs)
app.command("gc")(runs.gc)
app.command("doctor")(doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        from orionlm import __version__

        print(f"orion {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def _orion(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Builds language models when compute and text are the limit.

    \b
    Begin here:
      orion run quickstart         real text to a forecast that is checked, in minutes
      orion plan day               what eight chips and a day can buy
      orion chat runs/quickstart   talk to what the quickstart trained
      orion doctor                 what this machine lacks
    """
    if context.invoked_subcommand is None:
        print(context.get_help())


def main() -> None:
    """The `orion` command."""
    sys.exit(guarded(app))

"""`orion synth probe`: which teacher and method are worth paying for? Small models are trained on a little of each."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def probe(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE...", help="Real text: JSONL, Parquet, text files, or a corpus of Orion's."),
    ],
    settings: Annotated[
        Path, typer.Option(help="A TOML file with what a recipe's stage `probe` may say: candidates, flops, rows, …")
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the run lives; run it again to go on.")],
    vocabulary: Annotated[int, typer.Option(min=257, help="Tokens of the students' tokenizer.")] = 2048,
    text_field: Annotated[str, typer.Option(help="The field of a row that holds its text.")] = "text",
    licence: Annotated[str, typer.Option(help="The text's licence, where the rows do not say.")] = "unknown",
    dollars_per_hour: Annotated[
        float | None, typer.Option(min=0, help="What an hour of this machine costs, to rank by dollars.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    redo: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Make corpus, tokenizer or probe again.")
    ] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Go on with what is there although options changed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Rank teachers and methods by what students of their text gain, net of its cost; losers stop early.

    Each candidate of SETTINGS writes a little; students of it and of the real text alone are trained at equal FLOPs;
    what is not credibly worse than the best goes on with more. Kill it, run it again: it buys nothing twice.

    \b
    A settings file:
      rows = 100
      flops = 1e11
      [[candidates]]
      name = "faq"
      teacher = { url = "http://127.0.0.1:8000/v1", terms = "allowed" }
      rephrase = { variants = ["faq"] }
      [[candidates]]
      name = "more"
      teacher = { checkpoint = "runs/quickstart/artifacts/run" }
      continuation = {}

    \b
    Example:
      orion synth probe notes.jsonl --settings probe.toml --out runs/probe
    """
    import json

    from orionlm.cli.failures import Stopped
    from orionlm.cli.output import print_json
    from orionlm.cli.synth_generate import _sources
    from orionlm.progress import Progress
    from orionlm.recipe.recipe import parse_recipe
    from orionlm.recipe.run import run_recipe
    from orionlm.settings import parse_toml, read_toml, to_toml

    stage = {
        "corpus": {"kind": "corpus", "sources": _sources(sources, {"text_field": text_field}, licence)},
        "tokenizer": {"kind": "tokenizer", "inputs": {"corpus": "corpus"}, "vocabulary": vocabulary},
        "probe": {"kind": "probe", "inputs": {"corpus": "corpus", "tokenizer": "tokenizer"}}
        | dict(read_toml(settings).values),
    }
    text = f'name = "probe"\nseed = {seed}\nstage = {to_toml(stage)}\n'
    if dollars_per_hour is not None:
        price = {"dollars_per_hour": dollars_per_hour, "source": "--dollars-per-hour"}
        text = f"price = {to_toml(price)}\n{text}"
    recipe = parse_recipe(parse_toml(text, str(settings)))
    try:
        made = run_recipe(recipe, out, redo=redo or (), accept_drift=accept_drift, progress=Progress(quiet=quiet))[
            "probe"
        ]
    except Stopped as stop:
        stop.advice = f"run it again to go on; what was answered is kept in {out}"
        raise
    told = made.json("probe.json")
    if as_json:
        print_json({"path": str(made.path), "digest": made.digest} | told)
        return
    _print(told)
    print(f"in {made.path / 'probe.json'}; its rounds: {json.dumps([one['wanted'] for one in told['rounds']])}")


def _print(told: dict[str, Any]) -> None:
    from orionlm.cli.output import print_table
    from orionlm.progress import visible
    from orionlm.synth.ranking import RANKINGS

    for ranking, words in RANKINGS.items():
        table = [
            [visible(one["name"]), _number(one["value"]), f"{_number(one['low'])} to {_number(one['high'])}",
             f"×{one['times']:.3g}", one["pays"], one["verdict"], str(one["round"]), visible(one["left"])]
            for one in told["rankings"][ranking]
        ]  # fmt: skip
        if table:
            print_table([words, told["unit"], "90% interval", "price", "pays", "against best", "round", "left"], table)
    for name, why in told["left"].items():
        if all(name != one["name"] for lines in told["rankings"].values() for one in lines):
            print(f"{visible(name)}: {visible(why)}")
    for line in told["says"]:
        print(visible(line))
    for text in dict.fromkeys(winner["settings"] for winner in told["winners"].values()):
        print(f"\n{text}")


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"

"""`orion gain`: what a lever is worth, in multiples of the plain recipe's compute, from anybody's runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def gain(
    runs: Annotated[list[Path], typer.Argument(help="Run tables, CSV or Parquet; with --import, others' files.")],
    lever: Annotated[list[str] | None, typer.Option(help="Price this lever only; may be given again.")] = None,
    costs: Annotated[Path | None, typer.Option(help="A TOML file of what levers cost, for net gains.")] = None,
    stock: Annotated[float | None, typer.Option(help="Unique tokens at hand, such as 2e9.")] = None,
    dollars_per_flop: Annotated[
        float | None, typer.Option(help="Price of training, where no row tells dollars.")
    ] = None,
    metric: Annotated[str | None, typer.Option(help="Price by this column of scores, 0 to 1, instead of loss.")] = None,
    chance: Annotated[float, typer.Option(help="The score that guessing gets, with --metric.")] = 0.0,
    level: Annotated[float, typer.Option(help="Probability that an interval is to hold the gain with.")] = 0.9,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    extrapolate: Annotated[bool, typer.Option("--extrapolate", help="Go past 16 times the largest plain run.")] = False,
    imported: Annotated[
        bool, typer.Option("--import", help="Read a tracker's CSV export, torchtitan logs or trainer_state.json files.")
    ] = False,
    column: Annotated[list[str] | None, typer.Option(help="With --import: OURS=THEIRS, such as loss=val/nll.")] = None,
    fact: Annotated[list[str] | None, typer.Option(help="With --import: what files do not say, params=1e8.")] = None,
    out: Annotated[Path | None, typer.Option(help="With --import: write the run table here and stop.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Price levers: how many times the plain recipe's compute gives the same loss, and what to do next.

    \b
    Examples:
      orion gain runs.csv
      orion gain RUN/artifacts/plain/runs.csv RUN/artifacts/curated/runs.csv
      orion gain runs.csv --lever rephrase --costs costs.toml --stock 2e9 --json
      orion gain runs.csv --metric arc_easy --chance 0.25
      orion gain --import wandb.csv --column loss=val/nll --out runs.csv
      orion gain --import a.log --fact params=1.2e8 --fact tokens_per_step=65536 --fact lever=muon --out a.csv
    """
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.gain.costs import read_costs
    from orionlm.gain.decide import recommend
    from orionlm.gain.gain import price_levers
    from orionlm.gain.runs import RunTable, join, read_runs, write_runs
    from orionlm.gain.scores import score_gain

    if imported:
        from orionlm.gain.importers import import_runs

        tables = [import_runs(path, _pairs("column", column), _pairs("fact", fact)) for path in runs]
        whole = [{**row} for table in tables for row in table.rows()]
        table = RunTable.from_rows(whole, tables[0].source if len(tables) == 1 else f"{len(tables)} imported files")
        if out:
            if not out.parent.is_dir():
                raise UserError(f"--out {out}: there is no directory {out.parent}; make it first")
            write_runs(out, table)
            print(f"{len(table)} rows written to {out}; next: orion gain {out}")
            return
    else:
        for name, given in (("--column", column), ("--fact", fact), ("--out", out)):
            if given:
                raise UserError(f"{name}: goes with --import; leave it out for a run table")
        if len({path.resolve() for path in runs}) < len(runs):
            raise UserError("runs: a run table is given twice; give each once")
        table = join([read_runs(path) for path in runs])
    if metric:
        if "lever" not in table.columns:
            raise UserError(f"{table.source}: no column 'lever'; name the lever in the rows that use one")
        names = lever or sorted(set(table["lever"]) - {""})
        scores = [score_gain(table, name, metric, chance, level, seed) for name in names]
        if as_json:
            print_json({"scores": [score.to_json() for score in scores]})
            return
        _print_scores(scores)
        return
    gains = price_levers(
        table, lever, read_costs(costs) if costs else None, stock, level, extrapolate, dollars_per_flop, seed
    )
    advice = recommend(gains, seed)
    if as_json:
        print_json({"gains": [one.to_json() for one in gains], "recommendation": advice.to_json()})
        return
    _print_gains(gains, advice, level)


def _pairs(name: str, given: list[str] | None) -> dict[str, str]:
    from orionlm.errors import UserError

    for item in given or []:
        if not all(item.partition("=")):
            raise UserError(f"--{name} {item}: write it as OURS=VALUE, such as params=1e8")
    return {item.partition("=")[0]: item.partition("=")[2] for item in given or []}


def _span(interval: Any) -> str:
    from orionlm.gain.solve import span

    return span(interval and interval.to_json())


def _print_gains(gains: list[Any], advice: Any, level: float) -> None:
    from orionlm.cli.output import print_table

    print(f"compute-equivalent gains, {100 * level:g}% intervals")
    columns = {
        "lever": [one.lever for one in gains],
        "verdict": [one.verdict for one in gains],
        "runs": [str(one.runs) for one in gains],
        "fresh text": [_span(one.fresh) for one in gains],
        "net": [_span(one.net) for one in gains],
        "net in dollars": [_span(one.net_dollars) for one in gains],
        "as unique text": [_span(one.text) for one in gains],
        "per 10x compute": [_span(one.trend) for one in gains],
    }
    if columns["net"] == columns["fresh text"]:
        del columns["net"]
    shown = {name: cells for name, cells in columns.items() if set(cells) != {"–"}}
    print_table(list(shown), [list(row) for row in zip(*shown.values(), strict=True)])
    for one in gains:
        print(f"{one.lever}, on this stock: {one.stock_says}")
    print(f"next: {advice.says}")
    for warning in advice.warnings:
        print(f"warning: {warning}")


def _print_scores(scores: list[Any]) -> None:
    from orionlm.cli.output import print_table

    rows = [[one.lever, one.metric, _span(one.gain) if one.gain else "–", str(one.n), one.why] for one in scores]
    print_table(["lever", "metric", "gain", "rows", ""], rows)

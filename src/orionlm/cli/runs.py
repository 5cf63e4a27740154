"""`orion runs` and `orion gc`: what is here, and what may go."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Annotated, Any

import typer

Root = Annotated[Path, typer.Argument(help="A directory of runs, or one run.")]
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def runs(root: Root = Path("runs"), as_json: Json = False) -> None:
    """List runs and how far each has come.

    \b
    Examples:
      orion runs
      orion runs /data/runs --json
    """
    from orionlm.cli.output import print_json, print_table, size
    from orionlm.progress import duration

    rows = [_describe(run) for run in _find(root)]
    if as_json:
        print_json(rows)
    elif not rows:
        print(f"no runs in {root}")
    else:
        print_table(
            ["run", "stages", "size", "last activity", "state"],
            [
                [
                    row["run"],
                    f"{row['done']}/{row['total']}",
                    size(row["bytes"]),
                    f"{duration(max(0.0, time.time() - row['last_activity']))} ago",
                    row["state"] + (f" (process {row['process']})" if row["process"] else ""),
                ]
                for row in rows
            ],
        )


def gc(
    root: Root = Path("runs"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what may go.")] = False,
    as_json: Json = False,
) -> None:
    """Delete what no run needs any more.

    That is the unfinished and the set-aside work of stages that are now finished.

    \b
    Examples:
      orion gc --dry-run
      orion gc runs/quickstart --yes
    """
    from orionlm.cli.output import print_json, size
    from orionlm.errors import UserError
    from orionlm.recipe.rundir import RunDirectory

    spent = {run: paths for run in _find(root) if (paths := RunDirectory(run).removable())}
    sizes = {path: _bytes(path) for paths in spent.values() for path in paths}
    total = sum(sizes.values())
    if not as_json:
        for path, count in sizes.items():
            print(f"{size(count):>8}  {path}")
        print(f"{size(total)} may go" if sizes else f"nothing may go in {root}")
    if sizes and not dry_run:
        if not yes and as_json:
            raise UserError("gc --json deletes nothing unasked: add --yes or --dry-run")
        if yes or typer.confirm("delete?"):
            for run, paths in spent.items():
                with RunDirectory(run).lock():
                    for path in set(paths) & set(RunDirectory(run).removable()):
                        shutil.rmtree(path)
    if as_json:
        print_json(
            {"deleted": not dry_run, "bytes": total, "found": {str(path): count for path, count in sizes.items()}}
        )


def _find(root: Path) -> list[Path]:
    from orionlm.errors import UserError

    if not root.is_dir():
        if root == Path("runs"):
            return []
        raise UserError(f"{root}: no such directory")
    if (root / "artifacts").is_dir():
        return [root]
    return sorted(path.parent for path in root.glob("*/artifacts") if path.is_dir())


def _describe(run: Path) -> dict[str, Any]:
    from orionlm.recipe.rundir import RunDirectory

    directory = RunDirectory(run)
    stages = directory.stages()
    done = sum(directory.finished(stage) for stage in stages)
    process, alive = directory.holder()
    if alive:
        state = "running"
    elif process:
        state, process = "killed: run it again to go on", None
    else:
        state = "finished" if stages and done == len(stages) else "stopped: run it again to go on"
    return {
        "run": str(run),
        "done": done,
        "total": len(stages),
        "bytes": _bytes(run),
        "last_activity": max(path.stat().st_mtime for path in (run, *run.iterdir(), *(run / "artifacts").iterdir())),
        "state": state,
        "process": process,
    }


def _bytes(path: Path) -> int:
    total = 0
    for inner in path.rglob("*"):
        try:
            total += inner.lstat().st_size if inner.is_file() else 0
        except FileNotFoundError:
            continue  # a run at work moves its files
    return total

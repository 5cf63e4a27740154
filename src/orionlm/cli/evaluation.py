"""`orion eval`: how good is a model on a suite, and is it better than another?"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orionlm.evals.answerer import Answerer
    from orionlm.evals.compare import Comparison
    from orionlm.evals.results import Results
    from orionlm.progress import Progress
    from orionlm.tasks.task import Suite


def evaluate(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A checkpoint, a run that trained one, or a URL.")],
    suite: Annotated[
        str, typer.Argument(metavar="SUITE", help="A suite's TOML file, a published one's name, or sight.")
    ],
    against: Annotated[
        str | None, typer.Option(metavar="MODEL|RESULTS", help="Compare with another model, or its results.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Where results go, and answers are kept.  [default: evals/SUITE/MODEL]")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first N items of each task.")] = None,
    given: Annotated[
        list[str] | None, typer.Option("--given", metavar="NAME=FILE", help="A file that the suite asks for.")
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(help="A run or a corpus: scores without the questions that it holds; sight is made from it."),
    ] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut the beginning of questions beyond the context.")
    ] = False,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Compare results whose questions are not the same.")
    ] = False,
    model_name: Annotated[str | None, typer.Option(help="Which model at a URL.  [default: the only one]")] = None,
    api_key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Variable with the URL's API key.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once at a URL.")] = 64,
    device: Annotated[str, typer.Option(help="cpu or cuda, for checkpoints.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Evaluate a model on a suite. Kill it, run it again: it goes on, and asks nothing twice.

    \b
    Examples:
      orion eval runs/quickstart demo
      orion eval runs/quickstart sight --corpus runs/quickstart
      orion eval runs/b/artifacts/run my-suite.toml --against runs/a/artifacts/run
      orion eval http://127.0.0.1:8000/v1 simplebench --given questions=simple_bench_public.json
    """
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.evals.compare import compare, document
    from orionlm.evals.run import limited
    from orionlm.progress import Progress

    if device not in ("cpu", "cuda"):
        raise UserError(f"--device {device}: give cpu or cuda")
    for given_model in (model, *([against] if against else [])):
        _check_model(given_model)
    progress = Progress(quiet=quiet)
    texts = _corpus(corpus) if corpus else None
    asked = limited(_suite(suite, given or [], texts), limit)
    options = {
        "truncate": truncate, "device": device, "model_name": model_name, "api_key_env": api_key_env,
        "concurrency": concurrency,
    }  # fmt: skip
    folder, results = _results(model, asked, out, options, progress)
    clean = _clean(asked, results, texts, level, progress) if texts else []
    lines: list[Comparison] = []
    other: Results | None = None
    if against:
        from orionlm.evals.results import SUMMARY, read

        if (Path(against) / SUMMARY).is_file():
            other = read(Path(against))
        else:
            _, other = _results(against, asked, out / "against" if out else None, options, progress)
        lines = compare(results, other, level=level, allow_different=allow_different)
        _draw(folder, results, other)
    if as_json:
        more = {"against": other.summary["model"], "comparison": document(lines)} if other else {}
        print_json(results.summary | {"out": str(folder), **({"clean": clean} if texts else {}), **more})
        return
    _print(results, clean, level)
    if other:
        _print_comparison(results, other, lines, level)
    print(f"results: {folder}")


def _check_model(model: str) -> None:
    from orionlm.errors import UserError

    if "://" not in model and not Path(model).is_dir():
        raise UserError(f"{model}: no such directory; give a checkpoint's, a run's, or a server's URL with http://")


def _suite(name: str, given: list[str], corpus: Path | None) -> Suite:
    from orionlm.errors import UserError

    if name == "sight":
        from orionlm.evals.sight import SightSettings, sight_suite

        if corpus is None:
            raise UserError("sight: its questions are made from held-out text; name the run that has it with --corpus")
        return sight_suite(corpus / "validation.parquet", SightSettings())
    from orionlm.tasks.suite import load_suite

    files = {}
    for pair in given:
        key, sign, path = pair.partition("=")
        if not sign or not key or not path:
            raise UserError(f"--given {pair}: write NAME=FILE")
        files[key] = path
    return load_suite(name, files)


def _corpus(path: Path) -> Path:
    """The corpus artifact that a person meant by a run, or by the artifact itself."""
    from orionlm.artifact import MANIFEST, open_artifact
    from orionlm.errors import UserError

    if (path / "artifacts").is_dir():
        artifacts = [
            open_artifact(found.parent, verify=False) for found in sorted(path.glob(f"artifacts/*/{MANIFEST}"))
        ]
        corpora = [artifact.path for artifact in artifacts if artifact.kind == "corpus"]
        if len(corpora) != 1:
            raise UserError(f"--corpus {path}: this run has {len(corpora)} corpora; name one artifact")
        return corpora[0]
    return open_artifact(path, "corpus", verify=False).path


def _results(
    model: str, suite: Suite, out: Path | None, options: dict[str, Any], progress: Progress
) -> tuple[Path, Results]:
    from orionlm.cli.failures import Stopped
    from orionlm.evals.run import evaluate as run
    from orionlm.ledger import Ledger

    with _answerer(model, out, options, progress) as answerer:
        folder = out or Path("evals") / suite.name / f"{_label(answerer.name)}-{answerer.digest[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(folder / "ledger.jsonl")

        def record(purpose: str, **spent: Any) -> None:
            ledger.record("eval", purpose, **spent)

        try:
            return folder, run(suite, answerer, folder, progress=progress, record=record)
        except Stopped as stop:
            stop.advice = f"run it again to go on; what was answered is kept in {folder}"
            raise


@contextmanager
def _answerer(model: str, out: Path | None, options: dict[str, Any], progress: Progress) -> Iterator[Answerer]:
    found: Answerer
    if "://" in model:
        from orionlm.errors import UserError
        from orionlm.evals.endpoint import Remote
        from orionlm.inference.client.endpoint import Endpoint

        if options["truncate"]:
            raise UserError(f"--truncate: only for checkpoints; {model} decides itself what it takes; leave it out")
        endpoint = Endpoint.at(model, options["api_key_env"])
        store = (out or Path("evals")) / ".store"
        found = Remote(endpoint, store, options["model_name"], concurrency=options["concurrency"])
    else:
        from orionlm.cli.checkpoints import find_checkpoint
        from orionlm.evals.checkpoint import Checkpoint

        with progress.task(f"loading {model}") as task:
            task.update(0)
            found = Checkpoint(find_checkpoint(Path(model)), truncate=options["truncate"], device=options["device"])
    try:
        yield found
    finally:
        found.close()


def _label(name: str) -> str:
    import re

    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "model"


def _clean(suite: Suite, results: Results, corpus: Path, level: float, progress: Progress) -> list[dict[str, Any]]:
    from orionlm.evals.contamination import clean, join_corpus
    from orionlm.recipe.context import cores

    with progress.task("looking for the questions in the corpus") as task:
        task.update(0)
        return clean(results, join_corpus(suite, corpus / "train.parquet", cores()), level)


def _draw(folder: Path, results: Results, other: Results) -> None:
    from orionlm.artifact import write_text
    from orionlm.evals.chart import generations, of_summaries

    names = [found.summary["model"]["name"] for found in (other, results)]
    if names[0] == names[1]:
        names = ["before", "after"]
    tasks = of_summaries(list(zip(names, (other.summary, results.summary), strict=True)))
    write_text(folder / "comparison.svg", generations(tasks))


def _share(metric: str, value: float | None, signed: bool = False) -> str:
    if value is None:
        return "–"
    if metric == "bits_per_byte":
        return f"{value:+.4f}" if signed else f"{value:.4f}"
    return f"{100 * value:+.1f}" if signed else f"{100 * value:.1f}%"


def _print(results: Results, clean: list[dict[str, Any]], level: float) -> None:
    from orionlm.cli.output import print_table

    without = {line["task"]: line for line in clean}
    columns = [
        "task",
        "score",
        f"{level:.0%} interval",
        "n",
        "chance",
        "outcomes",
        *(["clean", "in corpus"] * bool(clean)),
    ]
    rows = []
    for line in results.summary["tasks"]:
        found, metric = line["estimate"], line["metric"]
        row = [
            line["task"],
            _share(metric, found and found["value"]),
            _interval(metric, found),
            f"{found['n']:,}" if found else "0",
            "–" if line["chance"] is None else f"{100 * line['chance']:.0f}%",
            ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in line["outcomes"].items()) or "measured",
        ]
        if clean:
            part = without[line["task"]]
            found = part["clean"]
            row.append(f"{_share(metric, found and found['value'])} ({_interval(metric, found)})" if found else "–")
            row.append(f"{part['dirty']:,} of {part['items']:,}")
        rows.append(row)
    print_table(columns, rows)
    for line in results.summary["tasks"]:
        if line["blind"]:
            print(f"{line['task']}: blind: guessing would do as well, as far as the interval tells")
        if line["cut"] and line["kind"] in ("generate", "code"):
            print(f"{line['task']}: {line['cut']:,} answers were cut by their length or the model's context")
        if line["outcomes"].get("too_long"):
            print(f"{line['task']}: {line['outcomes']['too_long']:,} do not fit the context; --truncate cuts them")
        several = {f"pass@{k}": found for k, found in line.get("pass_at", {}).items()}
        if "majority" in line:
            several[f"right in most of {line['samples']} samples"] = line["majority"]
        for name, found in several.items():
            share = _share("accuracy", found["value"])
            print(f"{line['task']}: {name} {share} ({_interval('accuracy', found)})")
        if line["note"]:
            print(f"{line['task']}: {line['note']}")


def _interval(metric: str, found: dict[str, Any] | None) -> str:
    if not found or found["low"] is None or found["high"] is None:
        return "–"
    return f"{_share(metric, found['low'])} to {_share(metric, found['high'])}"


def _print_comparison(results: Results, other: Results, lines: list[Comparison], level: float) -> None:
    from orionlm.cli.output import number, print_table

    names = [found.summary["model"]["name"] for found in (results, other)]
    print(f"\nis {names[0]} better than {names[1]}? (points, or bits per byte saved; p corrected over tasks by Holm)")
    rows = []
    for line in lines:
        found, metric = line.difference, line.metric
        rows.append([
            line.task,
            line.verdict,
            _share(metric, found.value, True) if found else "–",
            f"{_share(metric, found.low, True)} to {_share(metric, found.high, True)}" if found else "–",
            "–" if line.p is None else f"{line.p:.3g}",
            f"{found.n:,}" if found else "0",
            "–" if line.needed is None else number(line.needed),
        ])  # fmt: skip
    print_table(["task", "better?", "by", f"{level:.0%} interval", "p", "n", "n needed to show it"], rows)

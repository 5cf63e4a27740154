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

CORPORA = ("corpus", "curate")
LEFT_OUT = {
    "too_long": "do not fit the model's context and are in no score; on a checkpoint --truncate cuts their beginning",
    "grader_error": "were not graded, by a fault of ours, and are in no score; results.jsonl says why",
}


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
    undecontaminated: Annotated[
        bool, typer.Option("--undecontaminated", help="Go on where the model's text was not cleaned of the suite.")
    ] = False,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Of the intervals.")] = 0.95,
    allow_different: Annotated[
        bool, typer.Option("--allow-different", help="Compare results whose questions are not the same.")
    ] = False,
    model_name: Annotated[str | None, typer.Option(help="Which model at a URL.  [default: the only one]")] = None,
    api_key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Variable with the URL's API key.")] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once at a URL.")] = 64,
    max_dollars: Annotated[
        float | None, typer.Option(help="Hard limit on what a URL is ever paid for this suite.")
    ] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, a TOML file; they go before ours.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda, for checkpoints.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Evaluate a model on a suite. Kill it, run it again: it goes on, and asks nothing twice.

    \b
    Examples:
      orion eval runs/quickstart sight --corpus runs/quickstart
      orion eval runs/quickstart demo --given texts=runs/quickstart/artifacts/corpus/validation-00000.parquet
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
    named = (model, *([against] if against else []))
    for given_model in named:
        _check_model(given_model)
    if max_dollars is not None and not any("://" in given_model for given_model in named):
        raise UserError(f"--max-dollars {max_dollars:g}: a checkpoint is paid nothing; leave it out, or name a URL")
    progress = Progress(quiet=quiet)
    texts = _corpus(corpus) if corpus else None
    whole = _suite(suite, given or [], texts)
    told = [line for one in named if (line := _lineage(whole, one, given or [], texts, undecontaminated))]
    asked = limited(whole, limit)
    options = {
        "truncate": truncate, "device": device, "model_name": model_name, "api_key_env": api_key_env,
        "concurrency": concurrency, "max_dollars": max_dollars, "prices": prices,
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
        more |= {"lineage": told} if told else {}
        print_json(results.summary | {"out": str(folder), **({"clean": clean} if texts else {}), **more})
        return
    _print(results, clean, level)
    if other:
        _print_comparison(results, other, lines, level)
    for line in told:
        print(line)
    print(f"results: {folder}")


def _check_model(model: str) -> None:
    from orionlm.errors import UserError

    if "://" not in model and not Path(model).is_dir():
        server = f"; for a server write http://{model}" if ":" in model else ", or a server's URL"
        raise UserError(
            f"{model}: {'a file' if Path(model).is_file() else 'no such directory'}; give a checkpoint's directory, a "
            f"run's{server}"
        )


def _suite(name: str, given: list[str], corpus: Path | None) -> Suite:
    from orionlm.errors import UserError

    if name == "sight":
        from orionlm.data.documents import shard_files
        from orionlm.evals.sight import SightSettings, sight_suite

        if corpus is None:
            raise UserError("sight: its questions are made from held-out text; name the run that has it with --corpus")
        return sight_suite(shard_files(corpus, "validation"), SightSettings())
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
        found = [artifact for artifact in artifacts if artifact.kind in CORPORA]
        before = {digest for artifact in found for digest in artifact.manifest["inputs"].values()}
        corpora = [artifact.path for artifact in found if artifact.digest not in before]
        if len(corpora) != 1:
            raise UserError(f"--corpus {path}: this run has {len(corpora)} corpora; name one artifact")
        return corpora[0]
    artifact = open_artifact(path, verify=False)
    if artifact.kind not in CORPORA:
        raise UserError(f"--corpus {path}: a {artifact.kind} artifact where a corpus is needed")
    return path


def _lineage(suite: Suite, model: str, given: list[str], corpus: Path | None, accepted: bool) -> str:
    """What to tell of the model's text and this suite; UserError where it was not cleaned of it."""
    from orionlm.cli.checkpoints import find_checkpoint
    from orionlm.data.documents import shard_files
    from orionlm.evals.lineage import check
    from orionlm.evals.results import SUMMARY

    if "://" in model:
        return f"{suite.name}: what {model} was trained on is not known here, nor whether it has seen these questions"
    if (Path(model) / SUMMARY).is_file():
        return ""  # results, which were checked when they were made
    made_from = [Path(pair.partition("=")[2]) for pair in given]
    if suite.name == "sight" and corpus is not None:
        made_from = shard_files(corpus, "validation")
    return check(suite, find_checkpoint(Path(model)), made_from, accepted)


def _results(
    model: str, suite: Suite, out: Path | None, options: dict[str, Any], progress: Progress
) -> tuple[Path, Results]:
    from orionlm.cli.failures import Stopped
    from orionlm.evals.run import evaluate as run
    from orionlm.ledger import Ledger

    with _answerer(model, (out or Path("evals") / suite.name) / ".store", options, progress) as answerer:
        folder = out or Path("evals") / suite.name / f"{_label(answerer.name)}-{answerer.digest[:8]}"
        folder.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(folder / "ledger.jsonl")

        def record(purpose: str, **spent: Any) -> None:
            ledger.record("eval", purpose, **spent)

        before = answerer.paid
        try:
            results = run(suite, answerer, folder, progress=progress, record=record)
            if before and answerer.paid:
                progress.say(f"paid {answerer.paid[0] - before[0]:.4f} dollars now, {answerer.paid[0]:.4f} in all")
            return folder, results
        except Stopped as stop:
            stop.advice = f"run it again to go on; what was answered is kept in {folder}"
            raise


@contextmanager
def _answerer(model: str, store: Path, options: dict[str, Any], progress: Progress) -> Iterator[Answerer]:
    from orionlm.errors import UserError

    found: Answerer
    if "://" in model:
        from orionlm.evals.endpoint import Remote
        from orionlm.inference.client.budget import Limits
        from orionlm.inference.client.endpoint import Endpoint
        from orionlm.inference.client.prices import PriceList

        if options["truncate"]:
            raise UserError(f"--truncate: only for checkpoints; {model} decides itself what it takes; leave it out")
        endpoint = Endpoint.at(model, options["api_key_env"])
        found = Remote(
            endpoint,
            store,
            options["model_name"],
            limits=Limits(options["max_dollars"]),
            prices=PriceList.read(options["prices"]),
            concurrency=options["concurrency"],
        )
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
    from orionlm.data.decontamination.overlap import join_corpus
    from orionlm.data.documents import shard_files
    from orionlm.evals.contamination import clean
    from orionlm.recipe.context import cores

    with progress.task("looking for the questions in the corpus") as task:
        task.update(0)
        return clean(results, join_corpus(suite, shard_files(corpus, "train"), cores()), level)


def _draw(folder: Path, results: Results, other: Results) -> None:
    from orionlm.artifact import write_text
    from orionlm.evals.chart import generations, of_summaries

    tasks = of_summaries(list(zip(_names(other, results), (other.summary, results.summary), strict=True)))
    write_text(folder / "comparison.svg", generations(tasks))


def _names(one: Results, other: Results) -> list[str]:
    """What tells the two models apart: their names, or with their digests, as their folders are called."""
    models = [found.summary["model"] for found in (one, other)]
    same = models[0]["name"] == models[1]["name"]
    return [f"{model['name']}-{model['digest'][:8]}" if same else model["name"] for model in models]


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
    ]
    rows = []
    for line in results.summary["tasks"]:
        found, metric = line["estimate"], line["metric"]
        several = _several(line)
        row = [
            f"{line['task']} {several[0]}" if several else line["task"],
            _share(metric, found and found["value"]),
            _interval(metric, found),
            f"{found['n']:,}" if found else "0",
            "–" if line["chance"] is None else f"{100 * line['chance']:.0f}%",
            ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in line["outcomes"].items()) or "measured",
        ]
        rows.append(row)
        more = dict(several[1]) if several else {}
        part = without.get(line["task"])
        if part and part["dirty"]:
            more["clean"] = part["clean"]
        for name, found in more.items():
            size = f"{found['n']:,}" if found else "0"
            row = [f"{line['task']} {name}", _share(metric, found and found["value"]), _interval(metric, found), size]
            rows.append([*row, "", f"without {part['dirty']:,} in corpus" if part and name == "clean" else ""])
    print_table(columns, rows)
    if clean:
        dirty, items, short = (sum(part[name] for part in clean) for name in ("dirty", "items", "too_short"))
        said = "; clean: the score without them" if dirty else ""
        said += f"; {short:,} have too few words to tell" if short else ""
        print(f"in the corpus: {dirty:,} of {items:,} questions{said}")
    for line in results.summary["tasks"]:
        if line["blind"]:
            print(f"{line['task']}: blind: guessing would do as well, as far as the interval tells")
        if line["cut"] and line["kind"] in ("generate", "code"):
            print(f"{line['task']}: {line['cut']:,} answers were cut by their length or the model's context")
        for outcome, said in LEFT_OUT.items():
            names = list(dict.fromkeys(row.item for row in results.of(line["task"]) if row.outcome == outcome))
            if names:
                short = [name if len(name) <= 40 else f"…{name[-39:]}" for name in names[:2]]
                first = ", ".join([*short, *["…"] * (len(names) > 2)])
                print(f"{line['task']}: {len(names):,} of {line['items']:,} questions ({first}) {said}")
        if line["note"]:
            print(f"{line['task']}: {line['note']}")


def _several(line: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Of a task with samples: what its mean is called, and its other scores by name."""
    if "pass_at" not in line:
        return None
    passing = {f"pass@{k}": found for k, found in line["pass_at"].items() if k != "1"}
    if line["kind"] == "code":
        return "pass@1", passing
    return f"AVG@{line['samples']}", {f"MAJ@{line['samples']}": line["majority"]} | passing


def _interval(metric: str, found: dict[str, Any] | None) -> str:
    if not found or found["low"] is None or found["high"] is None:
        return "–"
    return f"{_share(metric, found['low'])} to {_share(metric, found['high'])}"


def _print_comparison(results: Results, other: Results, lines: list[Comparison], level: float) -> None:
    from orionlm.cli.output import number, print_table

    names = _names(results, other)
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

"""`orion data`: curate text, look at what went, write its card, fit a judge of good text."""

from __future__ import annotations

import glob
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orionlm.artifact import Artifact

app = typer.Typer(rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]
Corpus = Annotated[Path, typer.Argument(help="A corpus's directory, or a run that made one.")]
STEPS = "language, gopher, c4, fineweb, code, classifier, personal, secrets, decontaminate, near_copies, lines"


def register(parent: typer.Typer) -> None:
    parent.add_typer(app, name="data", help="Curate text: keep the good, drop the copies, say what went.")


@app.command("curate")
def curate(
    files: Annotated[list[str], typer.Argument(help="Parquet, JSONL (plain, .gz, .zst) or text files, or patterns.")],
    out: Annotated[Path, typer.Option("--out", help="Where the run lives; run it again to go on.")],
    step: Annotated[
        list[str] | None, typer.Option(metavar="STEP", help=f"Turn a step on with its defaults: {STEPS}.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file with a table for each step, as in a recipe's stage `curate`.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of a row that holds its text.")] = "text",
    id_field: Annotated[str | None, typer.Option(help="The field of a row that names it.")] = None,
    domain: Annotated[str, typer.Option(help="What a mixture will weigh this text by.")] = "text",
    licence: Annotated[str, typer.Option(help="Its licence, where the rows do not say.")] = "unknown",
    licence_field: Annotated[str | None, typer.Option(help="The field of a row that holds its licence.")] = None,
    redo: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Make corpus or curated again, after other options.")
    ] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Go on with what is there although options changed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Json = False,
) -> None:
    """Read, deduplicate, split and curate text; every removal is counted and can be looked at.

    Copies always go, exact and near ones; other steps are asked for. The result lies in OUT/artifacts/curated:
    train-*.parquet, validation-*.parquet, and a verdict for every document.

    \b
    Examples:
      orion data curate 'crawl/*.parquet' --out runs/crawl --step gopher --step language
      orion data curate notes.jsonl.gz --out runs/notes --settings curate.toml
      orion data look runs/crawl --step gopher
    """
    from orionlm.cli.output import print_json
    from orionlm.data.curation.curate import Settings
    from orionlm.errors import UserError
    from orionlm.progress import Progress
    from orionlm.recipe.recipe import parse_recipe
    from orionlm.recipe.run import run_recipe
    from orionlm.settings import nearest, parse_toml, read_toml, validate

    for name in step or ():
        if name not in Settings.model_fields:
            raise UserError(f"--step: no step {name!r}, {nearest(name, Settings.model_fields)}")
    asked: dict[str, Any] = {}
    if settings:
        document = read_toml(settings)
        validate(Settings, document.values, document)
        asked = dict(document.values)
    asked |= {name: asked.get(name) or {} for name in step or ()}
    fields = {"text_field": text_field, "id_field": id_field, "licence_field": licence_field}
    recipe = parse_recipe(
        parse_toml(
            _recipe(
                files,
                asked,
                {"domain": domain, "licence": licence},
                {name: field for name, field in fields.items() if field},
            ),
            "orion data curate",
        )
    )
    if newer := _newer(files, out / "artifacts" / "corpus" / "manifest.json"):
        again = f"{len(newer):,} of the files changed since this corpus was read, such as {newer[0]}; --redo corpus"
        print(f"note: {again} reads them again", file=sys.stderr)
    done = run_recipe(recipe, out, redo=redo or (), accept_drift=accept_drift, progress=Progress(quiet=quiet))
    curated = done["curated"]
    if as_json:
        print_json({"path": str(curated.path), "digest": curated.digest} | _numbers(curated))
    else:
        _print(curated)
        print(f"in {curated.path}; `orion data look {out}` shows what went, `orion data card {out}` writes its card")


def _newer(patterns: list[str], corpus: Path) -> list[str]:
    """The files that changed after the corpus was made from them; none where there is no corpus yet."""
    if not corpus.is_file():
        return []
    made = corpus.stat().st_mtime
    found = (name for pattern in patterns for name in glob.glob(pattern, recursive=True))
    return sorted(name for name in found if Path(name).stat().st_mtime > made)


def _recipe(files: list[str], steps: dict[str, Any], facts: dict[str, str], fields: dict[str, str]) -> str:
    from orionlm.errors import UserError
    from orionlm.settings import to_toml

    for name in files:
        if not name.isascii() and any("\ud800" <= c <= "\udfff" for c in name):
            raise UserError(
                f"{ascii(name)}: a recipe cannot write this name, it is not UTF-8; rename it or give a pattern"
            )
    text = [name for name in files if name.endswith((".txt", ".md", ".rst", ".py"))]
    rows = [name for name in files if name not in text]
    sources: list[dict[str, Any]] = [{"rows": rows} | facts | fields] if rows else []
    sources += [{"files": text} | facts] if text else []
    corpus = {"kind": "corpus", "sources": sources}
    curated = {"kind": "curate", "inputs": {"corpus": "corpus"}} | steps
    return f'name = "curation"\nstage = {to_toml({"corpus": corpus, "curated": curated})}\n'


@app.command("look")
def look(
    corpus: Corpus,
    step: Annotated[str | None, typer.Option(metavar="STEP", help="Only what this step removed.")] = None,
    reason: Annotated[str | None, typer.Option(help="Only what was removed for this reason.")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Documents to show for each reason.")] = 3,
    as_json: Json = False,
) -> None:
    """Show some of what was removed, drawn at random.

    \b
    Examples:
      orion data look runs/crawl
      orion data look runs/crawl --step gopher --reason "too few words" -n 10
    """
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.progress import visible
    from orionlm.settings import nearest

    found = _find(corpus, "curate")
    samples = found.json("samples.json")
    for given, known in ((step, list(samples)), (reason, [name for reasons in samples.values() for name in reasons])):
        if given is not None and given not in known:
            raise UserError(f"{given!r} removed nothing here; {nearest(given, sorted(known))}")
    shown = [
        {"step": name, "reason": why, **sample}
        for name, reasons in samples.items()
        if step in (None, name)
        for why, drawn in reasons.items()
        if reason in (None, why)
        for sample in drawn[:count]
    ]
    if as_json:
        print_json(shown)
        return
    for sample in shown:
        detail = f" ({visible(sample['detail'])})" if sample["detail"] else ""
        print(
            f"── {sample['step']}: {sample['reason']}{detail}\n   {visible(sample['id'])} · {sample['bytes']:,} bytes"
        )
        print("\n".join(f"   │ {line}" for line in _printable(sample["text"]).splitlines()[:12]))
    if not shown:
        print("nothing was removed")


@app.command("card")
def card(
    corpus: Corpus,
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: CORPUS-card.html beside it]")] = None,
    as_json: Json = False,
) -> None:
    """Write a corpus's data card: what it holds, from where, under which licences, what was removed and why.

    \b
    Examples:
      orion data card runs/crawl
      orion data card runs/quickstart/artifacts/corpus --out card.html
    """
    from orionlm.artifact import write_text
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.report.card import render_card

    found = _find(corpus, "curate", "corpus")
    if as_json:
        print_json(_numbers(found))
        return
    page = out or (
        corpus / "card.html" if corpus != found.path else found.path.with_name(f"{found.path.name}-card.html")
    )
    if not page.parent.is_dir():
        raise UserError(f"--out {page}: there is no directory {page.parent}; make it, or choose another place")
    write_text(page, render_card(found))
    print(f"card: {page}")


@app.command("fit")
def fit(
    good: Annotated[list[str], typer.Argument(help="Files of text that you want more of.")],
    bad: Annotated[list[str], typer.Option("--bad", help="Files of text that you want less of.")],
    out: Annotated[Path, typer.Option("--out", help="A folder for the judge, for `classifier = { model = … }`.")],
    text_field: Annotated[str, typer.Option(help="The field of a row that holds its text.")] = "text",
    group_field: Annotated[
        str | None, typer.Option(help="The field that says which rows belong together; none is judged by its own kin.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Fit a small classifier to your own examples of good and bad text, and say how well it tells them apart.

    \b
    Examples:
      orion data fit 'good/*.jsonl' --bad 'crawl/*.parquet' --out judge
      orion data fit 'docs/*.md' --bad 'scraped/*.txt' --out judge --json
    """
    from orionlm.cli.output import print_json
    from orionlm.data.quality.fitting import fit_files
    from orionlm.errors import UserError

    if out.exists() and not out.is_dir():
        raise UserError(f"--out {out}: a file is there; the judge needs a folder of its own")
    model = fit_files(good, bad, out, text_field, group_field)
    value, low, high = model.auc
    if as_json:
        print_json({"model": str(out), "auc": value, "low": low, "high": high, "good": model.good, "bad": model.bad})
        return
    print(f"judge: {out}")
    print(model.finding if model.usable else f"{model.finding}: a curation will refuse it")


def _find(path: Path, *kinds: str) -> Artifact:
    from orionlm.artifact import MANIFEST, open_artifact
    from orionlm.errors import UserError

    if (path / MANIFEST).is_file():
        artifact = open_artifact(path, verify=False)
        if artifact.kind not in kinds:
            raise UserError(f"{path}: a {artifact.kind} artifact, and this needs one of kind {' or '.join(kinds)}")
        return _readable(artifact)
    artifacts = [open_artifact(found.parent, verify=False) for found in sorted(path.glob(f"artifacts/*/{MANIFEST}"))]
    for kind in kinds:
        found = [artifact for artifact in artifacts if artifact.kind == kind and not artifact.path.suffix]
        if len(found) == 1:
            return _readable(found[0])
        if found:
            raise UserError(f"{path}: several stages of kind {kind}: {', '.join(str(a.path) for a in found)}; name one")
    raise UserError(f"{path}: no {' or '.join(kinds)} artifact here; give a run that has one, or its directory")


def _readable(artifact: Artifact) -> Artifact:
    """The artifact; UserError where what it says in JSON is not what was published."""
    from orionlm.artifact import file_digest

    for name, entry in artifact.manifest["files"].items():
        path = artifact.path / name
        if path.suffix == ".json" and not (path.is_file() and file_digest(path) == entry["sha256"]):
            artifact.verify()
    return artifact


def _numbers(corpus: Artifact) -> dict[str, Any]:
    numbers = {"corpus": corpus.json("corpus.json")}
    if corpus.kind == "curate":
        numbers["curation"] = corpus.json("curation.json")
    return numbers


def _print(curated: Artifact) -> None:
    from orionlm.cli.output import print_table, size

    def total(counts: dict[str, dict[str, int]]) -> dict[str, int]:
        return {name: sum(held[name] for held in counts.values()) for name in ("documents", "bytes")}

    counted = curated.json("curation.json")
    seen, kept = (total(counted[side]["domain"]) for side in ("seen", "kept"))
    rows = [
        [step, reason, f"{held['documents']:,}", f"{held['documents'] / seen['documents']:.2%}", size(held["bytes"])]
        for step in counted["steps"]
        for reason, held in sorted(counted["removed"].get(step, {}).items(), key=lambda item: -item[1]["documents"])
    ]
    share = kept["documents"] / seen["documents"]
    rows.append(["kept", "", f"{kept['documents']:,}", f"{share:.2%}", size(kept["bytes"])])
    print_table(["step", "removed because", "documents", "share", "text"], rows)
    for step, found in counted["found"].items():
        print(f"{step}: " + ", ".join(f"{count:,} {kind}" for kind, count in sorted(found.items())))


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)

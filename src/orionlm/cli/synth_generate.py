"""`orion synth generate`: seeds in files, teachers at URLs or in checkpoints, rows with their lineage."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import typer

REASONS = 3  # for each method that are printed
_OPTIONS = {  # what is said of a teacher → the option that says it
    "terms": "--terms", "terms_text": "--terms-text", "model": "--model-name", "api_key_env": "--api-key-env",
    "dollars": "--max-dollars", "prices": "--prices",
}  # fmt: skip


def generate(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE...", help="Seeds: JSONL, Parquet, text files, patterns, or a corpus of Orion's."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Where the run lives; run it again to go on.")],
    teacher: Annotated[
        list[str] | None,
        typer.Option(metavar="URL|CHECKPOINT", help="Who writes; give several and they take turns."),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD[/VARIANT]", help="How: see `orion synth methods`; may be given again."),
    ] = None,
    rows: Annotated[int | None, typer.Option(min=1, help="Kept rows wanted.  [default: each seed once]")] = None,
    tokens: Annotated[int | None, typer.Option(min=1, help="Or kept tokens wanted.")] = None,
    documents: Annotated[int | None, typer.Option(min=1, help="Seeds at most.  [default: 10,000]")] = None,
    terms: Annotated[
        str | None, typer.Option(help="May its answers be trained on: allowed, forbidden or unknown.")
    ] = None,
    terms_text: Annotated[str, typer.Option(help="Where these terms stand.")] = "",
    model_name: Annotated[str | None, typer.Option(help="Which model at the URL.  [default: the only one]")] = None,
    api_key_env: Annotated[str | None, typer.Option(metavar="NAME", help="Variable with the URL's API key.")] = None,
    max_dollars: Annotated[float | None, typer.Option(help="Hard limit on what each teacher is ever paid.")] = None,
    prices: Annotated[
        Path | None, typer.Option(help="What the URL's tokens cost, a TOML file; your prices go before ours.")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="A TOML file with what a recipe's stage `generate` may say; options go before.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of a row that holds its text.")] = "text",
    id_field: Annotated[str | None, typer.Option(help="The field of a row that names it.")] = None,
    licence: Annotated[str, typer.Option(help="The seeds' licence, where the rows do not say.")] = "unknown",
    licence_field: Annotated[str | None, typer.Option(help="The field of a row that holds its licence.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    redo: Annotated[
        list[str] | None, typer.Option(metavar="STAGE", help="Make corpus or rows again, after other options.")
    ] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Go on with what is there although options changed.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Have models write from your texts. Kill it, run it again: it goes on, and buys nothing twice.

    The result lies in OUT/artifacts/rows: rows-*.parquet, each with its seed, prompt, teacher, licence and terms, the
    rejected ones with their reason. A twentieth of the sources is held out and never a seed.

    \b
    Examples:
      orion synth generate notes.jsonl --teacher http://127.0.0.1:8000/v1 --method rephrase/faq --out runs/faq
      orion synth generate 'docs/**/*.md' --teacher runs/quickstart --method continuation --out runs/more
      orion synth generate runs/crawl/artifacts/curated --settings generate.toml --out runs/mix
      orion synth look runs/faq --open
    """
    from orionlm.cli.failures import Stopped
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.inference.client.prices import PriceList
    from orionlm.progress import Progress
    from orionlm.recipe.recipe import parse_recipe
    from orionlm.recipe.run import run_recipe
    from orionlm.settings import parse_toml, read_toml, validate
    from orionlm.synth.generate import Settings
    from orionlm.synth.methods import METHODS

    if max_dollars is not None and not (math.isfinite(max_dollars) and max_dollars >= 0):
        raise UserError(f"--max-dollars {max_dollars:g}: give a number of dollars that is not negative")
    document = read_toml(settings) if settings else None
    asked: dict[str, Any] = dict(document.values) if document else {}
    asked |= {name: value for name, value in (("rows", rows), ("tokens", tokens), ("documents", documents)) if value}
    for name, variants in _asked_methods(method or []).items():
        asked[name] = variants
    if settings is None and not set(asked) & set(METHODS):
        raise UserError("--method: none is named; `orion synth methods` lists them, such as rephrase/faq")
    if terms not in (None, "allowed", "forbidden", "unknown"):
        raise UserError(f"--terms {terms}: give allowed, forbidden or unknown")
    about: dict[str, Any] = {"terms": terms, "terms_text": terms_text, "model": model_name, "api_key_env": api_key_env}
    about |= {"dollars": max_dollars, "prices": str(prices) if prices else None}
    known = {name: value for name, value in about.items() if value not in (None, "")}
    if prices:
        PriceList.read(prices)
    if document:
        validate(Settings, asked, document)
    if teacher:
        asked["teachers"] = [_teacher(each, known) for each in teacher]
    elif "teachers" in asked and known:
        given = ", ".join(_OPTIONS[name] for name in known)
        raise UserError(f"{given}: said of --teacher, which is not given; write it to the teachers in {settings}")
    elif "teachers" not in asked:
        raise UserError("--teacher: nobody is asked; give an OpenAI-compatible URL or a checkpoint's directory")
    fields = {"text_field": text_field, "id_field": id_field, "licence_field": licence_field}
    seeds = _sources(sources, {name: value for name, value in fields.items() if value}, licence)
    recipe = parse_recipe(parse_toml(_recipe(seeds, asked, seed), "orion synth generate"))
    progress = Progress(quiet=quiet)
    try:
        made = run_recipe(recipe, out, redo=redo or (), accept_drift=accept_drift, progress=progress)["rows"]
    except Stopped as stop:
        stop.advice = f"run it again to go on; what was answered is kept in {out}"
        raise
    told = made.json("generation.json")
    if as_json:
        print_json({"path": str(made.path), "digest": made.digest} | told)
    else:
        _print_generation(told)
        print(
            f"in {made.path}; `orion synth look {out}` leafs through them, `orion synth card {out}` writes their card"
        )


def _asked_methods(given: list[str]) -> dict[str, dict[str, Any]]:
    """`rephrase/faq` as the table of the method that it names."""
    from orionlm.errors import UserError
    from orionlm.settings import nearest
    from orionlm.synth.methods import METHODS, load

    tables: dict[str, dict[str, Any]] = {}
    for one in given:
        name, sign, variant = one.partition("/")
        if name not in METHODS:
            raise UserError(f"--method {one}: no such method; {nearest(name, METHODS)}")
        table = tables.setdefault(name, {})
        if sign:
            known = about_method(name)["variants"]
            if variant not in known:
                raise UserError(f"--method {one}: {name} has no such variant; {nearest(variant, known)}")
            table.setdefault(_choices(load(name).Settings)[0], []).append(variant)
    return tables


def _teacher(given: str, known: dict[str, Any]) -> dict[str, Any]:
    from orionlm.cli.checkpoints import find_checkpoint
    from orionlm.errors import UserError

    if "://" in given:
        return {"url": given} | known
    if not Path(given).is_dir():
        server = f"; for a server write http://{given}" if ":" in given else ", or a server's URL"
        raise UserError(f"--teacher {given}: no such directory; give a checkpoint's, a run's{server}")
    for name in ("dollars", "prices"):
        if name in known:
            raise UserError(
                f"{_OPTIONS[name]} {known[name]}: a checkpoint is paid nothing; leave it out, or name a URL"
            )
    return {"checkpoint": str(find_checkpoint(Path(given)))} | known


def _sources(given: list[str], fields: dict[str, str], licence: str) -> list[dict[str, Any]]:
    """The sources of a stage `corpus`; a corpus of Orion's says itself what its documents are."""
    from orionlm.synth.files import PLAIN, corpus

    own = {f"{name}_field": name for name in ("text", "id", "group", "source", "domain", "licence")}
    found: list[dict[str, Any]] = []
    for kind in ("rows", "files"):
        files = [name for name in given if not Path(name).is_dir() and name.endswith(PLAIN) == (kind == "files")]
        if files:
            found.append({kind: files, "licence": licence} | (fields if kind == "rows" else {}))
    for folder in (Path(name) for name in given if Path(name).is_dir()):
        found.append({"rows": [f"{corpus(folder).as_posix()}/train-*.parquet"]} | own)
    return found


def _recipe(sources: list[dict[str, Any]], asked: dict[str, Any], seed: int) -> str:
    from orionlm.settings import to_toml

    corpus = {"kind": "corpus", "sources": sources}
    rows = {"kind": "generate", "inputs": {"corpus": "corpus"}} | asked
    return f'name = "synthetic"\nseed = {seed}\nstage = {to_toml({"corpus": corpus, "rows": rows})}\n'


def _print_generation(told: dict[str, Any]) -> None:
    from orionlm.cli.output import print_table
    from orionlm.progress import visible

    table = []
    for name, one in told["methods"].items():
        reasons = list(one["rejected"].items())[:REASONS]
        others = one["rows"] - one["kept"] - sum(count for _, count in reasons)
        why = "; ".join(f"{count:,} {visible(reason)}" for reason, count in reasons)
        why += f"; {others:,} others" if others else ""
        table.append([name, f"{one['rows']:,}", f"{one['kept']:,}", f"{one['kept_tokens']:,}", why])
    print_table(["method", "rows", "kept", "tokens kept", "rejected because"], table)
    for name, about in told["teachers"].items():
        revisions = ", ".join(about["revisions"]) or "no revision told"
        print(
            f"teacher {visible(name)} ({visible(revisions)}): {about['kept']:,} kept; terms {visible(about['terms'])}"
        )
    for warning in told["warnings"]:
        print(f"warning: {visible(warning)}")


def about_method(name: str) -> dict[str, Any]:
    """What `orion synth methods` says of one, and what --method may name."""
    from orionlm.synth.methods import load

    module = load(name)
    settings = module.Settings
    return {
        "name": name,
        "variants": list(getattr(module, "VARIANTS", ())) or _choices(settings)[1],
        "paper": module.PAPER,
        "worth": module.WORTH,
        "about": " ".join((settings.__doc__ or "").split()),
        "settings": settings().model_dump(mode="json"),
    }


def _choices(settings: Any) -> tuple[str, list[str]]:
    """The first setting that takes several of a fixed set, and that set: what a method's variants are."""
    for name, told in settings.model_json_schema()["properties"].items():
        if name == "variants" or "enum" in told.get("items", {}):
            return name, list(told["items"].get("enum", ()))
    return "", []

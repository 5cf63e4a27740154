"""`orion synth gate`: may this text stand beside that?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orionlm.synth.rows import Row

NOT_ADMITTED = 3  # as elsewhere: done, and not all is well; 1 and 2 are mistakes


def gate(
    real: Annotated[
        str, typer.Argument(metavar="REAL", help="Real text: a corpus or run of Orion's, files, a pattern.")
    ],
    synthetic: Annotated[
        str, typer.Argument(metavar="SYNTHETIC", help="Rows: a run's or a stage's, files, a pattern.")
    ],
    format: Annotated[
        list[str] | None,
        typer.Option(metavar="[METHOD=]FORMAT", help="What was asked for, if not text as real: faq, list, table, …"),
    ] = None,
    held_out: Annotated[
        str | None, typer.Option(metavar="FILES", help="Text that models will be measured on.  [default: the corpus's]")
    ] = None,
    suite: Annotated[
        list[str] | None, typer.Option(metavar="SUITE", help="Questions that must not be in it; may be given again.")
    ] = None,
    given: Annotated[
        list[str] | None, typer.Option("--given", metavar="NAME=FILE", help="A file that a suite is made from.")
    ] = None,
    text_field: Annotated[str, typer.Option(help="The field of a row that holds its text.")] = "text",
    seed_field: Annotated[
        str | None, typer.Option(help="The field of a row that holds what it was written from, to find copying.")
    ] = None,
    pieces: Annotated[
        bool, typer.Option("--excerpts", help="Rows are pieces: cut the real text into pieces as long as they are.")
    ] = False,
    embed: Annotated[
        Path | None, typer.Option(metavar="DIR", help="A model2vec model to measure distances by; else hashed words.")
    ] = None,
    mend_to: Annotated[
        Path | None, typer.Option("--mend", metavar="DIR", help="Save what can be saved into DIR, and judge that.")
    ] = None,
    most: Annotated[int, typer.Option(min=100, help="Texts of either side at most; more are drawn from.")] = 5000,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Hold synthetic text against real text, anybody's: admitted, rejected (and for which fault), or cannot tell.

    Meaning and topics are held tightly, format against what was declared: by --format, by the rows that Orion wrote,
    else as real. With --mend, a set that fails is mended by a third of the real text and judged by the rest; one that
    is admitted only loses what no set may have, and is judged by all of it, or mended too if that is not enough.
    Exit code 0: admitted; 3: not admitted.

    \b
    Examples:
      orion synth gate runs/crawl runs/faq --mend runs/faq/kept
      orion synth gate real.jsonl generated.parquet --text-field content --seed-field source --json
      orion synth gate 'docs/*.md' 'written/*.jsonl' --suite stories
    """
    from orionlm.cli.output import print_json
    from orionlm.data.documents import texts
    from orionlm.progress import Progress
    from orionlm.synth.excerpts import cut_like
    from orionlm.synth.files import real_texts, rows, sample
    from orionlm.synth.gate.gate import GateSettings
    from orionlm.synth.gate.gate import gate as hold
    from orionlm.synth.gate.mend import mend
    from orionlm.synth.measures.sentence_model import SentenceModel

    if mend_to is not None:
        _check_folder(mend_to)
    progress = Progress(quiet=quiet)
    if embed is not None:
        SentenceModel(embed)
    settings = GateSettings(format=_format(format or []), pieces=pieces, embed=embed)
    suites = _suites(suite or [], given or [])
    with progress.task("reading") as task:
        task.update(0)
        found, shards = real_texts(real, text_field, progress.say)
        real_side, real_count = sample(found, most, seed)
        known = {text.strip(): id for id, text in reversed(real_side)}
        usable = (row for row in rows(synthetic, text_field, seed_field, progress.say, known) if not row.error)
        side, count = sample(usable, most, seed + 1)
        if held_out:
            held = [text for _, text in real_texts(held_out, text_field, progress.say)[0]]
        else:
            held = list(texts(shards))
    if pieces:
        real_side, _ = sample(cut_like(real_side, side), most, seed)
    ids, compared = [id for id, _ in real_side], [text for _, text in real_side]
    drawn = {"drawn_from": {"real": real_count, "synthetic": count}, "not_compared": count - len(side)}
    with progress.task("comparing") as task:
        task.update(0)
        if mend_to is None:
            report = hold(compared, side, settings, seed=seed, held_out=held, suites=suites, groups=ids)
            told: dict[str, Any] = report.to_json() | drawn
        else:
            mended = mend(compared, side, settings, seed=seed, held_out=held, suites=suites, groups=ids)
            told = mended.to_json() | drawn
            _save(mend_to, mended.rows, mended.dropped, told)
    if as_json:
        print_json(told)
    else:
        _print_gate(told)
        for line in _not_looked_at(told, most, mend_to is not None):
            print(line)
        if mend_to is not None:
            print(f"{told['kept']:,} rows kept in {mend_to}, {told['dropped']:,} dropped")
    if told["verdict"] != "admitted":
        raise typer.Exit(NOT_ADMITTED)


def _format(given: list[str]) -> str | dict[str, str]:
    from orionlm.errors import UserError

    pairs = [one.partition("=") for one in given]
    if len(pairs) == 1 and not pairs[0][1]:
        return pairs[0][0]
    for method, sign, name in pairs:
        if not (method and sign and name):
            raise UserError(f"--format {method}: write METHOD=FORMAT, or give one format for all")
    return {method: name for method, _, name in pairs} or "declared"


def _check_folder(folder: Path) -> None:
    """That rows can be written there, before any is read."""
    from tempfile import TemporaryFile

    from orionlm.errors import UserError

    try:
        folder.mkdir(parents=True, exist_ok=True)
        taken = any(folder.iterdir())
        with TemporaryFile(dir=folder):
            pass
    except FileExistsError:
        taken = True
    except (OSError, ValueError) as error:
        why = str(getattr(error, "strerror", None) or error).lower()
        raise UserError(f"--mend {folder}: nothing can be written there ({why}); give a folder of your own") from None
    if taken:
        raise UserError(f"--mend {folder}: something is there; give a new or an empty folder")


def _save(folder: Path, kept: list[Row], dropped: list[Row], told: dict[str, Any]) -> None:
    from orionlm.artifact import write_json
    from orionlm.synth.rows import write_rows

    write_rows(folder, kept)
    write_rows(folder, dropped, "dropped")
    write_json(folder / "gate.json", told)


def _suites(names: list[str], given: list[str]) -> list[Any]:
    from orionlm.errors import UserError
    from orionlm.tasks.suite import load_suite

    files = {}
    for pair in given:
        key, sign, path = pair.partition("=")
        if not (key and sign and path):
            raise UserError(f"--given {pair}: write NAME=FILE")
        files[key] = path
    return [load_suite(name, files) for name in names]


def _not_looked_at(told: dict[str, Any], most: int, mended: bool) -> list[str]:
    """Which rows --most left out, whatever the verdict; and which real texts, where they could settle it."""
    from orionlm.synth.gate.verdict import FEWEST

    lines, there = [], told["drawn_from"]
    if left := told["not_compared"]:
        where = " and are neither kept nor dropped" if mended else ""
        lines.append(
            f"{left:,} of {there['synthetic']:,} rows were not compared{where}; --most {there['synthetic']} admits them"
        )
    few = min(told["n_real"], told["n_synthetic"]) < FEWEST
    wide = any(one["verdict"] == "cannot tell" and one["value"] is not None for one in told["measures"])
    if told["verdict"] == "cannot tell" and (few or wide) and there["real"] > most:
        lines.append(f"{most:,} of {there['real']:,} real texts were looked at; --most {there['real']} takes all")
    return lines


def _print_gate(told: dict[str, Any]) -> None:
    from orionlm.cli.output import print_table
    from orionlm.progress import visible

    order = {"fails": 0, "cannot tell": 1, "passes": 2, "describes": 3, "not measured": 4}
    table = []
    for one in sorted(told["measures"], key=lambda one: order[one["verdict"]]):
        ends = "–" if one["low"] is None else f"{one['low']:.3f} to {one['high']:.3f}"
        table.append([
            one["name"], one["verdict"], "–" if one["value"] is None else f"{one['value']:.3f}", ends,
            "–" if one["margin"] is None else f"{one['margin']:.3g}", one["fault"], visible(one["note"]),
        ])  # fmt: skip
    if table:
        print_table(["measure", "verdict", "value", "90% interval", "at most", "fault", "note"], table)
    for step in told.get("mending", ()):
        print(f"mended: {step['name']}: {step['before']:,} → {step['after']:,} rows")
    print(visible(told["says"]))

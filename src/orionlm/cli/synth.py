"""`orion synth`: text that models write. The ways to write it, a page to leaf through it, its card."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from orionlm.cli.synth_gate import gate
from orionlm.cli.synth_generate import about_method, generate
from orionlm.cli.synth_probe import probe

app = typer.Typer(rich_markup_mode=None)
Json = Annotated[bool, typer.Option("--json", help="Print as JSON.")]


def register(parent: typer.Typer) -> None:
    app.command("generate")(generate)
    app.command("gate")(gate)
    app.command("probe")(probe)
    parent.add_typer(app, name="synth", help="Write text with models, and hold it against the real before training.")


@app.command("methods")
def methods(
    name: Annotated[str | None, typer.Argument(metavar="[METHOD]", help="Only this one, with its settings.")] = None,
    as_json: Json = False,
) -> None:
    """The ways to write synthetic text: their variants, papers, and what each is expected to be worth.

    \b
    Examples:
      orion synth methods
      orion synth methods rephrase
      orion synth methods --json
    """
    from orionlm.cli.output import print_json
    from orionlm.errors import UserError
    from orionlm.settings import nearest
    from orionlm.synth.methods import METHODS

    if name is not None and name not in METHODS:
        raise UserError(f"{name}: no such method; {nearest(name, METHODS)}")
    known = [about_method(each) for each in (METHODS if name is None else [name])]
    if as_json:
        print_json(known)
        return
    for method in known:
        print(method["name"])
        for label in ("variants", "paper", "worth"):
            told = method[label]
            _print_wrapped(label, ", ".join(told) if isinstance(told, list) else told)
        if name is not None:
            _print_wrapped("about", method["about"])
            for setting, value in method["settings"].items():
                print(f"    {setting} = {_shown(value)}")


def _print_wrapped(label: str, text: str) -> None:
    import shutil
    import textwrap

    width = max(40, shutil.get_terminal_size((120, 24)).columns)
    if text:
        print(textwrap.fill(text, width, initial_indent=f"  {label:<9} ", subsequent_indent=" " * 12))


def _shown(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


@app.command("look")
def look(
    rows: Annotated[Path, typer.Argument(help="A run, a stage's directory, a folder of row files, or one of them.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: ROWS-rows.html beside it]")] = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Rows at most; more are drawn from.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Which are drawn.")] = 0,
    show: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    as_json: Json = False,
) -> None:
    """Write an offline page to leaf through rows: seeds beside text, prompts, verdicts, scores, lineage.

    \b
    Examples:
      orion synth look runs/faq --open
      orion synth look runs/faq/artifacts/rows --out rows.html --count 5000
    """
    from orionlm.artifact import write_text
    from orionlm.cli.output import print_json
    from orionlm.synth.viewer import draw, render

    files = _written(rows)
    page = _page(out, rows, files, "rows")
    drawn, total = draw(files, count, seed)
    write_text(page, render(drawn, page.stem.removesuffix("-rows"), total))
    if as_json:
        kept = sum(not row.error for row in drawn)
        print_json({"page": str(page), "rows": len(drawn), "kept": kept, "drawn_from": total})
    else:
        print(page)
    if show:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())


def _written(rows: Path) -> list[Path]:
    from orionlm.errors import UserError
    from orionlm.synth.files import is_ours, written

    files = [rows] if rows.is_file() else written(rows)
    for file in files:
        if not is_ours(file):
            raise UserError(f"{file}: not rows with their lineage; give what `orion synth generate` wrote")
    return files


def _gate_of(folder: Path) -> dict[str, Any] | None:
    """What a gate said of the rows in a folder, where one did."""
    import json

    from orionlm.errors import UserError

    file = folder / "gate.json"
    if not file.is_file():
        return None
    try:
        said = json.loads(file.read_bytes())
    except ValueError:
        said = None
    if not isinstance(said, dict) or not {"verdict", "faults", "measures"} <= set(said):
        raise UserError(f"{file}: not what a gate wrote; write it again with `orion synth gate … --mend`")
    return said


def _page(out: Path | None, rows: Path, files: list[Path], what: str) -> Path:
    """Where a page about rows goes: OUT, else into the run that was named, else beside what was."""
    from orionlm.errors import UserError

    inside = rows.is_dir() and files[0].parent != rows
    page = out or (rows / f"{what}.html" if inside else rows.with_name(f"{rows.stem}-{what}.html"))
    if not page.parent.is_dir():
        raise UserError(f"--out {page}: there is no directory {page.parent}; make it, or choose another place")
    return page


@app.command("card")
def card(
    rows: Annotated[Path, typer.Argument(help="A run, a stage's directory, a folder of row files, or one of them.")],
    out: Annotated[Path | None, typer.Option(help="The page to write.  [default: ROWS-card.html beside it]")] = None,
    as_json: Json = False,
) -> None:
    """Write a data card of synthetic rows: who wrote them, under which terms and licences, how, and what the gate said.

    \b
    Examples:
      orion synth card runs/faq
      orion synth card runs/faq/artifacts/aligned --out card.html
    """
    from orionlm.artifact import MANIFEST, open_artifact, write_text
    from orionlm.cli.output import print_json
    from orionlm.report.synthetic_card import counted, render_card

    files = _written(rows)
    folder = files[0].parent
    made = open_artifact(folder) if (folder / MANIFEST).is_file() else None
    said = _gate_of(folder)
    if as_json:
        print_json(counted(files).to_json() | {"digest": made.digest if made else None, "gate": said})
        return
    page = _page(out, rows, files, "card")
    write_text(page, render_card(files, rows.name, made.digest if made else "", said))
    print(page)

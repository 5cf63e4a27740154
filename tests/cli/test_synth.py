"""`orion synth`, from seeds to a page, a card and a verdict."""

from __future__ import annotations

import asyncio
import json
import random
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from inference.client.scripted_server import Scripted, completion
from inference.server.tiny import make_checkpoint
from orionlm.cli.synth import app
from orionlm.errors import UserError
from orionlm.synth.methods import METHODS
from orionlm.synth.rows import Row, read_rows, row_files, write_rows

pytest.importorskip("phonenumbers")
HOSTILE = "</script><img src=x onerror=alert(1)>\x1b[2J"


def say(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.stdout


def answer(body: dict[str, Any], n: int) -> dict[str, Any]:
    """Thoughts, and the words it was sent in another order; nothing for the seed w7; hostile words for w5."""
    words = re.findall(r"\w+", body["messages"][-1]["content"])
    if "w7" in words:
        return completion("")
    said = " ".join(sorted(words)[:80]) + (HOSTILE if "w5" in words else "")
    return completion(f"<think>Which words?</think>Q: What?\nA: {said}", completion_tokens=90)


@pytest.fixture(scope="module")
def server() -> Iterator[Scripted]:
    ready, scripted = threading.Event(), Scripted(answer)
    loop = asyncio.new_event_loop()
    done = asyncio.Event()

    async def serve() -> None:
        async with scripted:
            ready.set()
            await done.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert ready.wait(10)
    yield scripted
    loop.call_soon_threadsafe(done.set)
    thread.join(10)
    loop.close()


@pytest.fixture
def seeds(tmp_path):
    draw = random.Random(1)
    rows = [{"text": f"w{n} " + " ".join(draw.choices("abcdefgh", k=60)), "terms": "MIT"} for n in range(40)]
    (tmp_path / "seeds.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_seeds_become_rows_that_can_be_leafed_through_and_have_a_card(seeds, server):
    asked = ("generate", seeds / "seeds.jsonl", "--teacher", server.url, "--out", seeds / "out", "-q")
    asked += ("--method", "rephrase/faq", "--terms", "allowed", "--terms-text", "section 3", "--licence-field", "terms")
    told = json.loads(say(*asked, "--json"))
    rows = list(read_rows(row_files(seeds / "out/artifacts/rows")))
    assert told["rows"] == len(rows) and 30 < told["kept"] < len(rows)
    assert {(row.method, row.licence, row.terms) for row in rows if not row.error} == {
        ("rephrase/faq", "MIT", "allowed: section 3")
    }
    assert any("empty" in row.error for row in rows)
    before = len(server.bodies)
    printed = say(*asked)
    assert len(server.bodies) == before and "the answer is empty" in printed and "terms allowed" in printed

    page = seeds / "out/rows.html"
    assert say("look", seeds / "out").strip() == str(page)
    assert "Which words?" in page.read_text() and "<img" not in page.read_text()
    card = json.loads(say("card", seeds / "out", "--json"))
    assert card["kept"] == told["kept"] and card["licences"] == {"MIT": told["kept"]} and card["digest"]
    written = Path(say("card", seeds / "out").strip()).read_text()
    assert "Nemotron-CC" in written and "section 3" in written and "<img" not in written


def test_a_corpus_of_ours_gives_seeds_with_their_licences_and_several_methods_share(seeds, server):
    first = ("generate", seeds / "seeds.jsonl", "--teacher", server.url, "--method", "rephrase/faq", "-q")
    say(*first, "--licence-field", "terms", "--rows", 4, "--out", seeds / "first")
    more = ("--method", "rephrase/table", "--method", "rephrase/faq", "--method", "seeded/story", "--rows", 12)
    told = json.loads(
        say("generate", seeds / "first", "--teacher", server.url, *more, "--out", seeds / "b", "-q", "--json")
    )
    assert set(told["methods"]) == {"rephrase/table", "rephrase/faq", "seeded/story"}
    assert told["kept"] == 12 and set(told["licences"]) == {"MIT"}
    assert told["methods"]["seeded/story"]["kept"] == 6


@pytest.mark.parametrize(
    "options, said",
    [
        (("--method", "rephrase/faq"), "--teacher: nobody is asked"),
        (("--teacher", "URL"), "--method: none is named"),
        (("--teacher", "URL", "--method", "rephras"), "--method rephras: no such method; did you mean rephrase"),
        (("--teacher", "URL", "--method", "rephrase/fac"), "rephrase has no such variant; did you mean faq"),
        (("--teacher", "URL", "--method", "continuation/x"), "continuation has no such variant"),
        (("--teacher", "localhost:80", "--method", "continuation"), "for a server write http://localhost:80"),
        (("--teacher", "URL", "--method", "rephrase", "--terms", "maybe"), "--terms maybe: give allowed"),
        (("--teacher", "URL", "--method", "rephrase", "--terms", "forbidden"), "forbid training .*nothing was asked"),
        (
            ("--teacher", "FOLDER", "--method", "rephrase", "--max-dollars", "1"),
            "--max-dollars 1.0: a checkpoint is paid",
        ),
        (("--teacher", "URL", "--method", "rephrase", "--max-dollars", "nan"), "--max-dollars nan: give a number"),
        (("--teacher", "URL", "--method", "rephrase", "--max-dollars", "inf"), "--max-dollars inf: give a number"),
        (("--teacher", "URL", "--method", "rephrase", "--max-dollars", "-1"), "--max-dollars -1: give a number"),
        (("--teacher", "URL", "--method", "rephrase", "--prices", "nowhere.toml"), "nowhere.toml: no such file"),
    ],
)
def test_a_mistake_is_told_in_a_line_before_anybody_is_asked(seeds, server, options, said):
    before = len(server.bodies)
    options = [{"URL": server.url, "FOLDER": seeds}.get(one, one) for one in options]
    with pytest.raises(UserError, match=said):
        say("generate", seeds / "seeds.jsonl", "--out", seeds / "out", "-q", *options)
    assert len(server.bodies) == before


def test_settings_of_a_file_hold_where_no_option_says_otherwise(seeds, server):
    (seeds / "generate.toml").write_text(f"""
rows = 30
teachers = [{{ url = "{server.url}", name = "scripted", terms = "allowed" }}]
[rephrase]
variants = ["faq"]
temperature = 0.1
""")
    asked = ("generate", seeds / "seeds.jsonl", "--settings", seeds / "generate.toml", "--out", seeds / "out")
    told = json.loads(say(*asked, "--rows", 3, "-q", "--json"))
    assert told["kept"] == 3 and set(told["teachers"]) == {"scripted"}
    assert server.bodies[-1]["temperature"] == 0.1


@pytest.mark.parametrize("dollars", ["nan", "inf", "-1.0"])
def test_a_limit_in_a_file_that_is_no_limit_is_told_at_its_line(seeds, server, dollars):
    (seeds / "g.toml").write_text(f'seeded = {{}}\nteachers = [{{ url = "{server.url}", dollars = {dollars} }}]\n')
    asked = ("generate", seeds / "seeds.jsonl", "--settings", seeds / "g.toml", "--out", seeds / "out", "-q")
    with pytest.raises(UserError, match=r"g.toml:2: teachers.*dollars"):
        say(*asked)
    (seeds / "g.toml").write_text(f'seeded = {{}}\nteachers = [{{ url = "{server.url}" }}]\n')
    with pytest.raises(UserError, match="--max-dollars: said of --teacher, which is not given"):
        say(*asked, "--max-dollars", 1)


def test_options_that_changed_are_accepted_where_the_message_says_so(seeds, server):
    asked = ("generate", seeds / "seeds.jsonl", "--teacher", server.url, "--method", "rephrase/faq", "-q")
    say(*asked, "--rows", 3, "--out", seeds / "out")
    with pytest.raises(UserError, match="drift: .*--redo rows.*--accept-drift"):
        say(*asked, "--rows", 4, "--out", seeds / "out")
    say(*asked, "--rows", 4, "--out", seeds / "out", "--accept-drift")


@pytest.mark.parametrize("folder", ["/proc/nowhere", "real.jsonl/under", "x" * 300])
def test_a_folder_to_mend_into_that_cannot_be_is_told_before_anything_is_read(texts, monkeypatch, folder):
    monkeypatch.chdir(texts)
    with pytest.raises(UserError, match=f"--mend {folder}: nothing can be written there .*; give a folder of your own"):
        say("gate", "real.jsonl", "nowhere.jsonl", "--mend", folder, "-q")


def test_every_method_says_its_paper_worth_and_variants():
    told = json.loads(say("methods", "--json"))
    assert [method["name"] for method in told] == list(METHODS)
    assert all(method["paper"] and method["worth"] and method["about"] for method in told)
    variants = {method["name"]: method["variants"] for method in told}
    assert {"wikipedia", "diverse_qa", "faq", "table"} <= set(variants["rephrase"]) and "story" in variants["seeded"]
    printed = say("methods", "rephrase")
    assert "arXiv:2412.02595" in printed and "token_bounds = [50, 510]" in printed and "seeded" not in printed
    with pytest.raises(UserError, match="sedeed: no such method; did you mean seeded"):
        say("methods", "sedeed")


def test_a_page_goes_where_it_can_be_found_and_only_rows_are_looked_at(tmp_path):
    write_rows(tmp_path / "mine", [Row("a", "m"), Row("b", "m").judged("language", "French")])
    told = json.loads(say("look", tmp_path / "mine", "--json"))
    assert told == {"page": str(tmp_path / "mine-rows.html"), "rows": 2, "kept": 1, "drawn_from": 2}
    assert json.loads(say("look", tmp_path / "mine/rows-00000.parquet", "-n", 1, "--json"))["rows"] == 1
    with pytest.raises(UserError, match="there is no directory"):
        say("look", tmp_path / "mine", "--out", tmp_path / "nowhere/page.html")
    (tmp_path / "notes.txt").write_text("a")
    for command in ("look", "card"):
        with pytest.raises(UserError, match="notes.txt: not rows with their lineage"):
            say(command, tmp_path / "notes.txt")
        with pytest.raises(UserError, match="no rows here"):
            say(command, tmp_path / "nowhere")


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    """Real texts, others like them, and the same with half of each cut away."""
    folder, draw = tmp_path_factory.mktemp("texts"), random.Random(2)
    words = [["".join(draw.choices("abcdefghijklmnop", k=6)) for _ in range(900)] for _ in range(3)]

    def text() -> str:
        sentences = [
            " ".join(draw.choices(draw.choice(words), k=draw.randrange(5, 12))).capitalize() + "."
            for _ in range(draw.randrange(6, 14))
        ]
        return " ".join(sentences)

    for name, made in {
        "real": [text() for _ in range(400)],
        "like": [text() for _ in range(400)],
        "cut": [(whole := text())[: len(whole) // 2] for _ in range(400)],
    }.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps({"text": one}) + "\n" for one in made))
    return folder


def test_the_gate_s_word_is_its_exit_code(texts):
    real = texts / "real.jsonl"
    like = json.loads(say("gate", real, texts / "like.jsonl", "--json", "-q"))
    assert like["verdict"] == "admitted" and like["n_real"] == like["n_synthetic"] == 400
    cut = json.loads(say("gate", real, texts / "cut.jsonl", "--json", "-q", code=3))
    assert cut["verdict"] == "rejected" and "truncation" in cut["faults"]
    (texts / "few.jsonl").write_text("".join((texts / "like.jsonl").read_text().splitlines(keepends=True)[:20]))
    assert "cannot tell" in say("gate", real, texts / "few.jsonl", "-q", code=3)


def test_of_many_texts_some_are_drawn_and_how_many_there_were_is_said(texts):
    told = json.loads(say("gate", texts / "real.jsonl", texts / "like.jsonl", "--most", 150, "--json", "-q", code=3))
    assert (told["n_real"], told["n_synthetic"]) == (150, 150)
    assert told["drawn_from"] == {"real": 400, "synthetic": 400}
    printed = say("gate", texts / "real.jsonl", texts / "like.jsonl", "--most", 150, "-q", code=3)
    assert printed.splitlines()[-2:] == [
        "250 of 400 rows were not compared; --most 400 admits them",
        "150 of 400 real texts were looked at; --most 400 takes all",
    ]


@pytest.fixture
def admitting(monkeypatch):
    """A gate that admits everything at once; what it was given."""
    from orionlm.synth.gate.gate import Report
    from orionlm.synth.gate.mend import Mended

    seen: dict[str, Any] = {}

    def hold(real, rows, settings, **more):
        seen.update(real=real, rows=rows, **more)
        return Report("admitted", [], [], 0.5, len(real), len(rows))

    def mend(real, rows, settings, **more):
        return Mended(list(rows), [], *[hold(real, rows, settings, **more)] * 2)

    monkeypatch.setattr("orionlm.synth.gate.gate.gate", hold)
    monkeypatch.setattr("orionlm.synth.gate.mend.mend", mend)
    return seen


def test_rows_that_were_not_compared_are_said_whatever_the_verdict(texts, tmp_path, admitting):
    asked = ("gate", texts / "real.jsonl", texts / "like.jsonl", "--most", 150, "-q", "--mend")
    printed = say(*asked, tmp_path / "kept")
    left = "250 of 400 rows were not compared and are neither kept nor dropped; --most 400 admits them"
    assert left in printed and "real texts were looked at" not in printed
    assert json.loads((tmp_path / "kept/gate.json").read_text())["not_compared"] == 250
    assert json.loads(say(*asked, tmp_path / "again", "--json"))["not_compared"] == 250
    assert "not compared" not in say("gate", texts / "real.jsonl", texts / "like.jsonl", "-q")


def test_anybody_s_rows_are_known_by_the_real_text_that_they_were_written_from(texts, tmp_path, admitting):
    real = [json.loads(line)["text"] for line in (texts / "real.jsonl").read_text().splitlines()][:3]
    made = [{"text": f"about {n}", "of": seed} for n, seed in enumerate([*real, "elsewhere", "elsewhere"])]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in made))
    say("gate", texts / "real.jsonl", tmp_path / "rows.jsonl", "--seed-field", "of", "-q")
    *own, one, other = [row.seeds[0] for row in admitting["rows"]]
    assert own == admitting["groups"][:3] and one == other not in admitting["groups"]


@pytest.mark.slow
def test_what_can_be_saved_is_saved_into_a_folder_that_can_be_looked_at_and_carded(texts, tmp_path):
    like, bad = ((texts / f"{name}.jsonl").read_text().splitlines(keepends=True) for name in ("like", "cut"))
    (tmp_path / "mixed.jsonl").write_text("".join(like[:300] + bad[:200]))
    kept = tmp_path / "kept"
    asked = ("gate", texts / "real.jsonl", tmp_path / "mixed.jsonl", "--mend", kept, "-q", "--json")
    result = CliRunner().invoke(app, [str(one) for one in asked], catch_exceptions=False)
    told = json.loads(result.stdout)
    assert told["before"]["verdict"] == "rejected" and told["mending"]
    assert result.exit_code == (0 if told["verdict"] == "admitted" else 3)
    assert told["kept"] == len(list(read_rows(row_files(kept)))) > 0
    assert told["dropped"] == len(list(read_rows(row_files(kept, "dropped"))))
    card = json.loads(say("card", kept, "--json"))
    assert card["gate"] == json.loads((kept / "gate.json").read_text())
    assert (card["rows"], card["kept"]) == (told["kept"] + told["dropped"], told["kept"])
    assert "Before it was mended: rejected" in Path(say("card", kept).strip()).read_text()
    with pytest.raises(UserError, match="something is there"):
        say(*asked)
    (kept / "gate.json").write_text("[]")
    with pytest.raises(UserError, match="not what a gate wrote"):
        say("card", kept)


def test_pieces_of_a_text_are_known_as_that_text_s_and_their_length_says_nothing(texts, monkeypatch):
    seen = {}

    def hold(real, rows, settings, **more):
        seen.update(real=real, settings=settings, **more)
        raise UserError("enough seen")

    monkeypatch.setattr("orionlm.synth.gate.gate.gate", hold)
    whole = [json.loads(line)["text"] for line in (texts / "real.jsonl").read_text().splitlines()]
    pieces = "".join(json.dumps({"text": text[: len(text) // 4]}) + "\n" for text in whole)
    (texts / "pieces.jsonl").write_text(pieces)
    with pytest.raises(UserError, match="enough seen"):
        say("gate", texts / "real.jsonl", texts / "pieces.jsonl", "--excerpts", "-q")
    assert len(seen["real"]) == len(seen["groups"]) > len(set(seen["groups"])) and seen["settings"].pieces


def test_text_that_models_are_measured_on_is_found(texts):
    like = texts / "like.jsonl"
    told = json.loads(say("gate", texts / "real.jsonl", like, "--held-out", like, "--json", "-q", code=3))
    assert "evaluation leakage" in told["faults"]


def test_a_gate_prints_what_failed_first_and_steers_no_terminal(texts):
    rows = [json.loads(line) for line in (texts / "like.jsonl").read_text().splitlines()]
    (texts / "bad.jsonl").write_text(
        "".join(json.dumps({"text": f"\x1b[2J As an AI: {row['text']}"}) + "\n" for row in rows)
    )
    printed = say("gate", texts / "real.jsonl", texts / "bad.jsonl", "-q", code=3)
    assert "fails" in printed.splitlines()[1] and "\x1b" not in printed
    assert printed.splitlines()[-1].startswith("rejected: ")


@pytest.mark.parametrize(
    "options, said",
    [
        (("nowhere.jsonl",), "matches no file"),
        (("like.jsonl", "--format", "fac"), "no format 'fac'; did you mean faq"),
        (("like.jsonl", "--format", "=faq"), "write METHOD=FORMAT"),
        (("like.jsonl", "--suite", "demo", "--given", "texts"), "write NAME=FILE"),
        (("like.jsonl", "--text-field", "body"), "no field 'body'"),
        (("like.jsonl", "--seed-field", "from"), "no row has text in the field 'from'"),
    ],
)
def test_a_gate_that_cannot_begin_says_why(texts, monkeypatch, options, said):
    monkeypatch.chdir(texts)
    with pytest.raises(UserError, match=said):
        say("gate", "real.jsonl", *options, "-q")


@pytest.mark.parametrize("command", ["methods", "generate", "gate", "look", "card"])
def test_every_command_has_help_with_examples_and_json(command):
    shown = say(command, "--help")
    assert re.search(rf"Examples:\n +orion synth {command}", shown) and "--json" in shown


@pytest.mark.slow
def test_a_checkpoint_of_ours_can_be_the_teacher(seeds):
    make_checkpoint(seeds / "model")
    asked = ("generate", seeds / "seeds.jsonl", "--teacher", seeds / "model", "--method", "continuation", "--rows", 5)
    told = json.loads(say(*asked, "--out", seeds / "out", "-q", "--json"))
    [teacher] = told["teachers"].values()
    assert told["kept"] == 5 and teacher["terms"] == "allowed"

"""Curation as a whole: every document has a verdict, whatever cuts it, kills it or runs it."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from orionlm.artifact import file_digest
from orionlm.data.curation.curate import Settings, curate, write_report
from orionlm.data.curation.parts import parts
from orionlm.data.documents import Document, read_documents, shard_files
from orionlm.errors import UserError
from orionlm.recipe.recipe import parse_recipe
from orionlm.settings import parse_toml
from shard_writer import Writer

WORDS = [f"{a}{b}" for a in ("ba", "de", "fi", "go", "ku", "la", "me") for b in ("ran", "sel", "tim", "von", "wep")]


def prose(seed: int, words: int = 120) -> str:
    draw = random.Random(seed)
    return "That and the " + " ".join(draw.choice(WORDS) + str(draw.randrange(40)) for _ in range(words)) + "."


def changed(text: str, seed: int) -> str:
    """A near copy: one word is another."""
    draw, words = random.Random(seed), text.split()
    for place in draw.sample(range(len(words)), 1):
        words[place] = "other"
    return " ".join(words)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return written(tmp_path / "corpus", 20_000)


def written(folder: Path, shard_bytes: int) -> Path:
    """300 documents, then 40 near copies and 10 exact ones of them, and one held-out document copied into the text."""
    folder.mkdir()
    texts = [prose(seed) for seed in range(300)]
    texts += [changed(texts[n], n) for n in range(40)] + texts[100:110]
    held_out = [prose(1000 + seed) for seed in range(5)]
    texts.append(changed(held_out[0], 7))
    for split, rows in (("train", texts), ("validation", held_out)):
        with Writer(folder, split, shard_bytes=shard_bytes) as writer:
            for number, text in enumerate(rows):
                writer.add(Document(text, "made", f"g{number}", f"{split}/{number}"), len(text.encode()))
    return folder


def given(corpus: Path):
    return [*parts(shard_files(corpus, "validation"), protected=True), *parts(shard_files(corpus, "train"))]


def published(folder: Path) -> dict[str, str]:
    return {path.name: file_digest(path) for path in sorted(folder.glob("*.parquet"))}


def verdicts(folder: Path) -> list[dict]:
    return [row for path in sorted(folder.glob("verdicts-*.parquet")) for row in pq.read_table(path).to_pylist()]


def test_near_and_exact_copies_go_and_every_document_has_its_verdict(corpus, tmp_path):
    out = tmp_path / "out"
    tally = curate(given(corpus), Settings().steps(), out)
    kept = list(read_documents(shard_files(out, "train")))
    rows = verdicts(out)
    assert [row["id"] for row in rows] == [d.id for d in read_documents(shard_files(corpus, "train"))]
    left = [row["id"] for row in rows if row["exact"] == "" and row["near_copies"] == ""]
    assert left == [document.id for document in kept] == [f"train/{n}" for n in range(300)]
    copies = {row["id"]: row["copy_of"] for row in rows if row["copy_of"]}
    assert copies == (
        {f"train/{300 + n}": f"train/{n}" for n in range(40)}
        | {f"train/{340 + n}": f"train/{100 + n}" for n in range(10)}
        | {"train/350": "validation/0"}
    )
    assert {why: held["documents"] for reasons in tally.removed.values() for why, held in reasons.items()} == {
        "exact copy": 10, "near copy": 40, "near copy of held-out text": 1,
    }  # fmt: skip


def test_the_cut_into_parts_changes_no_verdict_no_count_and_no_sample(tmp_path):
    told = []
    for name, size in (("one", 1 << 30), ("many", 10_000)):
        out = tmp_path / name
        tally = curate(given(written(tmp_path / f"{name}-corpus", size)), Settings().steps(), out)
        write_report(out, Settings().steps(), tally)
        told.append((verdicts(out), list(read_documents(shard_files(out, "train"))), tally.as_json()))
    assert len(shard_files(tmp_path / "many", "train")) > len(shard_files(tmp_path / "one", "train"))
    assert told[0] == told[1]


def test_an_empty_result_names_the_step_and_the_mend(corpus, tmp_path):
    settings = Settings.model_validate({"gopher": {"min_words": 100_000, "max_words": 1_000_000}})
    with pytest.raises(UserError, match=r"nothing is left of 351 documents: gopher removed 351.*gopher = false"):
        curate(given(corpus), settings.steps(), tmp_path / "out")


def test_a_step_is_turned_on_and_off_by_true_and_false():
    assert Settings.model_validate({"near_copies": False}).steps().names() == ["exact"]
    asked = Settings.model_validate({"secrets": True, "gopher": {}, "c4": False})
    assert asked.steps().names() == ["gopher", "secrets", "exact", "near_copies"]


def test_after_other_settings_nothing_of_the_old_work_is_used(corpus, tmp_path):
    out = tmp_path / "out"
    curate(given(corpus), Settings.model_validate({"near_copies": False}).steps(), out)
    before = published(out)
    curate(given(corpus), Settings().steps(), out)
    fresh = tmp_path / "fresh"
    curate(given(corpus), Settings().steps(), fresh)
    assert published(out) == published(fresh) != before


RUN = """
import sys
from pathlib import Path
from orionlm.data.curation.curate import Settings, curate
from orionlm.data.curation.parts import parts
from orionlm.data.documents import shard_files
corpus, out, workers, runner = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if __name__ == "__main__":
    given = [*parts(shard_files(corpus, "validation"), True), *parts(shard_files(corpus, "train"), part_bytes=1)]
    settings = Settings.model_validate({"gopher": {"min_words": 60}, "secrets": {}, "lines": {}})
    curate(given, settings.steps(), out, workers=workers, runner=runner)
"""


def run(script: Path, corpus: Path, out: Path, workers: int, runner: str = "embedded") -> subprocess.Popen:
    arguments = [sys.executable, str(script), str(corpus), str(out), str(workers), runner]
    return subprocess.Popen(arguments, start_new_session=True)


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_files(corpus, tmp_path):
    script = tmp_path / "run.py"
    script.write_text(RUN)
    began = time.monotonic()
    assert run(script, corpus, tmp_path / "left-alone", 1).wait() == 0
    took = time.monotonic() - began
    draw, out, kills = random.Random(3), tmp_path / "killed", 0
    while True:
        process = run(script, corpus, out, 1)
        try:
            assert process.wait(took * draw.uniform(0.5, 0.95)) == 0
            if kills:
                break
            shutil.rmtree(out)  # the first one was slow, or this one fast: nothing was killed yet
            took *= 0.7
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            took *= 1.05
    assert published(out) == published(tmp_path / "left-alone")


@pytest.mark.slow
@pytest.mark.parametrize("runner", ["embedded", "ray"])
def test_processes_and_a_cluster_give_the_same_files_as_one_process(corpus, tmp_path, runner):
    if runner == "ray":
        pytest.importorskip("ray")
    script = tmp_path / "run.py"
    script.write_text(RUN)
    assert run(script, corpus, tmp_path / "one", 1).wait(120) == 0
    assert run(script, corpus, tmp_path / "many", 2, runner).wait(240) == 0
    assert published(tmp_path / "many") == published(tmp_path / "one")


def test_a_report_says_in_json_what_went(corpus, tmp_path):
    out = tmp_path / "out"
    steps = Settings().steps()
    write_report(out, steps, curate(given(corpus), steps, out))
    counted = json.loads((out / "curation.json").read_text())
    assert counted["steps"] == ["exact", "near_copies"]
    assert counted["kept"]["domain"]["text"]["documents"] == 300
    samples = json.loads((out / "samples.json").read_text())
    assert len(samples["near_copies"]["near copy"]) == 40


STAGES = """
name = "x"
[stage.corpus]
kind = "corpus"
sources = [{{ files = ["a.txt"] }}]
[stage.curated]
kind = "curate"
inputs = {{ corpus = "corpus" }}
{step}
"""


@pytest.mark.parametrize(
    "step, said",
    [
        ('language = { keep = "en" }', r"language\.keep: \"en\": expected a list"),
        ("near_copies = { threshold = 2.0 }", r"near_copies\.threshold: 2\.0: expected at most 1"),
        ("near_copies = { treshold = 0.8 }", r"treshold: unknown key, did you mean threshold\?"),
        ("decontaminate = true", r"no default for suites; write decontaminate = \{ suites"),
        ("decontaminate = {}", r"decontaminate\.suites: missing"),
        ("gopher = 3", r"gopher: 3: expected true or false or a table"),
        ("gophr = {}", r"unknown key, did you mean gopher\?"),
    ],
)
def test_a_mistake_in_a_step_is_one_line_that_names_the_field(step, said):
    with pytest.raises(UserError, match=rf"r\.toml:8?.*{said}"):
        parse_recipe(parse_toml(STAGES.format(step=step), "r.toml"))


def test_lists_and_tables_of_a_recipe_reach_their_step():
    text = STAGES.format(step='language = { keep = ["de", "en"] }\nlines = { domains = ["web"] }')
    steps = parse_recipe(parse_toml(text, "r.toml")).stage("curated").settings.steps()
    assert (steps.filters["language"].keep, steps.lines.domains) == (("de", "en"), ("web",))


def test_a_page_whose_copies_went_keeps_its_lines(tmp_path):
    page = "\n".join(prose(seed, 30) for seed in range(20))
    rows = [f"{page}\nwith tail {n}" for n in range(9)] + [prose(2_000 + n) for n in range(20)]
    folder = tmp_path / "corpus"
    folder.mkdir()
    with Writer(folder, "train") as writer:
        for number, text in enumerate(rows):
            writer.add(Document(text, "made", f"g{number}", f"d{number}"), len(text.encode()))
    steps = Settings.model_validate({"lines": {}, "near_copies": {"threshold": 0.7}}).steps()
    tally = curate(parts(shard_files(folder, "train")), steps, tmp_path / "out")
    kept = {document.id: document.text for document in read_documents(shard_files(tmp_path / "out", "train"))}
    assert tally.removed["near_copies"]["near copy"]["documents"] == 8
    assert kept["d0"] == rows[0]


def test_a_masked_document_says_so_and_its_sample_shows_no_address(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    with Writer(folder, "train") as writer:
        for number, text in enumerate((f"{prose(1)}\nwrite to ada.lovelace@analytical.org soon", prose(2))):
            writer.add(Document(text, "made", f"g{number}", f"d{number}"), len(text.encode()))
    steps, out = Settings.model_validate({"personal": {}}).steps(), tmp_path / "out"
    write_report(out, steps, curate(parts(shard_files(folder, "train")), steps, out))
    assert [row["edited"] for row in verdicts(out)] == [True, False]
    assert json.loads((out / "curation.json").read_text())["changed"]["personal"]["documents"] == 1
    (sample,) = json.loads((out / "samples.json").read_text())["personal"]["changed"]
    assert "write to" in sample["text"] and "lovelace" not in sample["text"]

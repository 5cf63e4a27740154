"""Teachers are real HTTP servers; only in the last tests is anything trained."""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from pydantic import ValidationError

from inference.client.scripted_server import completion, refusal
from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import Document
from orionlm.data.tokenizer import train_tokenizer
from orionlm.errors import UserError
from orionlm.ladder import side_by_side
from orionlm.ledger import Ledger
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.settings import parse_toml
from orionlm.shape import Shape
from orionlm.synth import generate, probe
from orionlm.synth.probe import Settings
from orionlm.synth.ranking import standings
from orionlm.synth.worth import price
from shard_writer import Writer
from synth.teaching import Teaching
from synth.test_worth import ladder, students

WORDS = "water runs under old stone bridges while quiet boats carry grain and salt home to the town"
PRICES = '[[price]]\nmodel = "m"\nprompt = 1.0\ncompletion = 10.0\nsource = "test"\ndate = 2025-01-01\n'


def sentences(rng: random.Random, count: int) -> str:
    """A language that can be learned: each word is followed by one of three."""
    words = WORDS.split()
    found, place = [], rng.randrange(len(words))
    for _ in range(count):
        found.append(words[place])
        place = (3 * place + rng.choice((1, 4, 6))) % len(words)
    return " ".join(found) + "."


def wise(prompt: str, body: dict) -> dict:
    return completion(sentences(random.Random(f"{body.get('seed')}{prompt}"), 40))


def foolish(prompt: str, body: dict) -> dict:
    rng = random.Random(f"{body.get('seed')}{prompt}")
    return completion(" ".join("".join(rng.choices("bcdfghjkqxz", k=5)) for _ in range(40)))


def silent(prompt: str, body: dict) -> dict:
    return completion("")


@contextmanager
def served(*teachers: Teaching):
    """The teachers' servers, in a thread of their own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    def wait(work) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(30)

    for teacher in teachers:
        wait(teacher.come_back())
    try:
        yield
    finally:
        for teacher in teachers:
            wait(teacher.go_away())
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Artifact]:
    rng, folder = random.Random(0), tmp_path / "corpus"
    folder.mkdir()
    sizes = {}
    for split, count in (("train", 30), ("validation", 60)):
        with Writer(folder, split) as writer:
            for number in range(count):
                text = sentences(rng, 40)
                writer.add(Document(text, "s", f"{split}{number}", f"{split}{number}", licence="MIT"), len(text))
        sizes[split] = {"documents": count, "bytes": 1}
    write_json(folder / "corpus.json", sizes)
    (tmp_path / "tokenizer").mkdir()
    train_tokenizer([sentences(rng, 4000)], 300).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    (tmp_path / "run").mkdir()
    return {
        "corpus": Artifact(folder, "corpus", {"files": {"corpus.json": {}}}, ""),
        "tokenizer": Artifact(tmp_path / "tokenizer", "tokenizer", {"files": {"tokenizer.json": {}}}, ""),
    }


def settings(candidates: list[dict], **more) -> Settings:
    small = {"rows": 8, "width": 16, "flops": 2e8, "seeds": 3, "training": {"context": 16, "batch_size": 4}}
    return Settings(**small | more, candidates=candidates)


def candidate(name: str, teacher: Teaching | str, **more) -> dict:
    about = {"name": name, "model": "m", "terms": "allowed", "tries": 1, "patience": 0.1, **more}
    url = teacher if isinstance(teacher, str) else f"http://127.0.0.1:{teacher.port}/v1"
    return {"name": name, "teacher": about | {"url": url}, "seeded": {}}


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """In the place of training: students of `good` are better, of `bad` worse than those of real text."""
    calls: list[list[str]] = []

    def train(wanted, out, context, validation_tokens):
        calls.append([one.trajectory.name for one in wanted])
        found = []
        for one in wanted:
            arm = one.trajectory.name.rsplit("-", 1)[0]
            noise = 0.002 * np.random.default_rng([one.trajectory.seed, len(arm)]).standard_normal()
            bits = 2.0 - 0.3 * arm.startswith("good") + 0.3 * arm.startswith("bad") + noise
            flops = one.trajectory.branches[-1] * one.trajectory.step_flops
            known = dict.fromkeys(("params", "tokens", "unique_tokens", "loss", "induction", "epochs"), 1.0)
            found.append(([known | {"flops": flops, "bits_per_byte": bits, "standard_error": 0.01, "read": {}}], []))
        return found

    monkeypatch.setattr(side_by_side, "train_side_by_side", train)
    return calls


def probed(asked: Settings, inputs: dict[str, Artifact], out: Path, **context) -> dict:
    out.mkdir(exist_ok=True)
    probe.run(asked, inputs, out, Context("probe", 5, out.parent / "run", Progress(quiet=True), **context))
    return json.loads((out / "probe.json").read_text())


def test_losers_stop_early_and_what_was_bought_begins_the_next_round(tmp_path, inputs, trained):
    good, bad, other = Teaching(wise), Teaching(foolish), Teaching(wise)
    with served(good, bad, other):
        asked = settings([candidate("good", good), candidate("bad", bad), candidate("good2", other)])
        page = probed(asked, inputs, tmp_path / "out")
        bought = [sum(teacher.bought.values()) for teacher in (good, bad, other)]
        again = probed(asked, inputs, tmp_path / "again")
        assert [sum(teacher.bought.values()) for teacher in (good, bad, other)] == bought
    assert again == page
    assert bought == [32, 8, 32]  # 8, then 16, then 32 in all: none of them twice
    assert [[name for name in call if name.endswith("-0")] for call in trained[:3]] == [
        ["real-0", "good-0", "bad-0", "good2-0"],
        ["real-0", "good-0", "good2-0"],
        ["real-0", "good-0", "good2-0"],
    ]
    first, _, last = page["rounds"]
    assert first["stopped"] == {"bad": "stopped in round 1: credibly worse than good"} or "good2" in str(first)
    assert last["wanted"] == {"rows": 32} and last["student"]["flops"] == pytest.approx(8e8, rel=0.1)
    winner = page["winners"]["bits"]
    assert {winner["name"], *winner["tied"]} == {"good", "good2"} and winner["pays"] == "yes"
    assert [line["name"] for line in page["rankings"]["bits"]][-1] == "bad"
    assert any("cannot tell good" in line for line in page["says"])
    spent = page["spent"]
    assert spent["bad"]["students"]["flops"] < spent["good"]["students"]["flops"] == spent["real"]["students"]["flops"]
    assert spent["good"]["writing"]["tokens"] == 32 * 12 and spent["bad"]["writing"]["tokens"] == 8 * 12
    entries = Ledger(tmp_path / "run" / "ledger.jsonl").entries()
    assert sum(entry.tokens for entry in entries if entry.purpose == "teacher") == sum(bought) * 12


def test_a_candidate_without_rows_or_teacher_is_out_and_ends_nobody_else(tmp_path, inputs, trained):
    good, mute = Teaching(wise), Teaching(silent)
    with served(good, mute):
        asked = settings(
            [candidate("good", good), candidate("mute", mute), candidate("gone", "http://127.0.0.1:1/v1")], rounds=2
        )
        page = probed(asked, inputs, tmp_path / "out")
    assert "no server at http://127.0.0.1:1/v1" in page["left"]["gone"] and "empty" in page["left"]["mute"]
    assert len(page["rounds"]) == 1  # nothing is left to choose between
    assert page["winners"]["bits"]["name"] == "good" and "is the only one" in page["says"][-1]
    assert page["spent"]["mute"]["writing"]["tokens"] == 12 * sum(mute.bought.values()) > 0
    assert page["spent"]["gone"]["writing"]["tokens"] == 0


def test_a_teacher_that_goes_away_later_keeps_the_place_it_had(tmp_path, inputs, trained, monkeypatch):
    good, other = Teaching(wise), Teaching(wise)
    train = side_by_side.train_side_by_side

    def train_and_go_away(*given):
        other.script = lambda prompt, body: refusal(503)
        return train(*given)

    monkeypatch.setattr(side_by_side, "train_side_by_side", train_and_go_away)
    with served(good, other):
        page = probed(settings([candidate("good", good), candidate("good2", other)]), inputs, tmp_path / "out")
    assert {line["name"]: line["round"] for line in page["rankings"]["bits"]} == {"good": 2, "good2": 1}
    assert "away" in page["left"]["good2"] and page["spent"]["good2"]["writing"]["tokens"] == 12 * 8


def test_where_all_are_out_one_line_says_so_and_the_next_attempt_asks_again(tmp_path, inputs, trained):
    good = Teaching(wise)
    with served(good):
        asked = settings([candidate("good", good)])
    with pytest.raises(UserError, match="no candidate can be ranked: good: .*what was answered is kept"):
        probed(asked, inputs, tmp_path / "out")
    with served(good):
        assert probed(asked, inputs, tmp_path / "out")["winners"]["bits"]["name"] == "good"


def test_too_little_text_for_a_window_is_no_place_to_read_from(tmp_path, inputs, trained):
    good = Teaching(wise)
    brief = Teaching(lambda prompt, body: completion("ok"))
    with served(good, brief):
        asked = settings([candidate("good", good), candidate("brief", brief)], rows=1, rounds=1)
        page = probed(asked, inputs, tmp_path / "out")
    assert "less than one window of 17" in page["left"]["brief"] and list(page["rounds"][0]["candidates"]) == ["good"]


def test_net_of_dollars_a_dear_teacher_falls_behind_a_cheap_one(tmp_path, inputs, trained, monkeypatch):
    monkeypatch.setattr("orionlm.ladder.run.seconds_for", lambda context, runs: 1.0)
    (tmp_path / "dear.toml").write_text(PRICES)
    (tmp_path / "cheap.toml").write_text(PRICES.replace("10.0", "0.001").replace("1.0", "0.001"))
    dear, cheap, unknown = Teaching(wise), Teaching(wise), Teaching(wise)
    with served(dear, cheap, unknown):
        page = probed(
            settings(
                [
                    candidate("good dear".replace(" ", "-"), dear, prices=str(tmp_path / "dear.toml")),
                    candidate("good-cheap", cheap, prices=str(tmp_path / "cheap.toml")),
                    candidate("good-unknown", unknown),
                ],
                rounds=1,
            ),
            inputs, tmp_path / "out", dollars_per_hour=1.0, price_source="test",
        )  # fmt: skip
    found = page["rounds"][0]
    assert found["candidates"]["good-dear"]["writing"]["dollars"] == pytest.approx(8 * (5 + 70) / 1e6)
    times = {line["name"]: line["times"] for line in found["standings"]["dollars"]}
    assert times["good-dear"] == pytest.approx(1 + 8 * 75e-6 / (1 / 3600))
    assert page["winners"]["dollars"]["name"] == "good-cheap" and not page["winners"]["dollars"]["tied"]
    # By bits alone nobody is behind, so who has no price goes on.
    assert list(found["stopped"]) == ["good-dear"] and "good-unknown" in found["on"]
    assert (
        "not known of good-unknown" in page["says"][1] and page["says"][0] == "net per FLOP: not known of any candidate"
    )


def test_the_winner_can_be_pasted_into_a_recipe(tmp_path, inputs, trained):
    good = Teaching(wise)
    with served(good):
        one = candidate("good.1", good) | {"seeded": {"max_tokens": 400}}
        page = probed(settings([one], documents=25, rounds=1), inputs, tmp_path / "out")
    pasted = page["winners"]["bits"]["settings"]
    table = parse_toml(pasted, "recipe").values["stage"]["good-1"]
    assert table.pop("kind") == "generate" and table.pop("inputs") == {"corpus": "corpus"}
    made = generate.Settings(**table)
    assert (made.rows, made.documents, made.teachers[0].model) == (8, 25, "m")
    assert made.methods()["seeded"].max_tokens == 400


def test_wrong_settings_are_refused_before_anything_is_asked(tmp_path, inputs):
    one = {"name": "a", "continuation": {}}
    with pytest.raises(ValidationError, match="give one method, not none"):
        settings([{"name": "a"}])
    with pytest.raises(ValidationError, match="give one method, not rephrase, continuation"):
        settings([one | {"rephrase": {}}])
    with pytest.raises(ValidationError, match="two are called 'a'"):
        settings([one, one])
    with pytest.raises(ValidationError, match="what genuine text is called"):
        settings([one | {"name": "real"}])
    with pytest.raises(ValidationError, match="rows, tokens: give one of the two"):
        settings([one], tokens=5)
    with pytest.raises(UserError, match="a has no teacher; give it one, or the stage the input run"):
        probed(settings([one]), inputs, tmp_path / "out")
    with pytest.raises(UserError, match="terms forbid"):
        probed(settings([candidate("a", "http://127.0.0.1:1/v1", terms="forbidden")]), inputs, tmp_path / "out")


def test_the_dry_run_says_the_most_it_takes(tmp_path, monkeypatch):
    monkeypatch.setattr("orionlm.ladder.run.seconds_for", lambda context, runs: sum(flops for _, flops in runs))
    shape = Shape.from_width(32, vocabulary=300, context=64)
    asked = settings([{"name": "a", "continuation": {}}, {"name": "b", "rephrase": {}}], rounds=3, branches=[1.0])
    told = probe.derive(
        asked, {"tokenizer": {"vocabulary": 300}, "run": {"shape": shape}}, Context("probe", 0, tmp_path)
    )
    numbers = {number.name: number.value for number in told.numbers}
    training = 3 * 3 * (1 + 2 + 4) * 2e8
    assert numbers["students at most"] == 27 and numbers["training FLOPs at most"] == pytest.approx(training)
    assert (
        numbers["a: continuation: requests"] == 32
        and told.flops > training
        and told.seconds == pytest.approx(training / 2)
    )


SCRIPT = """
import sys, json
from pathlib import Path
from orionlm.artifact import Artifact
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.synth import probe
folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
if __name__ == "__main__":
    inputs = {
        "corpus": Artifact(folder.parent / "corpus", "corpus", {"files": {"corpus.json": {}}}, ""),
        "tokenizer": Artifact(folder.parent / "tokenizer", "tokenizer", {"files": {"tokenizer.json": {}}}, ""),
    }
    (folder / "out").mkdir(parents=True, exist_ok=True)
    context = Context("probe", 5, folder, Progress(quiet=True), pinned={"threads": 1, "precision": "fp32"})
    probe.run(probe.Settings(**asked), inputs, folder / "out", context)
"""


@pytest.mark.slow
def test_trained_students_tell_sense_from_nonsense_and_kills_change_nothing(tmp_path, inputs):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    good, bad = Teaching(wise), Teaching(foolish)

    def start(name: str, asked: Settings) -> subprocess.Popen:
        given = [str(tmp_path / name), asked.model_dump_json(exclude_unset=True)]
        return subprocess.Popen(
            [sys.executable, str(script), *given], env=os.environ | {"OMP_NUM_THREADS": "1"}, start_new_session=True
        )

    with served(good, bad):
        asked = settings(
            [candidate("good", good), candidate("bad", bad)], rows=20, flops=1.5e9, seeds=2, rounds=2,
            branches=[1.0], validation_tokens=2048,
        )  # fmt: skip
        whole = start("whole", asked)
        assert whole.wait(200) == 0
        first = tmp_path / "killed" / "out" / "work" / "round-0"
        for mark in (first / "rows/good/generation.json", first / "good-0/state.safetensors"):
            process = start("killed", asked)
            while process.poll() is None and not mark.exists():
                time.sleep(0.02)
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        assert start("killed", asked).wait(200) == 0
    pages = [(tmp_path / name / "out" / "probe.json").read_bytes() for name in ("whole", "killed")]
    assert pages[0] == pages[1]
    page = json.loads(pages[0])
    entries = Ledger(tmp_path / "whole" / "ledger.jsonl").entries()
    trained = sum(one["students"]["flops"] for one in page["spent"].values())
    assert sum(entry.flops for entry in entries if entry.purpose == "probe") == pytest.approx(trained)
    assert not any(entry.purpose == "train" for entry in entries)
    assert page["rankings"]["bits"][0]["name"] == "good" and page["left"]["bad"].startswith("stopped in round 1")


def test_with_a_baseline_gains_over_real_text_are_those_of_the_students_stage():
    table, page = price(students(1.2e5, 3e5), 512, "v", 50_000, ladder(), {"writing": 0.0, "teacher": None}, 0)
    draws = probe._gains(ladder(), table, ["ungated"], 50_000, 0)["ungated"]
    [line] = standings({}, {"ungated": draws}, {"ungated": 1.25}, 1)
    told = page["gains"]["ungated"]["over_real"]["gross"]
    assert told["value"] > 1
    assert all(line[name] == pytest.approx(told[name] / 1.25) for name in ("value", "low", "high"))


def test_candidates_past_what_the_baseline_reaches_cannot_be_told_apart_and_one_within_it_is_told_from_them():
    runs = students(1.2e5, 1e12) + [one | {"arm": "other"} for one in students(1.2e5, 1e12) if one["arm"] != "real"]
    runs += [one | {"arm": "plain"} for one in students(1.2e5, 2e5) if one["arm"] != "real"]
    table, _ = price(runs, 512, "v", 50_000, None, {"writing": 0.0, "teacher": None}, 0)
    arms = ["ungated", "other", "plain"]
    gains = probe._gains(ladder(), table, arms, 50_000, 0)
    assert all(np.isfinite(draws).all() for draws in gains.values())
    bits = {arm: np.array([1.0, 1.1, 1.2]) for arm in ("real", *arms)}
    found = {line["name"]: line["verdict"] for line in standings(bits, gains, dict.fromkeys(arms, 1.0), 1)}
    assert found == {"ungated": "cannot tell", "other": "cannot tell", "plain": "worse"}

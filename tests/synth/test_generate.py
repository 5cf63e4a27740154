from __future__ import annotations

import asyncio
import hashlib
import json
import os
import random
import signal
import sys
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from inference.client.scripted_server import completion, refusal
from inference.server.tiny import make_checkpoint
from orionlm.artifact import Artifact
from orionlm.data.documents import SYNTHETIC, Document
from orionlm.errors import UserError
from orionlm.ledger import Ledger
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.synth import generate as stage
from orionlm.synth.generate import Settings, drawn
from orionlm.synth.methods import load
from orionlm.synth.rows import read_rows, row_files, write_rows
from orionlm.synth.teachers import TeacherSettings
from orionlm.synth.writing import Generated, generate
from shard_writer import Writer
from synth.teaching import Teaching, seeds


def settings(name: str, **more: Any) -> Any:
    return load(name).Settings(**more)


SEEDED = {"seeded": settings("seeded")}


def made(
    store: Path, *servers: Teaching, methods: dict[str, Any] | None = None, number: int = 30, **more: Any
) -> Generated:
    async def main() -> Generated:
        async with AsyncExitStack() as stack:
            for server in servers:
                await stack.enter_async_context(server)
            told = [server.settings(name=f"t{place}") for place, server in enumerate(servers)]
            return await generate(seeds(number), methods or SEEDED, told, store, seed=3, **more)

    return asyncio.run(main())


def digest(found: Generated, folder: Path) -> str:
    write_rows(folder, found.rows)
    rows = b"".join(path.read_bytes() for path in row_files(folder))
    return hashlib.sha256(rows + json.dumps(found.report()).encode()).hexdigest()


class Uneven(Teaching):
    """Answers come back in another order each time."""

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        await asyncio.sleep(random.random() / 20)
        return await super()._reply(request)


def test_the_rows_are_the_same_bytes_in_whatever_order_answers_come(tmp_path: Path) -> None:
    methods = SEEDED | {"rephrase": settings("rephrase", variants=["medium", "faq"], token_bounds=(1, 600))}
    found = [
        digest(made(tmp_path / f"store{n}", Uneven(), Uneven(), methods=methods, rows=90), tmp_path / f"rows{n}")
        for n in range(2)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("wanted", [1, 17, 30])
def test_it_stops_at_so_many_rows_and_asks_for_no_more_than_are_missing(tmp_path: Path, wanted: int) -> None:
    server = Teaching()
    found = made(tmp_path, server, rows=wanted)
    assert len(found.kept) == wanted == sum(server.bought.values())


def test_it_stops_at_so_many_tokens(tmp_path: Path) -> None:
    found = made(tmp_path, Teaching(), tokens=100)
    assert sum(row.tokens for row in found.kept[:-1]) < 100 <= sum(row.tokens for row in found.kept)


def test_it_goes_over_the_seeds_again_until_there_is_enough(tmp_path: Path) -> None:
    found = made(tmp_path, Teaching(), rows=100)
    assert len(found.kept) == 100 == len({row.text for row in found.kept})
    assert Counter(row.seeds[0] for row in found.kept).most_common()[-1][1] >= 3


def test_a_teacher_that_only_repeats_itself_is_not_paid_for_ever(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: completion("always this, whatever is asked"))
    found = made(tmp_path, server, rows=100)
    assert len(found.kept) == 1 and sum(server.bought.values()) == 60
    assert found.warnings == ["seeded: the seeds bring no more: 1 rows kept of 100 wanted"]
    assert found.report()["methods"]["seeded/blog"]["rejected"]["again: the same text as an earlier row"] > 1


def test_methods_share_what_is_wanted_and_several_teachers_write(tmp_path: Path) -> None:
    rephrase = settings("rephrase", variants=["medium"], token_bounds=(1, 600))
    found = made(tmp_path, Teaching(), Teaching(), Teaching(), methods=SEEDED | {"rephrase": rephrase}, rows=41)
    assert Counter(row.method.split("/")[0] for row in found.kept) == {"seeded": 21, "rephrase": 20}
    assert set(Counter(row.teacher for row in found.kept)) == {"t0", "t1", "t2"}
    report = found.report()["teachers"]
    assert sum(report[name]["kept"] for name in report) == 41
    assert all(one["terms"] == "allowed" and one["tokens"] == 7 * one["rows"] for one in report.values())


def test_without_an_end_each_method_goes_over_the_seeds_once(tmp_path: Path) -> None:
    assert len(made(tmp_path, Teaching()).rows) == 30


def test_what_is_wrong_with_single_rows_is_said_and_counted(tmp_path: Path) -> None:
    own = seeds(40)

    def script(prompt: str, body: dict[str, Any]) -> Any:
        place = next(number for number, seed in enumerate(own) if seed.text[:30] in prompt)
        if place == 1:
            return completion("")
        if place == 2:
            return completion(own[2].text)
        if place == 3:
            told = f"This model's maximum context length is 10 tokens, but the prompt has {len(prompt)} tokens"
            return refusal(400, told, "context_length_exceeded")
        if place == 4:
            return refusal(400, "content policy")
        if place == 5:
            return completion("<think>how could I say", finish="length")
        if place == 6:
            return completion("It goes on and", finish="length")
        return completion(f"<think>about {place}</think>Row {place} has an answer.")

    found = made(tmp_path, Teaching(script), number=40)
    errors = {row.seeds[0]: row.error for row in found.rows if row.error}
    assert errors == {
        "doc1": "empty: the answer is empty",
        "doc2": "copy: the answer is its seed, word for word",
        "doc3": "no answer: the prompt exceeds the teacher's context",
        "doc4": "no answer: HTTP 400: content policy",
        "doc5": "empty: the answer is empty: all of it was thoughts",
        "doc6": "cut: the answer was cut at its longest",
    }
    assert len(found.kept) == 34
    assert all(row.thoughts.startswith("about") and "think" not in row.text for row in found.kept)
    rejected: Counter[str] = Counter()
    for one in found.report()["methods"].values():
        rejected += Counter(one["rejected"])
    assert rejected == Counter(errors.values())


@pytest.mark.parametrize(
    ("said", "why"),
    [("", "empty: the answer is empty"), ("no", "no answer: HTTP 400: no")],
)
def test_a_teacher_of_no_use_is_left_before_all_is_spent(tmp_path: Path, said: str, why: str) -> None:
    server = Teaching(lambda prompt, body: refusal(400) if said else completion(""))
    with pytest.raises(UserError, match=rf"seeded: none of the first 100 rows can be kept \(100: {why}\); mend that"):
        made(tmp_path, server, number=5000, rows=4000)
    assert sum(server.bought.values()) < 600


def test_a_method_that_keeps_nothing_ends_alone_with_a_warning_where_others_write_on(tmp_path: Path) -> None:
    methods = SEEDED | {"rephrase": settings("rephrase", variants=["faq"], token_bounds=(5000, 6000))}
    found = made(tmp_path, Teaching(), methods=methods, number=150, rows=240)
    assert found.report()["methods"]["seeded/blog"]["kept"] and len(found.kept) == 120
    assert [warning[:59] for warning in found.warnings] == [
        "rephrase: none of the first 100 rows can be kept (100: leng"
    ]


_STOPS = """
import signal, sys
from pathlib import Path
from orionlm.synth import interrupted
from orionlm.synth.methods import load
from orionlm.synth.teachers import TeacherSettings
from orionlm.synth.writing import generate
from synth.teaching import seeds

class Stopped(BaseException):
    pass

def stop(number, frame):
    raise Stopped(number)

signal.signal(signal.SIGTERM, stop)
teacher = TeacherSettings(url=sys.argv[2], model="m", terms="allowed")
methods = {name: load(name).Settings() for name in ("seeded", "dialogue")}
try:
    interrupted.run(lambda: generate(seeds(60), methods, [teacher], Path(sys.argv[1]), seed=3, rows=100_000))
except Stopped:
    print("stopped", flush=True)
"""


def test_a_signal_ends_the_writing_in_order_wherever_it_is(tmp_path: Path) -> None:
    async def main() -> list[tuple[bytes, bytes]]:
        said = []
        async with Teaching(delay=0.005) as server:
            for stop_at in (20, 80):
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-X", "dev", "-c", _STOPS, str(tmp_path / f"{stop_at}"),
                    f"http://127.0.0.1:{server.port}/v1", stdout=asyncio.subprocess.PIPE,
                    stderr=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
                )  # fmt: skip
                try:
                    bought = sum(server.bought.values())
                    while process.returncode is None and sum(server.bought.values()) < bought + stop_at:
                        await asyncio.sleep(0.001)
                    process.send_signal(signal.SIGTERM)
                    said.append(await asyncio.wait_for(process.communicate(), 20))
                finally:
                    if process.returncode is None:
                        process.kill()
        return said

    for out, err in asyncio.run(main()):
        assert out == b"stopped\n" and b"never awaited" not in err and b"Traceback" not in err, err.decode()


HOSTILE: dict[str, Any] = {
    "empty answers": lambda prompt, body: completion(""),
    "broken JSON": lambda prompt, body: completion('{"description": [[[{"a": '),
    "HTTP 500": lambda prompt, body: refusal(500),
    "the prompt back": lambda prompt, body: completion(prompt),
    "a megabyte": lambda prompt, body: completion("[{" * (1 << 19)),
}


@pytest.mark.parametrize("fault", HOSTILE)
@pytest.mark.parametrize("method", ["dialogue", "code", "chain"])
def test_a_hostile_teacher_has_its_rows_rejected_with_reasons(tmp_path: Path, method: str, fault: str) -> None:
    reward = {"by": "endpoint", "attributes": ["helpfulness", "correctness"]}
    more = {"topics": ["rivers"], "lists": "strict", "kinds": ["closed_qa"]} if method == "chain" else {}
    turns: Counter[str] = Counter()

    def script(prompt: str, body: dict[str, Any]) -> Any:
        turns["n"] += 1
        server.fingerprint = f"fp{turns['n'] % 2}"
        return HOSTILE[fault](prompt, body)

    async def main() -> Generated:
        async with server:
            told = [server.settings(tries=1)]
            return await generate(seeds(4), {method: settings(method, reward=reward, **more)}, told, tmp_path, seed=3)

    server = Teaching(script)
    found = asyncio.run(asyncio.wait_for(main(), 60))
    assert found.rows and not found.kept
    assert all(row.error for row in found.rows)


@pytest.mark.parametrize("by", ["endpoint", "judge"])
def test_a_reward_of_nan_rejects_its_rows_and_the_others_write_on(tmp_path: Path, by: str) -> None:
    marks = {name: float("nan") for name in ("helpfulness", "correctness", "coherence", "complexity", "verbosity")}

    def script(prompt: str, body: dict[str, Any]) -> Any:
        if body["messages"][-1]["role"] == "assistant":
            return completion("helpfulness:NaN")
        if "five marks" in prompt or len(body["messages"]) > 2:
            return completion(json.dumps(marks))
        return completion(f"What of {len(prompt)}, {body['seed']}?") if "message alone" in prompt else None

    reward = {"by": by, "attributes": ["helpfulness"]}
    found = made(
        tmp_path, Teaching(script), methods=SEEDED | {"dialogue": settings("dialogue", turns=1, reward=reward)}
    )
    errors = {row.error for row in found.rows if row.method.startswith("dialogue")}
    assert len(errors) == 1 and "reward: unscored: the " in str(errors) and "nan is not finite" in str(errors), errors
    assert sum(row.method.startswith("seeded") for row in found.kept) == 30


def test_a_revision_that_changes_midway_is_in_the_rows_and_in_one_line(tmp_path: Path) -> None:
    server = Teaching()

    def script(prompt: str, body: dict[str, Any]) -> Any:
        server.fingerprint = "old" if len(server.bought) < 10 else "new"
        return None

    server.script = script
    found = made(tmp_path, server)
    counts = Counter(row.revision for row in found.kept)
    assert counts == {"unpinned/m-2/old": 10, "unpinned/m-2/new": 20}
    assert found.report()["teachers"]["t0"]["revisions"] == dict(counts.most_common())
    assert len(found.warnings) == 1 and found.warnings[0].startswith("teacher t0 changed its revision: ")
    again = made(tmp_path, server)  # by the new one: what the old one wrote was paid for, and stands
    assert Counter(row.revision for row in again.kept) == counts
    assert sum(server.bought.values()) == 30


def test_licences_terms_and_depth_follow_the_rows(tmp_path: Path) -> None:
    async def main() -> Generated:
        async with Teaching() as server:
            told = [server.settings(depth=2, licence="LicenseRef-T", terms="unknown")]
            return await generate(seeds(5), SEEDED, told, tmp_path, seed=3)

    report = asyncio.run(main()).report()
    assert report["licences"] == {"LicenseRef-T AND MIT": 5}
    assert (report["terms"], report["depth"], report["seeds"]) == ({"unknown": 5}, 3, 5)


_WRITES = """
import asyncio, sys, json
from pathlib import Path
from orionlm.synth.writing import generate
from orionlm.synth.rows import write_rows
from orionlm.synth.teachers import TeacherSettings
from orionlm.synth.methods import load
from synth.teaching import seeds
store, out, url = sys.argv[1:]
teacher = TeacherSettings(url=url, model="m", terms="allowed", concurrency=16)
methods = {"seeded": load("seeded").Settings()}
found = asyncio.run(generate(seeds(60), methods, [teacher], Path(store), seed=3, rows=300))
write_rows(Path(out), found.rows)
Path(out, "generation.json").write_text(json.dumps(found.report(), sort_keys=True))
"""


@pytest.mark.slow
def test_a_kill_in_the_middle_leaves_what_was_paid_for_and_a_rerun_makes_the_same_bytes(tmp_path: Path) -> None:
    async def main() -> tuple[list[int], Counter[Any]]:
        async with Teaching(delay=0.02) as server:
            environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
            ends: list[int] = []

            async def write(out: str, kill_at: int | None) -> None:
                process = await asyncio.create_subprocess_exec(
                    sys.executable, "-c", _WRITES, str(tmp_path / "store"), str(tmp_path / out),
                    f"http://127.0.0.1:{server.port}/v1", env=environment,
                )  # fmt: skip
                while kill_at and process.returncode is None and sum(server.bought.values()) < kill_at:
                    await asyncio.sleep(0.005)
                if kill_at:
                    process.send_signal(signal.SIGKILL)
                ends.append(await process.wait())

            for kill_at in (40, 120, 200):
                await write("killed", kill_at)
            await write("killed", None)
            bought = server.bought.copy()
            (tmp_path / "store").rename(tmp_path / "first")
            await write("whole", None)
            return ends, bought

    ends, bought = asyncio.run(main())
    assert ends == [-9, -9, -9, 0, 0]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    assert sorted(path.name for path in whole.iterdir()) == ["generation.json", "rows-00000.parquet"]
    for path in whole.iterdir():
        assert path.read_bytes() == (killed / path.name).read_bytes()
    assert sum(bought.values()) <= 300 + 3 * 16  # at each kill what was in flight is bought again, no more


def corpus(folder: Path, number: int = 20) -> Artifact:
    folder.mkdir()
    with Writer(folder, "train") as writer:
        for seed in seeds(number):
            writer.add(Document(seed.text, "s", seed.id, seed.id, licence=seed.licence), len(seed.text))
    (folder / "corpus.json").write_text("{}")
    return Artifact(folder, "corpus", {"files": {"corpus.json": ""}}, "")


def test_the_stage_writes_rows_and_a_report_and_keeps_what_it_paid_for_outside(tmp_path: Path) -> None:
    inputs = {"corpus": corpus(tmp_path / "corpus")}
    context = Context("rows", 5, tmp_path / "run", Progress(quiet=True))

    async def main(out: Path) -> None:
        async with Teaching() as server:
            server.port = port[0] if port else server.port
            asked = Settings(rows=12, seeded=True, teachers=[server.settings(name="t")])
            await asyncio.to_thread(stage.run, asked, inputs, out, context)
            bought.append(sum(server.bought.values()))

    port: list[int] = []
    bought: list[int] = []
    (tmp_path / "run").mkdir()
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        asyncio.run(main(tmp_path / name))
    assert bought == [12, 0]
    one, two = ((tmp_path / name / "rows-00000.parquet").read_bytes() for name in ("one", "two"))
    assert one == two
    rows = list(read_rows(row_files(tmp_path / "one")))
    assert len(rows) == 12 and all(row.licence == "MIT" and row.seed_text for row in rows)
    report = json.loads((tmp_path / "one" / "generation.json").read_text())
    assert report["kept"] == 12 and report["wanted"] == {"rows": 12, "tokens": None}
    entries = Ledger(tmp_path / "run" / "ledger.jsonl").entries()
    assert [(entry.purpose, entry.tokens, entry.flops_kind) for entry in entries] == [("teacher", 144, "unknown")]


def gated(folder: Path, **wanted: int) -> Artifact:
    folder.mkdir()
    told = [{"document": name, "rows": rows} for name, rows in wanted.items()]
    (folder / "gate.json").write_text(json.dumps({"verdict": "rejected", "wanted": told}))
    return Artifact(folder, "align", {"files": {"gate.json": ""}}, "")


def test_what_a_gate_wants_more_of_is_written_about_and_nothing_else_each_as_often_as_it_says(tmp_path: Path) -> None:
    inputs = {"corpus": corpus(tmp_path / "corpus"), "aligned": gated(tmp_path / "gate", doc3=3, doc7=1, gone=2)}
    context = Context("more", 5, tmp_path / "run", Progress(quiet=True))
    (tmp_path / "run").mkdir()

    async def main(out: str, **more: Any) -> list[Any]:
        (tmp_path / out).mkdir()
        async with Teaching() as server:
            told = Settings(seeded=True, teachers=[server.settings(name="t")], **more)
            await asyncio.to_thread(stage.run, told, inputs, tmp_path / out, context)
        return list(read_rows(row_files(tmp_path / out)))

    rows = asyncio.run(main("one"))
    assert Counter(row.seeds for row in rows if not row.error) == {("doc3",): 3, ("doc7",): 1}
    assert len({row.text for row in rows}) == 4
    report = json.loads((tmp_path / "one" / "generation.json").read_text())
    assert report["kept"] == 4 and report["teachers"]["t"]["rows"] == 4
    rephrase = {"variants": ["medium"], "token_bounds": (1, 600)}
    both = asyncio.run(main("both", rephrase=rephrase))
    assert Counter(row.seeds[0] for row in both) == {"doc3": 3, "doc7": 1}
    assert {row.method.split("/")[0] for row in both} == {"seeded", "rephrase"}
    assert Counter(row.seeds[0] for row in asyncio.run(main("few", rows=2))) == {"doc3": 1, "doc7": 1}


def test_a_gate_that_wants_nothing_or_of_another_corpus_is_told_in_a_line(tmp_path: Path) -> None:
    context = Context("more", 5, tmp_path, Progress(quiet=True))
    inputs = {"corpus": corpus(tmp_path / "corpus"), "aligned": gated(tmp_path / "none")}
    teacher = TeacherSettings(url="http://127.0.0.1:1/v1", terms="allowed")
    with pytest.raises(UserError, match="aligned: its gate wants no more rows; leave this input out"):
        stage.run(Settings(seeded=True, teachers=[teacher]), inputs, tmp_path, context)
    other = inputs | {"aligned": gated(tmp_path / "other", elsewhere=3)}
    with pytest.raises(UserError, match="aligned: no document that its gate wants rows about is in corpus"):
        stage.run(Settings(seeded=True, teachers=[teacher]), other, tmp_path, context)
    with pytest.raises(UserError, match="tokens = 9: what `aligned` wants is counted in rows"):
        stage.run(Settings(seeded=True, teachers=[teacher], tokens=9), other, tmp_path, context)


def test_bad_settings_say_what_to_mend(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="no method is asked for; write one of rephrase = {}"):
        Settings()
    with pytest.raises(ValidationError, match="variant 'fax': no such variant; did you mean faq"):
        Settings(rephrase={"variants": ["fax"]})
    context = Context("rows", 5, tmp_path, Progress(quiet=True))
    inputs = {"corpus": corpus(tmp_path / "corpus")}
    with pytest.raises(UserError, match="teachers: there is none"):
        stage.run(Settings(seeded=True), inputs, tmp_path, context)
    with pytest.raises(UserError, match="terms forbid training"):
        forbidden = TeacherSettings(url="http://127.0.0.1:1/v1", terms="forbidden")
        stage.run(Settings(seeded=True, teachers=[forbidden]), inputs, tmp_path, context)
    with pytest.raises(UserError, match="no server at http://127.0.0.1:1/v1"):
        stage.run(Settings(seeded=True, teachers=[{"url": "http://127.0.0.1:1/v1"}]), inputs, tmp_path, context)


def test_seeds_are_drawn_the_same_way_whatever_else_there_is_and_each_is_as_likely() -> None:
    documents = [Document(f"text {n}", "s", "g", str(n)) for n in range(400)]
    few, more = drawn(documents, 20, 1), drawn(documents, 100, 1)
    assert few == more[:20] and [seed.id for seed in few] != [str(n) for n in range(20)]
    assert sorted(seed.id for seed in drawn(documents, 1000, 1)) == sorted(each.id for each in documents)
    assert drawn(documents, 20, 2) != few


def test_a_seed_that_a_model_wrote_is_as_deep_as_its_corpus_and_one_of_a_person_is_not() -> None:
    documents = [Document("a", "numpy", "g", "1"), Document("b", f"{SYNTHETIC}rephrase/faq", "g", "2")]
    assert {seed.id: seed.depth for seed in drawn(documents, 10, 1, depth=3)} == {"1": 0, "2": 3}
    assert {seed.id: seed.depth for seed in drawn(documents, 10, 1)} == {"1": 0, "2": 1}


def test_the_dry_run_says_how_much_is_asked_and_the_most_it_costs(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "m"\nprompt = 1.0\ncompletion = 10.0\nsource = "test"\ndate = 2025-01-01\n')
    teacher = {"url": "http://h/v1", "model": "m", "prices": str(prices), "dollars": 2.0}
    asked = Settings(rows=100, seeded={"max_tokens": 500}, continuation={"max_tokens": 100}, teachers=[teacher])
    found = stage.derive(asked, {}, Context("rows", 5, tmp_path, Progress(quiet=True)))
    numbers = {each.name: each.value for each in found.numbers}
    assert (numbers["seeded: requests"], numbers["continuation: requests"]) == (50, 50)
    assert numbers["tokens written at most"] == 50 * 500 + 50 * 100
    assert 0.3 < numbers["m: at most"] < 0.4 and numbers["m: limit"] == 2.0
    with pytest.raises(UserError, match="forbid"):
        stage.derive(
            Settings(seeded=True, teachers=[teacher | {"terms": "forbidden"}]), {}, Context("rows", 5, tmp_path)
        )


@pytest.mark.slow
def test_a_checkpoint_is_a_teacher_with_its_compute_counted_and_writes_the_same_again(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("uvicorn")
    from orionlm.model.checkpoint import from_config, revision

    checkpoint = make_checkpoint(tmp_path / "model")
    shape = from_config(json.loads((checkpoint / "config.json").read_text()))
    teacher = TeacherSettings(checkpoint=checkpoint)
    methods = {"continuation": settings("continuation", max_tokens=24, beginning=(20, 60))}
    entries: list[dict[str, Any]] = []

    def write(store: str, **more: Any) -> Generated:
        record = lambda purpose, **spent: entries.append(spent | {"purpose": purpose})  # noqa: E731
        return asyncio.run(generate(seeds(20), methods, [teacher], tmp_path / store, seed=3, record=record, **more))

    first, second = write("a", rows=30), write("b", rows=30)
    assert len(first.kept) == 30 and digest(first, tmp_path / "1") == digest(second, tmp_path / "2")
    about = first.report()["teachers"]["model"]
    assert about["revisions"] == {revision(checkpoint): len(first.rows)}
    read = about["prompt_tokens"] + about["tokens"]
    assert about["flops"] == pytest.approx(shape.forward_flops_per_token() * read)
    assert entries[0]["flops_kind"] == "counted" and entries[0]["purpose"] == "teacher"
    assert entries[0]["flops"] == pytest.approx(shape.forward_flops_per_token() * entries[0]["tokens"], rel=1e-6)
    assert len(entries) == 2
    again = write("a", rows=30)
    assert digest(again, tmp_path / "3") == digest(first, tmp_path / "1") and sum(e["tokens"] for e in entries[2:]) == 0

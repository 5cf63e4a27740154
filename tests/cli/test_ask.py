from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet
import pytest
import typer
from typer.testing import CliRunner

from orionlm.cli.ask import ask
from orionlm.errors import UserError
from orionlm.inference.client.store import Store
from orionlm.ledger import Ledger

SERVER = Path(__file__).parents[1] / "inference" / "client" / "misbehaving.py"
PRICES = """[[price]]
model = "misbehaving-*"
prompt = 1000.0
completion = 1000.0
source = "made up"
date = 2025-01-01
"""
app = typer.Typer()
app.command("ask")(ask)
PROGRAM = """
import sys, typer
from orionlm.cli.ask import ask
from orionlm.cli.failures import guarded
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(ask)
sys.exit(guarded(app))
"""


def serve(*options: str) -> tuple[subprocess.Popen, str]:
    server = subprocess.Popen([sys.executable, str(SERVER), *options], stdout=subprocess.PIPE)
    assert server.stdout
    return server, json.loads(server.stdout.readline())["url"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server, url = serve("--profile", "calm", "--latency", "0.001")
    yield url
    server.terminate()
    server.wait()


@pytest.fixture
def prompts(tmp_path) -> Path:
    path = tmp_path / "p.jsonl"
    rows = [{"prompt": f"say {n}" + " POISON" * (n == 7), "topic": n % 3} for n in range(40)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\nnot json\n")
    return path


def run(*arguments: object):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def asked(prompts: Path, url: str, out: Path, *more: object) -> dict:
    result = run(prompts, "--model", url, "--out", out, "--json", "--quiet", *more)
    assert result.exit_code in (0, 3), result.exception or result.output
    return json.loads(result.stdout)


def test_prompts_become_responses_and_failures_are_rows(tmp_path, prompts, url):
    out = tmp_path / "o.parquet"
    result = run(prompts, "--model", url, "--out", out, "--samples", 2, "--max-tokens", 64)
    assert result.exit_code == 3
    assert "2 × HTTP 400: the prompt was refused" in result.stdout
    rows = pyarrow.parquet.read_table(out).to_pylist()
    assert len(rows) == 82 and [row["id"] for row in rows[:4]] == [1, 1, 2, 2]
    assert [row["sample"] for row in rows[:4]] == [0, 1, 0, 1] and [row["topic"] for row in rows[:4]] == [0, 0, 1, 1]
    good = [row for row in rows if row["error"] is None]
    assert len(good) == 78 and all(row["response"] and row["finish_reason"] == "stop" for row in good)
    assert all(row["completion_tokens"] == len(row["response"].split()) for row in good)
    assert [row["error"] for row in rows[14:16]] == ["HTTP 400: the prompt was refused"] * 2
    assert rows[80]["error"].startswith("row 41: not JSON") and rows[80]["key"] is None
    assert len({row["key"] for row in good}) == 78


def test_a_second_run_buys_nothing_and_more_length_only_what_was_cut(tmp_path, prompts, url):
    first = asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 20)
    assert first["bought"] == 39 and 0 < first["cut_by_length"] < 39
    again = asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 20)
    assert (again["bought"], again["from_store"], again["calls"]) == (0, 39, 0)
    longer = asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 64)
    assert longer["bought"] == first["cut_by_length"]
    told = asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 64, "--retry-failed")
    assert told["calls"] == 1
    entries = Ledger(tmp_path / "o.store" / "ledger.jsonl").entries()
    assert sum(entry.tokens for entry in entries) == told["spent_in_all"]["tokens"]
    assert {entry.purpose for entry in entries} == {"teacher"}


def test_a_kill_between_the_ledgers_entry_and_the_stores_word_for_it_writes_no_entry_twice(tmp_path, prompts, url):
    asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 20)
    with sqlite3.connect(tmp_path / "o.store" / "requests.sqlite") as store:
        store.execute("UPDATE sessions SET recorded = 0")
    store.close()
    told = asked(prompts, url, tmp_path / "o.jsonl", "--max-tokens", 64)
    entries = Ledger(tmp_path / "o.store" / "ledger.jsonl").entries()
    assert len(entries) == 2 and sum(entry.tokens for entry in entries) == told["spent_in_all"]["tokens"]


def test_all_answered_is_exit_code_zero(tmp_path, url):
    (tmp_path / "p.txt").write_text("one\ntwo\n")
    result = run(tmp_path / "p.txt", "--model", url, "--out", tmp_path / "o.jsonl", "--quiet", "--stream")
    assert result.exit_code == 0 and "2" in result.stdout
    assert [json.loads(line)["error"] for line in (tmp_path / "o.jsonl").read_text().splitlines()] == [None, None]


def test_the_budget_ends_it_with_the_output_written_and_the_price_of_more(tmp_path, prompts, url):
    (tmp_path / "prices.toml").write_text(PRICES)
    result = asked(
        prompts, url, tmp_path / "o.jsonl", "--max-tokens", 64, "--max-dollars", 1, "--prices", tmp_path / "prices.toml"
    )
    assert 0 < result["answered"] < 39 and result["answered"] + result["failed"] + result["not_asked"] == 41
    assert 0 < result["spent"]["dollars"] <= 1
    needed = float(result["would_cover"][0].removeprefix("dollars "))
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_text().splitlines()]
    assert len(rows) == 41 and sum("budget" in (row["error"] or "") for row in rows) == result["not_asked"]
    entries = Ledger(tmp_path / "o.store" / "ledger.jsonl").entries()
    assert entries[0].dollars == pytest.approx(result["spent"]["dollars"])
    assert entries[0].dollars_source == "made up, 2025-01-01"
    enough = asked(
        prompts, url, tmp_path / "o.jsonl", "--max-tokens", 64, "--max-dollars", needed, "--prices",
        tmp_path / "prices.toml",
    )  # fmt: skip
    assert enough["not_asked"] == 0 and enough["spent_in_all"]["dollars"] <= needed


def test_a_dry_run_asks_for_nothing(tmp_path, prompts, url):
    result = asked(prompts, url, tmp_path / "o.jsonl", "--samples", 2, "--dry-run")
    assert result["to_buy"] == 80 and result["worst_tokens"] > 80 * 256
    assert not (tmp_path / "o.store").exists() and not (tmp_path / "o.jsonl").exists()
    asked(prompts, url, tmp_path / "o.jsonl", "--samples", 1)
    result = asked(prompts, url, tmp_path / "o.jsonl", "--samples", 2, "--dry-run")
    assert (result["to_buy"], result["stored"]) == (40, 40)


def test_sequential_prints_as_it_goes(tmp_path, url):
    (tmp_path / "p.txt").write_text("one\ntwo\nthree\n")
    result = run(tmp_path / "p.txt", "--model", url, "--out", tmp_path / "o.jsonl", "--sequential")
    places = [result.stdout.index(f"user: {word}") for word in ("one", "two", "three")]
    assert places == sorted(places) and result.stdout.count("→") == 3


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("none.jsonl", "--model", "URL", "--out", "o.jsonl"), "none.jsonl: no such file"),
        (("p.jsonl", "--model", "http://127.0.0.1:9/v1", "--out", "o.jsonl"), "no server at http://127.0.0.1:9/v1"),
        (("p.jsonl", "--model", "127.0.0.1:9", "--out", "o.jsonl"), "write http://127.0.0.1:9"),
        (("p.jsonl", "--model", "nothing", "--out", "o.jsonl"), "no such directory"),
        (("p.jsonl", "--model", "ftp://x", "--out", "o.jsonl"), "no URL"),
        (
            ("p.jsonl", "--model", "URL", "--model-name", "misbehaving", "--out", "o.jsonl"),
            "did you mean misbehaving-1",
        ),
        (("p.jsonl", "--model", "URL", "--api-key-env", "NO_SUCH", "--out", "o.jsonl"), "NO_SUCH is not set"),
        (("p.jsonl", "--model", "URL", "--out", "o.csv"), "--out o.csv"),
        (("p.jsonl", "--model", "URL", "--out", "o.jsonl", "--max-dollars", "1"), "no price is known"),
        (("p.jsonl", "--model", "URL", "--out", "o.jsonl", "--temperature", "nan"), "temperature"),
        (("p.jsonl", "--model", "URL", "--out", "o.jsonl", "--purpose", "techer"), "did you mean teacher"),
        (("p.jsonl", "--model", "URL", "--out", "o.jsonl", "--batch"), "batch files"),
        (("p.jsonl", "--model", "URL", "--out", "o.jsonl", "--timeout", "0"), "timeout = 0"),
        (("empty.jsonl", "--model", "URL", "--out", "o.jsonl"), "no prompts"),
    ],
)
def test_a_mistake_is_one_line(tmp_path, prompts, url, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.jsonl").write_text("\n\n")
    error = run(*(url if argument == "URL" else argument for argument in arguments)).exception
    assert isinstance(error, UserError) and said in str(error) and "\n" not in str(error)


def test_two_on_one_store_is_one_line(tmp_path, prompts, url):
    with Store(tmp_path / "o.store"):
        error = run(prompts, "--model", url, "--out", tmp_path / "o.jsonl").exception
    assert isinstance(error, UserError) and f"in use by process {os.getpid()}" in str(error)


def test_ctrl_c_keeps_what_is_in_flight_and_says_how_to_go_on(tmp_path):
    server, url = serve("--profile", "calm", "--latency", "0.4")
    try:
        (tmp_path / "p.txt").write_text("\n".join(f"say {n}" for n in range(400)))
        command = [sys.executable, "-c", PROGRAM, "p.txt", "--model", url, "--out", "o.jsonl", "--concurrency", "8"]
        client = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
        end = time.monotonic() + 20
        while not (tmp_path / "o.store" / "requests.sqlite-wal").exists() and time.monotonic() < end:
            time.sleep(0.05)
        time.sleep(0.7)
        client.send_signal(signal.SIGINT)
        _, said = client.communicate(timeout=20)
        assert client.returncode == 130
        assert "run it again to go on" in said.splitlines()[-1] and "Traceback" not in said
        with Store(tmp_path / "o.store") as store:
            states = dict(store.rows("SELECT state, count(*) FROM calls GROUP BY state"))
            assert set(states) == {"settled"} and states["settled"] >= 8
        assert not (tmp_path / "o.jsonl").exists()
        entries = Ledger(tmp_path / "o.store" / "ledger.jsonl").entries()
        assert len(entries) == 1 and entries[0].tokens > 0
    finally:
        server.terminate()
        server.wait()


def fake_python(tmp_path: Path, monkeypatch, script: str) -> None:
    """What stands for `python -m orionlm.cli serve …`."""
    (tmp_path / "python").write_text(f"#!/bin/sh\n{script}\n")
    (tmp_path / "python").chmod(0o755)
    monkeypatch.setattr("orionlm.inference.client.endpoint.sys.executable", str(tmp_path / "python"))


def test_a_checkpoint_is_served_for_as_long_as_it_is_asked(tmp_path, prompts, monkeypatch):
    pid = tmp_path / "pid"
    real = sys.executable
    fake_python(
        tmp_path, monkeypatch, f"echo $$ > {pid}; echo $* > {tmp_path}/said; exec {real} {SERVER} --profile calm"
    )
    (tmp_path / "checkpoint").mkdir()
    result = asked(prompts, str(tmp_path / "checkpoint"), tmp_path / "o.jsonl", "--max-tokens", 8)
    assert result["answered"] == 39
    assert (tmp_path / "said").read_text().split()[:3] == ["-m", "orionlm.cli", "serve"]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_a_checkpoint_that_cannot_be_served_says_why(tmp_path, prompts, monkeypatch):
    fake_python(tmp_path, monkeypatch, "echo 'error: checkpoint: no tokenizer.json' >&2; exit 2")
    (tmp_path / "checkpoint").mkdir()
    error = run(prompts, "--model", tmp_path / "checkpoint", "--out", tmp_path / "o.jsonl").exception
    assert isinstance(error, UserError) and "cannot be served: checkpoint: no tokenizer.json" in str(error)


def test_prompts_are_not_overwritten_by_their_answers(prompts, url):
    before = prompts.read_bytes()
    with pytest.raises(UserError, match="the prompts themselves"):
        ask_of(prompts, url, prompts)
    assert prompts.read_bytes() == before


def ask_of(prompts: Path, url: str, out: Path) -> None:
    result = run(prompts, "--model", url, "--out", out)
    assert result.exception
    raise result.exception

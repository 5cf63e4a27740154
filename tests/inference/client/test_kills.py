"""A server that misbehaves in every way, and a client that is killed again and again: what was paid for is there."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from orionlm.inference.client.store import FILE

CONCURRENCY = 64
TOKENS = 32
CLIENT = """
import asyncio, sys
from orionlm.inference.client.budget import Budget, Limits
from orionlm.inference.client.client import Client
from orionlm.inference.client.request import Request
from orionlm.sampling import Sampling
url, store, count, limit, concurrency, longest = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])

def requests():
    for n in range(count):
        text = f"say {n}" + (" POISON" if n % 200 == 7 else "")
        yield Request("misbehaving-1", messages=({"role": "user", "content": text},), sampling=Sampling(longest))

async def main():
    budget = Budget(Limits(tokens=limit))
    async with Client(url, store, budget, concurrency=concurrency, timeout=1.5, backoff_seconds=0.05) as client:
        async for request, answer in client.ask(requests()):
            pass
        print(client.tally.refused)

asyncio.run(main())
"""


def log_lines(log: Path) -> list[dict[str, Any]]:
    lines = log.read_bytes().split(b"\n")[:-1] if log.exists() else []
    return [json.loads(line) for line in lines]


def committed(store: Path, copy: Path) -> dict[str, Any]:
    """What the next process will find, read from a copy."""
    copy.mkdir()
    for path in store.glob(FILE + "*"):
        shutil.copy(path, copy)
    connection = sqlite3.connect(copy / FILE)
    answers = connection.execute(
        "SELECT document, response IS NOT NULL, error, permanent FROM answers JOIN requests USING (key)"
    ).fetchall()
    states = dict(connection.execute("SELECT state, count(*) FROM calls GROUP BY state"))
    spent = connection.execute("SELECT ifnull(sum(tokens), 0) FROM calls").fetchone()[0]
    connection.close()
    rows = {json.loads(row[0])["messages"][0]["content"]: row[1:] for row in answers}
    return {"rows": rows, "states": states, "spent": spent}


def under_kills(directory: Path, count: int, kills: int, limit: int, seed: int = 0) -> dict[str, Any]:
    draw = random.Random(seed)
    log, store, server_program = (
        directory / "billed.jsonl",
        directory / "store",
        Path(__file__).parent / "misbehaving.py",
    )
    server = subprocess.Popen(
        [sys.executable, str(server_program), "--seed", str(seed), "--latency", "0.02", "--log", str(log)],
        stdout=subprocess.PIPE,
    )
    assert server.stdout
    url = json.loads(server.stdout.readline())["url"]
    numbers = [str(number) for number in (count, limit, CONCURRENCY, TOKENS)]
    command = [sys.executable, "-c", CLIENT, url, str(store), *numbers]
    found: list[dict[str, Any]] = []
    try:
        for life in range(kills + 1):
            client = subprocess.Popen(command, stdout=subprocess.PIPE)
            if life < kills:
                before = len(log_lines(log))
                end = time.monotonic() + 20
                while len(log_lines(log)) < before + count // (2 * kills + 2) and time.monotonic() < end:
                    time.sleep(0.005)
                time.sleep(draw.uniform(0, 0.03))  # while answers are coming in, not while the server asked to wait
                client.kill()
            output, _ = client.communicate()
            time.sleep(0.2)  # what was in flight is billed by now, or never
            found.append(committed(store, directory / f"copy{life}") | {"billed_before": len(log_lines(log))})
        found[-1]["refused"] = int(output)
    finally:
        server.terminate()
        server.wait()
    return {"lives": found, "log": log_lines(log)}


@pytest.mark.slow
@pytest.mark.parametrize("limit", [10**9, 5000])
def test_killed_again_and_again_nothing_is_bought_twice_or_overspent(tmp_path, limit):
    count, kills = (500, 5) if limit == 10**9 else (200, 2)
    run = under_kills(tmp_path, count, kills, limit)
    lives, log = run["lives"], run["log"]
    billed = [line for line in log if "prompt" in line]
    orphaned = 0
    for life in lives[:-1]:
        known = {prompt for prompt, row in life["rows"].items() if row[0]}
        bought_later = {line["prompt"] for line in log[life["billed_before"] :] if "prompt" in line}
        assert not known & bought_later
        assert life["states"].get("reserved", 0) <= CONCURRENCY
        assert life["states"].get("orphaned", 0) == orphaned
        orphaned += life["states"].get("reserved", 0)
    for life in lives:
        assert life["spent"] <= limit
        before = [line for line in log[: life["billed_before"]] if "prompt" in line]
        assert sum(line["prompt_tokens"] + line["completion_tokens"] for line in before) <= life["spent"]
    last = lives[-1]
    assert last["states"].get("orphaned", 0) == orphaned and "reserved" not in last["states"]
    rows = last["rows"]
    assert orphaned or limit < 10**9
    assert len(rows) + last["refused"] == count
    poisoned = {prompt for prompt in rows if "POISON" in prompt}
    failed = {prompt: row for prompt, row in rows.items() if not row[0]}
    assert poisoned <= set(failed) and all(row[1] for row in failed.values())
    assert {prompt for prompt, row in failed.items() if row[2]} == poisoned
    if limit == 10**9:
        assert last["refused"] == 0 and len(failed) <= 10
    else:
        assert last["refused"] > 0
    whole = [line["prompt"] for line in billed if line["complete"]]
    again = len(whole) - len(set(whole))
    assert again <= orphaned  # only what was in flight at a kill was paid for twice

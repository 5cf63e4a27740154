"""Does the server's memory stay flat? 50,000 requests of every kind, one in twenty broken off, and its RSS all along.

python benchmarks/serve_memory.py --json prints one object: the resident memory of the server and of its engine after a
tenth of the requests and at the end, and the slope between. A tiny random checkpoint is made for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import aiohttp

ABORTED = 0.05
STARTING_SECONDS = 120
MOST_GROWTH = 0.02  # of what is resident after a tenth of the requests: allocators breathe by as much


def write_checkpoint(folder: Path) -> Path:
    import torch

    from orionlm.data.tokenizer import END_OF_TEXT, train_tokenizer
    from orionlm.model.checkpoint import TOKENIZER, save
    from orionlm.model.transformer import Transformer
    from orionlm.shape import Shape

    text = " ".join(f"{a} and {b} went {c} the {d}." for a in "abc" for b in "xyz" for c in ("to", "by") for d in "uvw")
    tokenizer = train_tokenizer([text + " naïve café 数学 µ", bytes(range(32, 127)).decode()], 300)
    shape = Shape(vocabulary=300, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=64, context=256)
    torch.manual_seed(0)
    folder.mkdir(parents=True)
    save(folder, Transformer(shape).state_dict(), shape, tokenizer.token_to_id(END_OF_TEXT))
    (folder / TOKENIZER).write_text(tokenizer.to_str())
    return folder


class Memory:
    """Resident MiB of a process and, apart, of all below it."""

    def __init__(self, root: int) -> None:
        self.root = root
        self.samples: list[tuple[int, float, float]] = []

    def sample(self, requests: int) -> None:
        below, found = [self.root], []
        parents = {pid: parent for pid in _processes() if (parent := _parent(pid)) is not None}
        while below:
            pid = below.pop()
            children = [child for child, parent in parents.items() if parent == pid]
            below += children
            found += children
        self.samples.append((requests, _resident(self.root), sum(map(_resident, found))))

    def at(self, requests: int) -> dict[str, float]:
        """The least of the few samples from there on: what is held, not what is passing."""
        later = [sample for sample in self.samples if sample[0] >= requests][:5] or self.samples[-1:]
        return {"server": min(s[1] for s in later), "engine": min(s[2] for s in later)}

    def slopes(self, requests: int) -> dict[str, float]:
        """MiB per 10,000 requests after the first `requests`, by least squares."""
        later = [sample for sample in self.samples if sample[0] >= requests]
        if len({sample[0] for sample in later}) < 2:
            return {}
        done = [sample[0] for sample in later]
        return {
            name: round(1e4 * statistics.linear_regression(done, [sample[column] for sample in later]).slope, 4)
            for name, column in (("server", 1), ("engine", 2))
        }


def _processes() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError):
        return None


def _resident(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except (OSError, IndexError):
        return 0.0


class Load:
    """So many requests, so many at once; what became of them is counted."""

    def __init__(self, url: str, requests: int, concurrency: int, seed: int) -> None:
        self.url, self.requests, self.concurrency = url, requests, concurrency
        self.draw = random.Random(seed)
        self.started = 0
        self.counts: Counter[str] = Counter()
        self.usual = 0.05  # seconds a request takes, as seen lately

    async def run(self) -> None:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as self.session:
            await asyncio.gather(*(self.worker() for _ in range(self.concurrency)))

    async def worker(self) -> None:
        while self.started < self.requests:
            self.started += 1
            path, body = self.request()
            # Some end before they are broken off: others make up for them.
            abort = self.counts["aborted"] < ABORTED * self.started and self.draw.random() < 2 * ABORTED
            began = time.monotonic()
            try:
                # Broken off anywhere between before its first token and its last.
                async with asyncio.timeout(self.draw.uniform(0, 1.2 * self.usual) if abort else 120):
                    async with self.session.post(self.url + path, json=body) as response:
                        await response.read()
                        self.counts["ok" if response.status == 200 else f"HTTP {response.status}"] += 1
                self.usual += 0.02 * (time.monotonic() - began - self.usual)
            except TimeoutError:
                self.counts["aborted" if abort else "no answer"] += 1
            except aiohttp.ClientError as error:
                self.counts[type(error).__name__] += 1

    def request(self) -> tuple[str, dict[str, Any]]:
        draw = self.draw
        text = " ".join(draw.choices(("a", "b", "x", "went", "to", "the", "café", "数学"), k=draw.randint(1, 24)))
        body: dict[str, Any] = {
            "model": "tiny",
            "max_tokens": draw.randint(1, 12),
            "temperature": draw.choice((0, 1)),
            "stream": draw.random() < 0.5,
        }
        if draw.random() < 0.1:
            body["n"] = 2
        if draw.random() < 0.1:
            body["stop"] = ["the", "."]
        if draw.random() < 0.5:
            if draw.random() < 0.1:
                body |= {"logprobs": True, "top_logprobs": 2}
            return "/chat/completions", body | {"messages": [{"role": "user", "content": text}]}
        return "/completions", body | {"prompt": text}


async def watch(memory: Memory, load: Load, every: float) -> None:
    while True:
        memory.sample(load.started)
        await asyncio.sleep(every)


async def measure(url: str, pid: int, options: argparse.Namespace) -> tuple[Memory, Load, float]:
    memory, load = Memory(pid), Load(url, options.requests, options.concurrency, options.seed)
    watcher = asyncio.create_task(watch(memory, load, 0.5))
    began = time.monotonic()
    await load.run()
    seconds = time.monotonic() - began
    watcher.cancel()
    for _ in range(5):
        await asyncio.sleep(0.2)
        memory.sample(load.requests)
    return memory, load, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=50_000)
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = write_checkpoint(Path(folder, "tiny"))
        command = [sys.executable, "-m", "orionlm.cli", "serve", str(checkpoint), "--port", "0", "--json"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        try:
            assert process.stdout
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"orion serve ended with {process.wait()}")
            url = json.loads(line)["url"].rstrip("/").removesuffix("/v1") + "/v1"
            memory, load, seconds = asyncio.run(measure(url, process.pid, options))
        finally:
            process.terminate()
            code = process.wait(60)
    tenth = options.requests // 10
    early, late = memory.at(tenth), memory.at(options.requests)
    growth = {name: late[name] / early[name] - 1 for name in early}
    page = {
        "name": "serve_memory",
        "requests": options.requests,
        "outcomes": dict(load.counts),
        "requests_per_second": round(options.requests / seconds, 1),
        "resident_mib_after_a_tenth": {name: round(value, 1) for name, value in early.items()},
        "resident_mib_at_the_end": {name: round(value, 1) for name, value in late.items()},
        "highest_mib": {
            "server": round(max(s[1] for s in memory.samples), 1),
            "engine": round(max(s[2] for s in memory.samples), 1),
        },
        "mib_per_10000_requests": memory.slopes(tenth),
        "ours": round(max(growth.values()), 4),
        "goal": f"at most {MOST_GROWTH} of what is resident after a tenth of the requests",
        "unit": "share grown since then",
        "server_exit_code": code,
        "versions": {"python": sys.version.split()[0]}
        | {name: version(name) for name in ("torch", "aiohttp", "uvicorn")},
        "command": "python benchmarks/serve_memory.py " + " ".join(sys.argv[1:]),
    }
    print(json.dumps(page))
    sys.exit(0 if max(growth.values()) <= MOST_GROWTH else 1)


if __name__ == "__main__":
    main()

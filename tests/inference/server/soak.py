"""Thousands of requests, one in twenty left early: does the server's memory stay flat?

By hand: `PYTHONPATH=tests python -m inference.server.soak CHECKPOINT 50000`, over the scripted worker.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import aiohttp

from inference.server import tiny


def run(checkpoint: Path, count: int, *, cache: Path) -> dict[str, float]:
    command = tiny.scripted_command(checkpoint, name="m", queue=1000)
    with tiny.served(checkpoint, cache=cache, command=command) as server:
        found = asyncio.run(_load(server, count))
        found["unfinished"] = server.metrics()["orion_unfinished"] + server.metrics()["orion_active_requests"]
        return found


async def _load(server: tiny.Served, count: int) -> dict[str, float]:
    found = {"answered": 0, "left": 0, "memory_middle": 0, "memory_end": 0}
    numbers = iter(range(count))

    async def ask(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            body = {"model": "m", "prompt": f"request {number}", "max_tokens": 3, "stream": number % 2 == 0}
            body |= {"user": f"user-{number}", "logprobs": None}
            if number % 20 == 19:
                body["max_tokens"] = 900
                try:
                    async with asyncio.timeout(0.02):
                        async with session.post(f"{server.url}/v1/completions", json=body) as response:
                            await response.read()
                except TimeoutError:
                    found["left"] += 1
                    continue
            else:
                headers = {"x-request-id": f"r-{number}"}
                async with session.post(f"{server.url}/v1/completions", json=body, headers=headers) as response:
                    await response.read()
            found["answered"] += 1
            if number == count // 2:
                found["memory_middle"] = _memory(server.process.pid)

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(ask(session) for _ in range(8)))
    await asyncio.sleep(0.2)
    found["memory_end"] = _memory(server.process.pid)
    return found


def _memory(process: int) -> int:
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * 4096


if __name__ == "__main__":
    print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]), cache=Path(sys.argv[1]) / "cache")))

"""A real HTTP server in the place of a teacher, which goes away, comes back and misbehaves when a test says so."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from aiohttp import web

from inference.client.scripted_server import completion
from orionlm.synth.desk import Seed
from orionlm.synth.teachers import TeacherSettings

Script = Callable[[str, dict[str, Any]], "dict[str, Any] | web.StreamResponse | None"]
WORDS = (
    "water",
    "runs",
    "under",
    "old",
    "stone",
    "bridges",
    "while",
    "quiet",
    "boats",
    "carry",
    "grain",
    "salt",
    "home",
)


def seeds(number: int, licence: str = "MIT") -> list[Seed]:
    def text(place: int) -> str:
        return " ".join(f"{WORDS[(place * 7 + k * (place % 5 + 1)) % len(WORDS)]}{place}" for k in range(60)) + "."

    return [Seed(f"doc{place}", text(place), licence) for place in range(number)]


def prompt_of(body: dict[str, Any]) -> str:
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


def answered(prompt: str, body: dict[str, Any]) -> dict[str, Any]:
    """Good, and another for each prompt and seed."""
    mark = f"{len(prompt)}-{sum(map(ord, prompt))}-{body.get('seed')}"
    return completion(f"Here is something new to read, number {mark}, which ends well.")


class Teaching:
    """`script(prompt, body)` answers; None: as `answered` does. `bought` counts the answers to each prompt."""

    def __init__(self, script: Script | None = None, delay: float = 0.0, **orion: Any) -> None:
        self.script, self.delay, self.orion = script, delay, orion
        self.bought: Counter[tuple[str, Any]] = Counter()
        self.port = 0
        self.fingerprint = "fp"

    async def __aenter__(self) -> Teaching:
        await self.come_back()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.go_away()

    async def come_back(self) -> None:
        app = web.Application()
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._reply)
        app.router.add_post("/v1/completions", self._reply)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", self.port, reuse_address=True).start()
        self.port = self.runner.addresses[0][1]

    async def go_away(self) -> None:
        await self.runner.cleanup()

    def settings(self, **more: Any) -> TeacherSettings:
        quick = {"model": "m", "tries": 2, "patience": 30.0, "terms": "allowed", "timeout": 10.0}
        return TeacherSettings(url=f"http://127.0.0.1:{self.port}/v1", **quick | more)

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": "m"} | ({"orion": self.orion} if self.orion else {})]})

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        prompt = prompt_of(body)
        await asyncio.sleep(self.delay)
        found = self.script(prompt, body) if self.script else None
        found = answered(prompt, body) if found is None else found
        if isinstance(found, web.StreamResponse):
            return found
        self.bought[prompt, body.get("seed")] += 1
        return web.json_response(found | {"system_fingerprint": self.fingerprint})

"""A real HTTP server whose next answers a test writes down."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from orionlm.inference.client.request import Request
from orionlm.sampling import Sampling

Reply = web.StreamResponse | dict[str, Any] | None
Script = Callable[[dict[str, Any], int], Awaitable[Reply] | Reply]


def asked(text: str, **sampling: Any) -> Request:
    return Request(
        "m", messages=({"role": "user", "content": text},), sampling=Sampling(**{"max_tokens": 16} | sampling)
    )


def completion(text: str = "fine", finish: str = "stop", **usage: int) -> dict[str, Any]:
    return {
        "model": "m-2",
        "system_fingerprint": "fp",
        "choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": finish}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 7} | usage,
    }


def refusal(status: int, message: str = "no", code: str | None = None, **headers: str) -> web.Response:
    return web.json_response({"error": {"message": message, "code": code}}, status=status, headers=headers)


class Scripted:
    """`script(body, n)` answers the n-th request, counted from 1 for each prompt; None is a plain good answer."""

    def __init__(self, script: Script | None = None, models: tuple[str, ...] = ("m",)) -> None:
        self.script = script
        self.models = models
        self.asked: Counter[str] = Counter()
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.now = self.most = 0

    async def __aenter__(self) -> Scripted:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_get("/v1/models", self._models)
        app.router.add_post("/v1/chat/completions", self._answer)
        app.router.add_post("/v1/completions", self._answer)
        self.runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    async def _models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": name} for name in self.models]})

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            return await self._reply(request)
        finally:
            self.now -= 1

    async def _reply(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read())
        prompt = body["prompt"] if "prompt" in body else body["messages"][-1]["content"]
        self.asked[prompt] += 1
        self.bodies.append(body)
        self.headers.append(dict(request.headers))
        reply = self.script(body, self.asked[prompt]) if self.script else None
        if reply is not None and not isinstance(reply, (dict, web.StreamResponse)):
            reply = await reply
        if reply is None:
            reply = completion(f"you said {prompt}")
        return web.json_response(reply) if isinstance(reply, dict) else reply

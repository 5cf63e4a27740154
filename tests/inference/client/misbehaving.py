"""What does a client meet outside? An OpenAI-shaped server that fails on purpose, and keeps a log of what it billed.

python tests/inference/client/misbehaving.py --port 0 --log billed.jsonl prints {"url": ...} and serves until ended.
Answers depend on the prompt alone; what goes wrong depends on the seed and a request's number of arrival, so that a
retry may succeed. A token is a word. Each request that a 200 was begun for is a line of the log before its answer is
sent, and a second line, {"n": ..., "sent": true}, once all of it was.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import os
import random
import signal
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count
from typing import Any

from aiohttp import web

MODEL, FINGERPRINT = "misbehaving-1", "00112233445566aa"
STALL = 60.0
# What goes wrong, and how often.
RATES = {
    "retry_after": 0.03,
    "too_many": 0.02,
    "server_error": 0.03,
    "malformed": 0.01,
    "stall": 0.005,
    "truncated": 0.01,
    "empty": 0.002,
    "wrong_type": 0.002,
}
PROFILES: dict[str, dict[str, float]] = {"all": RATES, "calm": {}}
TEXT = (
    "the of and a to in is it that was for on are with as at be this have from or by one had not but what all were "
    "when we there can an your which their said if do will each about how up out them then she many some so these "
    "would other into has more two time like no make than first been long water round naïve café 数 µ"
)
WORDS = TEXT.split()
OTHER_TYPES: tuple[Any, ...] = (
    [],
    {"choices": "none"},
    {"choices": [{"message": {"content": 7}, "text": 7}], "usage": "many"},
    None,
)


def answer_to(prompt: str, limit: int | None) -> tuple[list[str], str]:
    """Its words, 12 to 43 unless `limit` is lower, and why they end."""
    draw = hashlib.blake2b(prompt.encode("utf-8", "surrogatepass"), digest_size=44).digest()
    words = [WORDS[byte % len(WORDS)] for byte in draw[: 12 + draw[43] % 32]]
    return (words, "stop") if limit is None or limit >= len(words) else (words[:limit], "length")


def prompt_of(body: dict[str, Any]) -> str:
    if "prompt" in body:
        prompt = body["prompt"]
        return prompt if isinstance(prompt, str) else "\n".join(map(str, prompt))
    return "\n".join(str(message.get("content") or "") for message in body["messages"])


def error(status: int, message: str, code: str, **headers: str) -> web.Response:
    kind = {400: "invalid_request_error", 404: "invalid_request_error", 429: "rate_limit_error"}.get(status)
    document = {"error": {"message": message, "type": kind or "server_error", "param": None, "code": code}}
    return web.json_response(document, status=status, headers=headers)


class Misbehaving:
    def __init__(self, seed: int, latency: float, profile: str, concurrency: int, log: str | None) -> None:
        self.seed, self.latency, self.concurrency = seed, latency, concurrency
        self.rates = PROFILES[profile]
        self.log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644) if log else None
        self.arrivals = count(1)
        self.counts: Counter[str] = Counter()
        self.current = self.most = 0

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_get("/v1/models", self.models)
        app.router.add_post("/v1/chat/completions", self.answer)
        app.router.add_post("/v1/completions", self.answer)
        app.router.add_get("/stats", self.stats)
        return app

    async def models(self, request: web.Request) -> web.Response:
        model = {"id": MODEL, "object": "model", "created": 1700000000, "owned_by": "tests"}
        return web.json_response({"object": "list", "data": [model]})

    async def stats(self, request: web.Request) -> web.Response:
        return web.json_response({"counts": dict(self.counts), "current": self.current, "most": self.most})

    async def answer(self, request: web.Request) -> web.StreamResponse:
        number = next(self.arrivals)
        self.counts["requests"] += 1
        self.current += 1
        self.most = max(self.most, self.current)
        try:
            if self.current > self.concurrency:
                self.counts["over_limit"] += 1
                return error(429, f"Rate limit reached: more than {self.concurrency} requests at once", "rate_limit")
            return await self._answer(request, number)
        finally:
            self.current -= 1

    async def _answer(self, request: web.Request, number: int) -> web.StreamResponse:
        raw = await request.read()
        try:
            body = json.loads(raw)
            prompt = prompt_of(body)
        except (ValueError, KeyError, TypeError, AttributeError) as wrong:
            self.counts["bad_request"] += 1
            return error(400, f"not a request: {wrong}", "invalid_request")
        if "POISON" in prompt:
            self.counts["poison"] += 1
            return error(400, "the prompt was refused", "content_policy_violation")
        draw = random.Random(f"{self.seed}:{number}")
        fault = self.fault(draw)
        self.counts[fault] += 1
        if self.latency:
            await asyncio.sleep(self.latency * draw.uniform(0.5, 1.5))
        if fault == "retry_after":
            return self.later(draw)
        if fault == "too_many":
            return error(429, "Rate limit reached", "rate_limit")
        if fault == "server_error":
            return error(draw.choice((500, 502, 503)), "something broke", "internal_error")
        if fault == "stall" and draw.random() < 0.5:
            await asyncio.sleep(STALL)
            self.counts["stalled_out"] += 1
            return error(504, "took too long", "timeout")
        return await self.billed(request, number, body, raw, prompt, fault, draw)

    def fault(self, draw: random.Random) -> str:
        place = draw.random()
        for name, rate in self.rates.items():
            place -= rate
            if place < 0:
                return name
        return "good"

    def later(self, draw: random.Random) -> web.Response:
        seconds, style = draw.uniform(0.2, 1.0), draw.random()
        if style < 0.5:
            headers = {"Retry-After": f"{seconds:.2f}"}
        elif style < 0.75:
            headers = {"retry-after-ms": f"{1000 * seconds:.0f}"}
        else:
            headers = {"Retry-After": format_datetime(datetime.now(UTC) + timedelta(seconds=1), usegmt=True)}
        return error(429, "Rate limit reached: come back later", "rate_limit", **headers)

    async def billed(
        self, request: web.Request, number: int, body: dict[str, Any], raw: bytes, prompt: str, fault: str, draw: Any
    ) -> web.StreamResponse:
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        words, finish = answer_to(prompt, limit)
        samples = body.get("n") or 1
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(words) * samples}
        usage["total_tokens"] = sum(usage.values())
        self.record(
            {
                "n": number,
                "body_sha": hashlib.sha256(raw).hexdigest(),
                "prompt": prompt,
                "seed": body.get("seed"),
                "complete": fault == "good",
                "prompt_tokens": usage["prompt_tokens"],
                "completion_tokens": usage["completion_tokens"],
            }
        )
        chat = "messages" in body
        head = {"id": f"cmpl-{number}", "created": 1700000000, "model": body.get("model", MODEL)}
        head["system_fingerprint"] = FINGERPRINT
        if body.get("stream"):
            parts = chunks(head, words, finish, samples, usage if _wants_usage(body) else None, chat)
        else:
            parts = [json.dumps(whole(head, " ".join(words), finish, samples, usage, chat)).encode()]
        kind = "text/event-stream" if body.get("stream") else "application/json"
        if fault == "malformed":
            parts = [b"data: {'choices'\n\n", *parts] if body.get("stream") else [parts[0][: len(parts[0]) // 2]]
        elif fault == "empty":
            parts = [b""]
        elif fault == "wrong_type":
            other = json.dumps(draw.choice(OTHER_TYPES)).encode()
            parts = [b"data: " + other + b"\n\n"] if body.get("stream") else [other]
        elif fault in ("truncated", "stall"):
            return await self.cut_off(request, parts, kind, draw, hold=fault == "stall")
        response = await self.send(request, parts, kind)
        if fault == "good":
            self.record({"n": number, "sent": True})
        return response

    async def send(self, request: web.Request, parts: list[bytes], kind: str) -> web.StreamResponse:
        if len(parts) == 1:
            response: web.StreamResponse = web.Response(body=parts[0], content_type=kind)
            await response.prepare(request)
            await response.write_eof()
            return response
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        for part in parts:
            await response.write(part)
        await response.write_eof()
        return response

    async def cut_off(
        self, request: web.Request, parts: list[bytes], kind: str, draw: random.Random, *, hold: bool
    ) -> web.StreamResponse:
        """A part of the answer, and then nothing more or the end of the connection."""
        text = b"".join(parts)
        length = {} if len(parts) > 1 else {"Content-Length": str(len(text))}
        response = web.StreamResponse(headers={"Content-Type": kind} | length)
        await response.prepare(request)
        await response.write(text[: draw.randrange(1, len(text))])
        if hold:
            await asyncio.sleep(STALL)
        if request.transport:
            request.transport.close()
        return response

    def record(self, line: dict[str, Any]) -> None:
        if self.log is not None:
            os.write(self.log, json.dumps(line | {"at": time.monotonic()}).encode() + b"\n")


def whole(
    head: dict[str, Any], text: str, finish: str, samples: int, usage: dict[str, int], chat: bool
) -> dict[str, Any]:
    said: dict[str, Any] = (
        {"message": {"role": "assistant", "content": text, "refusal": None}} if chat else {"text": text}
    )
    choices = [{"index": k, **said, "logprobs": None, "finish_reason": finish} for k in range(samples)]
    return head | {"object": "chat.completion" if chat else "text_completion", "choices": choices, "usage": usage}


def chunks(
    head: dict[str, Any], words: list[str], finish: str, samples: int, usage: dict[str, int] | None, chat: bool
) -> list[bytes]:
    """A third of the words at a time."""
    head = head | {"object": "chat.completion.chunk" if chat else "text_completion"}
    text, third = " ".join(words), 1 + len(words) // 3
    pieces = [" ".join(words[start : start + third]) for start in range(0, len(words), third)]
    pieces = [piece if not index else " " + piece for index, piece in enumerate(pieces)]
    assert "".join(pieces) == text
    documents: list[dict[str, Any]] = []
    for k in range(samples):
        for index, piece in enumerate(pieces):
            first = {"role": "assistant"} if index == 0 else {}
            said: dict[str, Any] = {"delta": first | {"content": piece}} if chat else {"text": piece}
            documents.append(head | {"choices": [{"index": k, **said, "logprobs": None, "finish_reason": None}]})
        said = {"delta": {}} if chat else {"text": ""}
        documents.append(head | {"choices": [{"index": k, **said, "logprobs": None, "finish_reason": finish}]})
    if usage:
        documents.append(head | {"choices": [], "usage": usage})
    return [*(b"data: " + json.dumps(document).encode() + b"\n\n" for document in documents), b"data: [DONE]\n\n"]


def _wants_usage(body: dict[str, Any]) -> bool:
    return bool((body.get("stream_options") or {}).get("include_usage"))


async def serve(options: argparse.Namespace) -> None:
    server = Misbehaving(options.seed, options.latency, options.profile, options.concurrency, options.log)
    # Handlers are cancelled when their client is gone, so that a stall does not outlive it.
    runner = web.AppRunner(server.app(), access_log=None, handler_cancellation=True, shutdown_timeout=0.5)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", options.port, backlog=1024)
    await site.start()
    port = runner.addresses[0][1]
    print(json.dumps({"url": f"http://127.0.0.1:{port}/v1"}), flush=True)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
    await runner.cleanup()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--latency", type=float, default=0.02, help="mean seconds before an answer")
    parser.add_argument("--profile", choices=sorted(PROFILES), default="all")
    parser.add_argument("--concurrency", type=int, default=48, help="more at once are answered 429")
    parser.add_argument("--log", help="file for a line of JSON per billed request")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

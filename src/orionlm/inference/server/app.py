"""Which address answers what? The routes of `orion serve`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from orionlm.inference.server.admission import Gate
from orionlm.inference.server.answers import Writer, encode, server_sent
from orionlm.inference.server.chat import ChatTemplate
from orionlm.inference.server.errors import ApiError, bad_field
from orionlm.inference.server.metrics import Metrics
from orionlm.inference.server.middleware import Counted, Keyed, Limited, respond
from orionlm.inference.server.process import Answer, EngineError, EngineProcess
from orionlm.inference.server.protocol import Asked, fit, parse_chat, parse_completion, too_long
from orionlm.inference.server.tokens import Tokens
from orionlm.sampling import Sampling

BODY_LIMIT = 16_000_000
BODY_SECONDS = 60


@dataclass(frozen=True)
class Service:
    """Everything an answer needs."""

    engine: EngineProcess
    gate: Gate
    tokens: Tokens
    template: ChatTemplate
    name: str
    created: int = field(default_factory=lambda: int(time.time()))

    @property
    def limit(self) -> int:
        """Tokens that one prompt and its answer may have together."""
        return min(self.engine.served.context, self.engine.served.cache_tokens)

    async def prompts(self, asked: Asked) -> list[tuple[list[int], Sampling]]:
        """The request's prompts as ids, each with its sampling. Raises ApiError 400 for what does not fit."""
        served = self.engine.served
        if asked.chat:
            self._refuse_hopeless(asked, sum(len(message["content"]) for message in asked.messages))
            rendered = self.template.render(asked.messages, self.tokens.guard)
            found = [await self.tokens.encode_chat(rendered)]
        else:
            texts = [prompt for prompt in asked.prompts if isinstance(prompt, str)]
            for text in texts:
                self._refuse_hopeless(asked, len(text))
            found = await self.tokens.encode(texts) if texts else [p for p in asked.prompts if isinstance(p, list)]
        for ids in found:
            if ids and not 0 <= min(ids) <= max(ids) < served.vocabulary:
                raise bad_field("prompt", f": token ids must be between 0 and {served.vocabulary - 1}")
        if not all(found) and served.end is None:
            raise bad_field("prompt", ": it is empty, and this model has no end-of-text token to begin after")
        return fit(asked, [ids or [served.end or 0] for ids in found], self.limit)

    def _refuse_hopeless(self, asked: Asked, characters: int) -> None:
        # Tokenising megabytes only to count them would cost seconds and much memory.
        least = characters // self.tokens.longest
        if least > self.limit:
            too_long(asked, f"at least {least}", self.limit)


class Generate:
    """POST /v1/completions or /v1/chat/completions, told apart by how the body is read."""

    def __init__(self, service: Service, parse: Callable[[bytes], Asked]) -> None:
        self.service = service
        self.parse = parse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service = self.service
        service.gate.check()
        with _counted(service.gate):
            try:
                async with asyncio.timeout(BODY_SECONDS):
                    body = await _body(receive)
            except TimeoutError:
                raise ApiError(408, f"the body did not arrive within {BODY_SECONDS} s") from None
            asked = self.parse(body)
            if asked.model != service.name:
                raise no_such_model(asked.model)
            prompts = await service.prompts(asked)
            service.gate.check()  # others may have come in meanwhile
            with service.engine.submit(prompts, echo=asked.echo and asked.logprobs) as answer:
                ids = [tokens for tokens, _ in prompts]
                writer = Writer(asked, service.engine.served, service.name, service.tokens, ids, answer.ids.start)
                leaving = asyncio.create_task(_cancel_when_left(receive, answer))
                try:
                    if asked.stream:
                        await _stream(answer, writer, send)
                    else:
                        await _whole(answer, writer, scope, receive, send)
                finally:
                    leaving.cancel()


async def _whole(answer: Answer, writer: Writer, scope: Scope, receive: Receive, send: Send) -> None:
    try:
        events = await answer.rest()
    except EngineError as error:
        raise unavailable(error) from None
    if answer.cancelled:
        return
    writer.take(events)
    await Response(encode(writer.whole()), media_type="application/json")(scope, receive, send)


async def _stream(answer: Answer, writer: Writer, send: Send) -> None:
    """Server-sent events. What fails before the first is an ordinary error response, later on an error event:
    clients take a stream that only breaks off for a whole one."""
    begun = False
    try:
        while events := await answer.next():
            writer.take(events)
            chunks = writer.chunks()
            if not begun:
                begun = True
                await send({"type": "http.response.start", "status": 200, "headers": _STREAM_HEADERS})
            if chunks:
                await send({"type": "http.response.body", "body": chunks, "more_body": True})
        if answer.cancelled:
            return
        last = writer.ending()
    except (EngineError, ApiError) as error:
        refusal = unavailable(error) if isinstance(error, EngineError) else error
        if not begun:
            raise refusal from None
        last = server_sent(refusal.document())
    except Exception:
        if begun:
            broken = ApiError(500, "the server failed while it wrote this answer", code="internal_error")
            await send({"type": "http.response.body", "body": server_sent(broken.document()), "more_body": False})
        raise
    await send({"type": "http.response.body", "body": last, "more_body": False})


_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def _cancel_when_left(receive: Receive, answer: Answer) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    answer.cancel()


async def _body(receive: Receive) -> bytes:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ApiError(400, "the body broke off")
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


@contextmanager
def _counted(gate: Gate) -> Any:
    gate.active += 1
    try:
        yield
    finally:
        gate.active -= 1


def unavailable(error: EngineError) -> ApiError:
    return ApiError(503, str(error), code="engine_unavailable", retry_after=2)


def no_such_model(name: str) -> ApiError:
    return ApiError(404, f"The model {name[:100]!r} does not exist here", param="model", code="model_not_found")


def build(
    engine: EngineProcess,
    gate: Gate,
    tokens: Tokens,
    template: ChatTemplate,
    name: str,
    *,
    key: str | None = None,
    body_limit: int = BODY_LIMIT,
) -> Starlette:
    """The application, over an engine that is started."""
    service = Service(engine, gate, tokens, template, name)
    metrics = Metrics(gate)

    def model() -> dict[str, Any]:
        served = engine.served
        about = {"revision": served.revision, "context": service.limit, "parameters": served.parameters}
        about["flops_per_token"] = served.flops_per_token
        return {"id": name, "object": "model", "created": service.created, "owned_by": "orion", "orion": about}

    async def models(request: Request) -> Response:
        return Response(encode({"object": "list", "data": [model()]}), media_type="application/json")

    async def one_model(request: Request) -> Response:
        if request.path_params["name"] != name:
            raise no_such_model(request.path_params["name"])
        return Response(encode(model()), media_type="application/json")

    async def health(request: Request) -> Response:
        state = gate.state
        return Response(encode({"status": state}), 200 if state == "ready" else 503, media_type="application/json")

    async def count(request: Request) -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def chat_body(body: bytes) -> Asked:
        return parse_chat(body, template.stop)

    return Starlette(
        routes=[
            Route("/v1/completions", Generate(service, parse_completion), methods=["POST"]),
            Route("/v1/chat/completions", Generate(service, chat_body), methods=["POST"]),
            Route("/v1/models", models),
            Route("/v1/models/{name:path}", one_model),
            Route("/health", health),
            Route("/metrics", count),
        ],
        middleware=[Middleware(Counted, metrics), Middleware(Keyed, key), Middleware(Limited, body_limit)],
        exception_handlers={ApiError: _refuse, HTTPException: _no_route, Exception: _broken},
    )


async def _refuse(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return respond(error)


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return respond(ApiError(error.status_code, f"{request.method} {request.url.path[:200]}: {error.detail}"))


async def _broken(request: Request, error: Exception) -> Response:
    return respond(ApiError(500, "the server failed on this request", code="internal_error"))

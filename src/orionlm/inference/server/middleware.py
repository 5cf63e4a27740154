"""What is done for every HTTP request, whatever it asks? A name and a count, a key, and a limit to its body."""

from __future__ import annotations

import hmac
import os
import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orionlm.inference.server.answers import encode
from orionlm.inference.server.errors import ApiError
from orionlm.inference.server.metrics import Metrics

LEFT = 499  # as nginx counts callers that left before their answer


class Counted:
    """Every response carries `x-request-id`, the caller's own where it is plain, and is counted."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self.app = app
        self.metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = Headers(scope=scope).get("x-request-id", "")
        name = given if re.fullmatch(r"[A-Za-z0-9._-]{1,128}", given) else f"req_{os.urandom(12).hex()}"
        status = LEFT

        async def named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["x-request-id"] = name
            await send(message)

        try:
            await self.app(scope, receive, named)
        except Exception:
            status = 500
            raise
        finally:
            self.metrics.count(scope["path"], status)


class Keyed:
    """Under /v1 only callers with the key; without one, everybody."""

    def __init__(self, app: ASGIApp, key: str | None) -> None:
        self.app = app
        self.expected = f"Bearer {key}".encode() if key else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and self.expected is not None and scope["path"].startswith("/v1"):
            given = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not hmac.compare_digest(given, self.expected):
                error = ApiError(401, "the API key is missing or wrong", code="invalid_api_key")
                return await respond(error)(scope, receive, send)
        await self.app(scope, receive, send)


class Limited:
    """Bodies beyond `limit` bytes are refused: by their announced length unread, or where counting reaches it."""

    def __init__(self, app: ASGIApp, limit: int) -> None:
        self.app = app
        self.limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        error = ApiError(413, f"the body is larger than {self.limit} bytes; send less", code="request_too_large")
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdigit() and int(announced[:20]) > self.limit:
            return await respond(error)(scope, receive, send)
        taken = 0

        async def counted() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.limit:
                raise error
            return message

        await self.app(scope, counted, send)


def respond(error: ApiError) -> Response:
    return Response(encode(error.document()), error.status, error.headers(), "application/json")

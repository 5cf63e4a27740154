"""Where are the models, and which are there? A URL, or one of our checkpoints served for as long as it is asked."""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from orionlm.errors import UserError
from orionlm.inference.client.transport import reason
from orionlm.settings import nearest

OPENAI = "api.openai.com"
OPENAI_KEY = "OPENAI_API_KEY"
KEEP_ALIVE = 4.0  # below the 5 s after which uvicorn closes: no request is sent into a closing connection
STARTING_SECONDS = 300.0
MOST_FLOPS = 1e18  # of one token; a server that says more is mistaken
_TAILS = ("/chat/completions", "/completions", "/models")


@dataclass(frozen=True)
class Model:
    """One model of an endpoint; revision and FLOPs per token are known of `orion serve`'s."""

    name: str
    revision: str = ""
    flops_per_token: float | None = None
    context: int | None = None


@dataclass(frozen=True)
class Endpoint:
    """An OpenAI-compatible API at `url`, which ends before /chat/completions. The key is in no representation."""

    url: str
    key: str = field(default="", repr=False)

    @classmethod
    def at(cls, url: str, key_variable: str | None = None) -> Endpoint:
        """The endpoint at a URL as people write it. `key_variable` names the environment variable that holds the key;
        without it a key goes to OpenAI only."""
        try:
            parts = urlsplit(url.strip())
        except ValueError:  # such as half an IPv6 address
            parts = urlsplit("")
        if parts.username or parts.password:
            raise UserError("the URL holds a password; put the key into an environment variable and name that")
        try:
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if parts.scheme not in ("http", "https") or not host:
            raise UserError(f"{url!r} is no URL of a server; write it like http://127.0.0.1:8000/v1")
        if parts.query or parts.fragment:
            raise UserError("the URL has a ? or # part; give it without, and a key by the name of its variable")
        path = parts.path.rstrip("/")
        for tail in _TAILS:
            path = path.removesuffix(tail)
        if key_variable is None and host == OPENAI:
            key_variable = OPENAI_KEY
        return cls(f"{parts.scheme}://{parts.netloc}{path or '/v1'}", _key(key_variable) if key_variable else "")

    @property
    def headers(self) -> dict[str, str]:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
        return headers | {"Authorization": f"Bearer {self.key}"} if self.key else headers

    @property
    def limit_name(self) -> str:
        """What the limit of an answer's length is called: OpenAI's newer models know max_tokens no more."""
        return "max_completion_tokens" if urlsplit(self.url).hostname == OPENAI else "max_tokens"

    def session(self) -> aiohttp.ClientSession:
        """Any number of connections; proxies as the environment names them, for others than this machine."""
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=30),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=not _own(urlsplit(self.url).hostname or ""),
        )

    async def models(self) -> list[Model]:
        """What is there; raises UserError where there is no such server."""
        async with self.session() as session:
            try:
                timeout = aiohttp.ClientTimeout(total=30)
                async with session.get(
                    self.url + "/models", headers=self.headers, timeout=timeout, allow_redirects=False
                ) as response:
                    status, body = response.status, await response.content.read(4 << 20)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
                raise UserError(
                    f"no server at {self.url}: {reason(error).lower()}; start it, or mend the address"
                ) from None
            except TimeoutError:
                raise UserError(f"{self.url}: no answer in 30 s; is a model server there?") from None
            except (aiohttp.ClientError, OSError, ValueError) as error:
                raise UserError(f"{self.url}: no model server: {reason(error).lower()}") from None
        if status in (401, 403):
            raise UserError(
                f"{self.url}: the key was refused (HTTP {status}); check the variable"
                if self.key
                else f"{self.url}: it wants a key (HTTP {status}); name its environment variable with --api-key-env"
            )
        if 300 <= status < 400:
            raise UserError(f"{self.url}: moved (HTTP {status}); give the new address")
        if status in (502, 503, 504):  # a proxy, or a server that is not ready
            raise UserError(f"{self.url}: nobody answers there yet (HTTP {status}); start the server, or wait for it")
        try:
            rows = json.loads(body)["data"] if status == 200 else []
            return [_model(row) for row in rows if isinstance(row, dict) and isinstance(row.get("id"), str)]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise UserError(f"{self.url}/models: no list of models; the address often ends in /v1") from None

    async def choose(self, name: str | None = None) -> Model:
        """The model called `name`, or the only one there."""
        models = await self.models()
        for model in models:
            if model.name == name or (name is None and len(models) == 1):
                return model
        names = [model.name for model in models]
        if name is None:
            there = f"there are {', '.join(names[:20])}" if names else "the server does not list any"
            raise UserError(f"{self.url}: say which model with --model-name; {there}")
        if names:
            raise UserError(f"--model-name {name}: no such model at {self.url}; {nearest(name, names)}")
        return Model(name)


@asynccontextmanager
async def served(checkpoint: Path) -> AsyncIterator[Endpoint]:
    """`orion serve` over `checkpoint`, for the block's duration; it does not outlive this process."""
    command = [sys.executable, "-m", "orionlm.cli", "serve", str(checkpoint), "--port", "0", "--json"]
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches this process, which then ends that one in order
        preexec_fn=_end_with_parent if sys.platform == "linux" else None,
    )
    assert process.stdout and process.stderr
    said: list[bytes] = []
    listening = asyncio.create_task(_keep_last(process.stderr, said))
    drain: asyncio.Task[None] | None = None
    try:
        try:
            async with asyncio.timeout(STARTING_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            raise UserError(f"{checkpoint}: no server came up in {STARTING_SECONDS:.0f} s") from None
        try:
            url = json.loads(line)["url"]
        except (ValueError, KeyError, TypeError):
            await process.wait()
            await listening
            last = said[-1].decode(errors="replace").strip().removeprefix("error: ") if said else "it said nothing"
            raise UserError(f"{checkpoint}: cannot be served: {last}") from None
        drain = asyncio.create_task(_keep_last(process.stdout, []))
        yield Endpoint.at(url)
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(20):
                    await process.wait()
            except (TimeoutError, asyncio.CancelledError):
                process.kill()
                await process.wait()
        for task in (listening, drain):
            if task:
                task.cancel()


async def _keep_last(stream: asyncio.StreamReader, lines: list[bytes]) -> None:
    """Read on, so that the writer never waits; keep the last line."""
    try:
        while line := await stream.readline():
            if line.strip():
                lines[:] = [line]
    except ValueError:  # a line beyond all bounds
        await stream.read()


def _end_with_parent() -> None:
    """Linux: SIGTERM when the parent is gone, however it went (prctl PR_SET_PDEATHSIG = 1)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _model(row: dict[str, Any]) -> Model:
    ours = row.get("orion")
    if not isinstance(ours, dict):
        return Model(row["id"])
    flops, context = ours.get("flops_per_token"), ours.get("context")
    return Model(
        row["id"],
        str(ours.get("revision") or ""),
        float(flops) if isinstance(flops, (int, float)) and 0 < flops < MOST_FLOPS else None,
        context if isinstance(context, int) else None,
    )


def _key(variable: str) -> str:
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UserError(f"environment variable {variable} is not set; put the API key there: export {variable}=…")
    if not key.isascii() or not key.isprintable():
        raise UserError(f"environment variable {variable}: not an API key (odd characters); set it again")
    return key


def _own(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

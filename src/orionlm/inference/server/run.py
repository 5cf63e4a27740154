"""How does the server live? Engine, application and socket come up together, drain together and go together."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from orionlm.errors import UserError
from orionlm.inference.server.admission import Gate
from orionlm.inference.server.app import build
from orionlm.inference.server.chat import load_template
from orionlm.inference.server.process import WORKER, EngineProcess, Served
from orionlm.inference.server.tokens import load_tokens

KEEP_ALIVE = 75  # seconds; longer than clients' pools keep a connection, so that they close first
LAST_BYTES = 2  # seconds that slow readers have for what is written already


@dataclass(frozen=True)
class Settings:
    """`drain`: seconds that running requests have after a stop. None: as the engine chooses."""

    checkpoint: Path
    host: str = "127.0.0.1"
    port: int = 8000
    name: str | None = None
    slots: int | None = None
    queue: int = 256
    cache_tokens: int | None = None
    drain: float = 30.0
    key: str | None = None
    threads: int | None = None
    device: str | None = None

    def arguments(self) -> list[str]:
        given = {"slots": self.slots, "cache-tokens": self.cache_tokens, "threads": self.threads, "device": self.device}
        options = [[f"--{name}", str(value)] for name, value in given.items() if value is not None]
        return [str(self.checkpoint), *(part for option in options for part in option)]


class Running:
    """A server that takes requests at `url`."""

    def __init__(self, url: str, name: str, served: Served, plain_chat: bool, gate: Gate) -> None:
        self.url = url
        self.name = name
        self.served = served
        self.plain_chat = plain_chat
        self._gate = gate

    async def drain(self, seconds: float, hurry: asyncio.Event) -> None:
        """Lets nobody in any more; returns when all have their answers, or time is up and they have been told."""
        self._gate.close(seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._gate.active and not hurry.is_set():
                    await asyncio.sleep(0.02)
        self._gate.engine.fail_all("the server is shutting down; send the request again")


@contextlib.asynccontextmanager
async def serving(
    settings: Settings, *, worker: Sequence[str] = WORKER, say: Callable[[str], None] = lambda line: None
) -> AsyncIterator[Running]:
    """A server for as long as the block lasts."""
    tokens, template = load_tokens(settings.checkpoint), load_template(settings.checkpoint)
    listener = bind(settings.host, settings.port)
    engine = EngineProcess(settings.arguments(), worker=worker, say=say)
    try:
        served = await engine.start()
        name = settings.name or served.model
        gate = Gate(engine, settings.queue)
        app = build(engine, gate, tokens, template, name, key=settings.key)
        server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                lifespan="off",
                ws="none",
                timeout_keep_alive=KEEP_ALIVE,
                timeout_graceful_shutdown=LAST_BYTES,
            )  # fmt: skip
        )
        task = asyncio.create_task(server.serve(sockets=[listener]))
        try:
            while not server.started and not task.done():
                await asyncio.sleep(0.01)
            host = f"[{settings.host}]" if ":" in settings.host else settings.host
            url = f"http://{host}:{listener.getsockname()[1]}"
            yield Running(url, name, served, template.plain, gate)
        finally:
            server.should_exit = True
            await task
    finally:
        listener.close()
        await engine.close()


async def serve(
    settings: Settings,
    announce: Callable[[Running], None],
    *,
    worker: Sequence[str] = WORKER,
    say: Callable[[str], None] = lambda line: None,
) -> bool:
    """Serve until SIGINT or SIGTERM, then drain; a second signal cuts that short. False: stopped before it was up."""
    up, stop, hurry = False, asyncio.Event(), asyncio.Event()
    this = asyncio.current_task()
    assert this is not None

    def on_signal() -> None:
        if not up:
            this.cancel()
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    try:
        async with serving(settings, worker=worker, say=say) as running:
            up = True
            announce(running)
            await stop.wait()
            say("stopping: no new requests; running ones are finished")
            await running.drain(settings.drain, hurry)
    except asyncio.CancelledError:
        if not stop.is_set():
            raise
        return False
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
    return True


def bind(host: str, port: int) -> socket.socket:
    """A socket at the address, so that one in use is known before a model is loaded."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (socket.gaierror, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(f"host = {host}: {reason}; give an address of this machine, such as 127.0.0.1") from None
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
    except OSError as error:
        listener.close()
        reason = (error.strerror or str(error)).lower()
        raise UserError(f"port = {port} at {host}: {reason}; give another --host or --port (0: a free one)") from None
    return listener


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are `serve`'s, which drains first

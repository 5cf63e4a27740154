"""How is the engine kept, asked and listened to? One child process that speaks lines of JSON over a socket."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import Process
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from orionlm.errors import UserError
from orionlm.sampling import Sampling

WORKER = (sys.executable, "-m", "orionlm.inference.engine.worker")
BACK_OFF = 1.0  # seconds before a dead engine is started again
STEADY = 60.0  # an engine that dies sooner after being started again stays dead
GRACE = 5.0  # seconds a worker has to end by itself

Event = dict[str, Any]


class EngineError(Exception):
    """The engine could not finish a request."""


@dataclass(frozen=True)
class Served:
    """The model that the engine says it serves."""

    model: str
    revision: str
    parameters: int
    context: int
    vocabulary: int
    end: int | None
    slots: int
    cache_tokens: int
    device: str
    flops_per_token: float


class Answer:
    """One request's events as they come. Leaving the `with` block before the end cancels what is unfinished."""

    def __init__(self, engine: EngineProcess, ids: range, samples: int) -> None:
        self.ids = ids
        self.left = samples
        self.cancelled = False
        self.began = time.perf_counter()
        self.started = False
        self._engine = engine
        self._events: list[Event] = []
        self._error: EngineError | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._only_end = False

    def __enter__(self) -> Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.cancel()

    async def next(self) -> list[Event]:
        """All events since the last call, at least one; none once the answer is over or cancelled."""
        if not self._events and not self._over:
            await self._wait()
        return self._take()

    async def rest(self) -> list[Event]:
        """All events up to the end, in one go."""
        self._only_end = True
        if not self._over:
            await self._wait()
        return self._take()

    def cancel(self) -> None:
        """Give up at once what is unfinished; who waits for it is told that it is over."""
        if not self._over:
            self.cancelled = True
            self._engine._cancel(self)
            self._wake()

    @property
    def _over(self) -> bool:
        return self.left == 0 or self.cancelled or self._error is not None

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _take(self) -> list[Event]:
        events, self._events = self._events, []
        if not events and self._error is not None:
            raise self._error
        return events

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done() and (self._over or not self._only_end):
            self._waiter.set_result(None)

    def _fail(self, line: str) -> None:
        self._error = EngineError(line)
        if self._only_end:
            self._events = []
        self._wake()


class EngineProcess:
    """The engine as a child process. It is started again once when it dies; requests in flight then fail.

    `arguments` go to the worker after `--socket FD`. `on_first` hears each request's seconds to its first event,
    `on_step` the seconds between two lines while work goes on.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        *,
        worker: Sequence[str] = WORKER,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.state = "starting"
        self.stats: dict[str, int] = {}
        self.unfinished = 0  # samples asked for and not ended
        self.on_first: Callable[[float], None] = lambda seconds: None
        self.on_step: Callable[[float], None] = lambda seconds: None
        self._worker = worker
        self._arguments = arguments
        self._say = say
        self._served: Served | None = None
        self._next_id = 0
        self._answers: dict[int, Answer] = {}
        self._ended: deque[float] = deque(maxlen=64)
        self._process: Process | None = None
        self._transport: asyncio.Transport | None = None
        self._ready: asyncio.Future[Served] | None = None
        self._revival: asyncio.Task[None] | None = None
        self._revived_at: float | None = None
        self._last_line: float | None = None

    @property
    def served(self) -> Served:
        assert self._served is not None, "the engine has not been started"
        return self._served

    async def start(self) -> Served:
        """Returns once the model is loaded. Raises UserError with the engine's own line where it cannot be."""
        ours, theirs = socket.socketpair()
        self._ready = asyncio.get_running_loop().create_future()
        try:
            transport, _ = await asyncio.get_running_loop().create_connection(lambda: _Lines(self), sock=ours)
            self._transport = transport
            self._process = await asyncio.create_subprocess_exec(
                *self._worker,
                "--socket",
                str(theirs.fileno()),
                *self._arguments,
                pass_fds=[theirs.fileno()],
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sys.stderr.fileno(),  # stdout belongs to whoever reads `--json`
                start_new_session=True,  # Ctrl-C reaches the parent alone, which decides
            )
            theirs.close()
            served = await self._ready
        except BaseException:
            theirs.close()
            await self._end_process()
            raise
        self._served, self.state = served, "ready"
        self.stats = {"cache_tokens": served.cache_tokens}
        return served

    def submit(self, prompts: Sequence[tuple[list[int], Sampling]], *, echo: bool = False) -> Answer:
        """One request of one or more prompts; an event's `id` less `ids.start` says whose it is."""
        if self.state != "ready" or self._transport is None:
            raise EngineError(f"the engine is {self.state}")
        ids = range(self._next_id, self._next_id + len(prompts))
        self._next_id = ids.stop
        answer = Answer(self, ids, sum(sampling.n for _, sampling in prompts))
        lines = []
        for number, (tokens, sampling) in zip(ids, prompts, strict=True):
            self._answers[number] = answer
            asked = {"submit": number, "prompt": tokens, "sampling": sampling.document(), "echo": echo}
            lines.append(json.dumps(asked) + "\n")
        self.unfinished += answer.left
        self._transport.write("".join(lines).encode())
        return answer

    def seconds_until(self, ended: int) -> float:
        """How long until so many more samples have ended, by the pace of the last minute; 0 where none is known."""
        now = time.monotonic()
        recent = [moment for moment in self._ended if moment > now - 60]
        return ended * (now - recent[0]) / len(recent) if recent else 0.0

    def fail_all(self, line: str) -> None:
        """End every request in flight with an error."""
        for answer in set(self._answers.values()):
            self._forget(answer)
            answer._fail(line)

    async def close(self) -> None:
        """End the worker: its socket closes, and it goes by itself or is killed."""
        self.state = "closed"
        if self._revival is not None:
            self._revival.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._revival
        self.fail_all("the server is shutting down")
        await self._end_process()

    def _cancel(self, answer: Answer) -> None:
        self._forget(answer)
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write("".join(f'{{"cancel": {number}}}\n' for number in answer.ids).encode())

    def _forget(self, answer: Answer) -> None:
        for number in answer.ids:
            self._answers.pop(number, None)
        self.unfinished -= answer.left

    def _receive(self, line: bytes) -> None:
        message = json.loads(line)
        if "events" in message:
            self._hand_out(message)
        elif self._ready is not None and not self._ready.done():
            if "failed" in message:
                self._ready.set_exception(UserError(message["failed"]))
            else:
                known = {field.name: message["ready"][field.name] for field in fields(Served)}
                self._ready.set_result(Served(**known))

    def _hand_out(self, message: dict[str, Any]) -> None:
        now = time.perf_counter()
        self.stats = message["stats"]
        touched: dict[int, Answer] = {}
        for event in message["events"]:
            answer = self._answers.get(event["id"])
            if answer is None:  # cancelled meanwhile
                continue
            touched[answer.ids.start] = answer
            answer._events.append(event)
            if event["finish"] is not None:
                answer.left -= 1
                self.unfinished -= 1
                self._ended.append(time.monotonic())
        for answer in touched.values():
            if not answer.started:
                answer.started = True
                self.on_first(now - answer.began)
            if answer.left == 0:
                self._forget(answer)
            answer._wake()
        if touched and self._last_line is not None:
            self.on_step(now - self._last_line)
        self._last_line = now if self._answers else None

    def _lost(self) -> None:
        """The socket closed, or what came over it made no sense."""
        if self.state == "closed":
            return
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(UserError("the engine ended before it was ready; its own lines say why"))
            return
        if self.state != "ready":
            return
        self.state = "restarting"
        self.stats = {}
        self.fail_all("the engine died while it worked on this request; send it again")
        self._revival = asyncio.get_running_loop().create_task(self._revive())

    async def _revive(self) -> None:
        await self._end_process()
        if self._revived_at is not None and time.monotonic() - self._revived_at < STEADY:
            self.state = "failed"
            self._say("the engine died twice in a row and stays down; its own lines say why. Start the server again")
            return
        self._say(f"the engine died; starting it again in {BACK_OFF:g} s")
        await asyncio.sleep(BACK_OFF)
        before = self.served
        try:
            after = await self.start()
        except Exception as error:
            self.state = "failed"
            self._say(f"the engine could not be started again: {error}")
            return
        if after.revision != before.revision:
            self.state = "failed"
            self._say("the checkpoint changed under the server; start the server again to serve the new one")
            await self._end_process()
            return
        self._revived_at = time.monotonic()
        self._say("the engine is back")

    async def _end_process(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if self._process is None:
            return
        process, self._process = self._process, None
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), GRACE)
                return


class _Lines(asyncio.Protocol):
    """Whole lines from the worker's socket."""

    def __init__(self, engine: EngineProcess) -> None:
        self.engine = engine
        self.parts: list[bytes] = []
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        *lines, rest = data.split(b"\n")
        if lines:
            lines[0] = b"".join([*self.parts, lines[0]])
            self.parts = []
            for line in lines:
                try:
                    self.engine._receive(line)
                except (ValueError, KeyError, TypeError):
                    self.transport.abort()
                    return
        if rest:
            self.parts.append(rest)

    def connection_lost(self, error: Exception | None) -> None:
        if self.engine._transport is self.transport:
            self.engine._lost()

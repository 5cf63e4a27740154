"""The one client for every model over HTTP: which request goes when, and what becomes of it."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount, Budget
from orionlm.inference.client.endpoint import Endpoint
from orionlm.inference.client.limiter import Limiter, backoff
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer, Usage
from orionlm.inference.client.store import Store
from orionlm.inference.client.transport import Outcome, bought, failed, send, without

LEAST_SECONDS = 1.0  # a request with less time than this would be paid for and thrown away
HOPELESS = 10  # answers in a row that say no request can succeed, before the first that did
HEARTBEAT = 1.0
GRACE_SECONDS = 30.0


@dataclass
class Tally:
    """What this client saw. `bought` came over the wire now; `stored` was there already."""

    bought: int = 0
    stored: int = 0
    failed: int = 0
    refused: int = 0
    refused_worst: Amount = field(default_factory=Amount)
    prompt_tokens: int = 0
    completion_tokens: int = 0
    calls: int = 0
    retries: int = 0
    pushed_back: int = 0
    lost: int = 0
    out_of_time: bool = False
    stopped_by: str = ""
    warning: str = ""


@dataclass(eq=False)
class _Job:
    request: Request
    future: asyncio.Future[Answer]
    body: bytes
    worst: Amount | None
    askers: int = 0
    calls: int = 0
    tries: int = 0
    first_sent: float | None = None


class Client:
    """Asks `endpoint`, over `store`, within `budget`. Nothing that the store can answer is asked again.

    `timeout`: seconds for one call; `stall`: between two pieces of its response. `tries`: calls per request; a 429
    that says when to come back counts as one only after `patience` seconds. `sequential`: one request at a time, in
    order. Failures that may pass are tried again by the next client; the others only with `retry_failed`.
    """

    def __init__(
        self,
        endpoint: Endpoint | str,
        store: Store | Path | str,
        budget: Budget | None = None,
        *,
        concurrency: int = 64,
        timeout: float = 600.0,
        stall: float = 60.0,
        tries: int = 6,
        patience: float = 900.0,
        backoff_seconds: float = 0.5,
        stream: bool = False,
        sequential: bool = False,
        retry_failed: bool = False,
    ) -> None:
        for name, value in (("concurrency", concurrency), ("timeout", timeout), ("stall", stall), ("tries", tries)):
            if not 0 < value < float("inf"):
                raise UserError(f"{name} = {value}: give a number above 0")
        self.endpoint = Endpoint.at(endpoint) if isinstance(endpoint, str) else endpoint
        self._given_store = store
        self.budget = budget or Budget()
        self.limiter = Limiter(1 if sequential else concurrency)
        self.timeout, self.stall, self.tries = timeout, stall, tries
        self.patience, self.backoff_seconds = patience, backoff_seconds
        self.stream, self.retry_failed = stream, retry_failed
        self.window = 1 if sequential else 4 * concurrency + 256
        self.tally = Tally()
        self._jobs: dict[tuple[str, int], _Job] = {}
        self._ready: deque[_Job] = deque()
        self._parked: list[_Job] = []  # would fit if calls in flight cost less than their worst
        self._later: list[tuple[float, int, _Job]] = []
        self._calls: set[asyncio.Task[None]] = set()
        self._order = itertools.count()
        self._timer: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._hopeless = 0
        self._closed = False
        self._asked, self._since, self._asking = 0.0, 0.0, 0

    async def __aenter__(self) -> Client:
        self._loop = asyncio.get_running_loop()
        self.store = self._given_store if isinstance(self._given_store, Store) else Store(self._given_store)
        self.budget.resume(self.store.spent(), self.store.seconds())
        self.store.asking_seconds = self.asking_seconds
        self._session = self.endpoint.session()
        self._heartbeat = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Calls in flight are waited for: they are paid for. After an error for GRACE_SECONDS only, and not at all
        where the block was cancelled or interrupted."""
        self._closed = True
        self._dispatch()
        if self._calls and (kind is None or issubclass(kind, Exception)):
            await asyncio.wait(self._calls, timeout=GRACE_SECONDS if kind else None)
        self.cancel()
        if self._calls:
            await asyncio.wait(self._calls)
        self._heartbeat.cancel()
        if self._timer:
            self._timer.cancel()
        await self._session.close()
        await self.store.flush()
        if not isinstance(self._given_store, Store):
            self.store.close()

    async def answer(self, request: Request) -> Answer:
        """The answer, a failure, or a refusal; what is returned is on disk."""
        stored = self._stored(request)
        if stored:
            return stored
        with self._asks():
            job = self._submit(request)
            try:
                return await asyncio.shield(job.future)
            finally:
                job.askers -= 1

    async def ask(self, requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncIterator[tuple[Request, Answer]]:
        """(request, answer) as they are committed. Requests are taken as there is room for them; those that wait when
        the asker leaves are not sent."""
        done: asyncio.Queue[tuple[Request, _Job]] = asyncio.Queue()
        waiting: list[_Job] = []

        def hand_on(request: Request, job: _Job, _: object) -> None:
            done.put_nowait((request, job))

        async def next_done() -> tuple[Request, Answer]:
            request, job = await done.get()
            waiting.remove(job)
            job.askers -= 1
            return request, job.future.result()

        with self._asks():
            try:
                async for request in _stream(requests):
                    stored = self._stored(request)
                    if stored:
                        yield request, stored
                    else:
                        job = self._submit(request)
                        waiting.append(job)
                        job.future.add_done_callback(partial(hand_on, request, job))
                    while len(waiting) >= self.window or not done.empty():
                        yield await next_done()
                while waiting:
                    yield await next_done()
            finally:
                for job in waiting:
                    job.askers -= 1

    def stop(self, reason: str) -> None:
        """Issue nothing more; what is in flight goes on."""
        self.tally.stopped_by = self.tally.stopped_by or reason
        self._refuse_waiting(f"not asked: {reason}")

    def cancel(self) -> None:
        """Give up what is in flight; it may have been billed, and stays spent."""
        for call in self._calls:
            call.cancel()

    @property
    def in_flight(self) -> int:
        return len(self._calls)

    @property
    def waiting_seconds(self) -> float:
        """Until the server said it would listen again."""
        return max(0.0, self.limiter.paused_until - self._loop.time())

    def asking_seconds(self) -> float:
        """Seconds during which this client had something to ask."""
        return self._asked + (self._loop.time() - self._since if self._asking else 0.0)

    @contextmanager
    def _asks(self) -> Iterator[None]:
        if not self._asking:
            self._since = self._loop.time()
        self._asking += 1
        try:
            yield
        finally:
            if self._asking == 1:
                self._asked = self.asking_seconds()
            self._asking -= 1

    async def _beat(self) -> None:
        """Time that is asked through is on disk within a second, even while nothing comes back."""
        while True:
            await asyncio.sleep(HEARTBEAT)
            if self._calls and not self.store.failure:
                self.store.write([])

    def _stored(self, request: Request) -> Answer | None:
        found = self.store.standing(request, self.retry_failed)
        if found and found.session != self.store.session:
            self.tally.stored += found.ok
            self.tally.failed += not found.ok
        return found

    def _submit(self, request: Request) -> _Job:
        """Requests with one address share one purchase."""
        name = (request.key, request.max_tokens)
        job = self._jobs.get(name)
        if job is None:
            body = json.dumps(request.body(self.stream, self.endpoint.limit_name), ensure_ascii=False).encode()
            job = _Job(request, self._loop.create_future(), body, self.budget.worst(request))
            self._jobs[name] = job
            job.askers = 1
            self._ready.append(job)
            self._dispatch()
        else:
            job.askers += 1
        return job

    # Which request goes when

    def _dispatch(self) -> None:
        """Start what may start now, and come back when more may."""
        now = self._loop.time()
        if self._failure:
            self._fail_waiting(self._failure)
        elif self.tally.stopped_by or self._closed:
            self._refuse_waiting(f"not asked: {self.tally.stopped_by or 'the client was closed'}")
        seconds = self.budget.seconds_left(self.asking_seconds())
        if seconds < LEAST_SECONDS:
            self.tally.out_of_time = self.tally.out_of_time or bool(self._ready or self._later or self._parked)
            self._refuse_waiting("not asked: the budget in seconds is used up")
        while self._later and self._later[0][0] <= now:
            self._ready.append(heapq.heappop(self._later)[2])
        while self._ready and len(self._calls) < self.limiter.limit and now >= self.limiter.paused_until:
            job = self._ready.popleft()
            if not job.askers:
                self._resolve(job, self._refusal(job, "not asked: nobody waits for it any more"))
            elif job.worst is None:
                self._resolve(job, self._refusal(job, "not asked: a message holds more than text; count its tokens"))
            elif self.budget.reserve(job.worst):
                call = asyncio.create_task(self._call(job, job.worst, min(self.timeout, seconds)))
                self._calls.add(call)
                call.add_done_callback(self._called)
            else:
                self._parked.append(job)
        if self._parked and not self._calls:  # nothing can come back into the budget any more
            parked, self._parked = self._parked, []
            for job in parked:
                self._resolve(job, self._refusal(job, "not asked: the budget does not cover it"))
        self._set_timer(now, seconds)

    def _set_timer(self, now: float, seconds: float) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        times = [self._later[0][0]] if self._later else []
        if self._ready and self.limiter.paused_until > now:
            times.append(self.limiter.paused_until)
        if (self._ready or self._later) and seconds != float("inf"):
            times.append(now + max(0.0, seconds - LEAST_SECONDS) + 0.01)
        if times:
            self._timer = self._loop.call_at(min(times), self._dispatch)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        if not call.cancelled() and (error := call.exception()):
            self._failure = self._failure or error
        self._ready.extendleft(reversed(self._parked))
        self._parked.clear()
        self._dispatch()

    def _waiting(self) -> list[_Job]:
        jobs = [*self._ready, *self._parked, *(job for _, _, job in sorted(self._later, key=lambda item: item[:2]))]
        self._ready.clear()
        self._parked.clear()
        self._later.clear()
        return jobs

    def _refuse_waiting(self, reason: str) -> None:
        for job in self._waiting():
            self._resolve(job, self._refusal(job, reason))

    def _fail_waiting(self, error: BaseException) -> None:
        for job in self._waiting():
            self._break(job, error)

    def _refusal(self, job: _Job, reason: str) -> Answer:
        self.tally.refused += 1
        self.tally.refused_worst += job.worst or Amount()
        return Answer(job.request.key, job.request.max_tokens, error=reason, attempts=job.calls, refused=True)

    def _resolve(self, job: _Job, answer: Answer) -> None:
        self._jobs.pop((job.request.key, job.request.max_tokens), None)
        if not job.future.done():
            job.future.set_result(answer)

    def _break(self, job: _Job, error: BaseException) -> None:
        self._jobs.pop((job.request.key, job.request.max_tokens), None)
        if not job.future.done():
            job.future.set_exception(error)
            job.future.exception()  # where nobody waits for it, `_failure` tells

    # What becomes of it

    async def _call(self, job: _Job, reserved: Amount, timeout: float) -> None:
        call = self.store.next_call()
        began = self._loop.time()
        job.first_sent = job.first_sent or began
        sent = accounted = False
        try:
            await self.store.reserve(call, job.request, reserved)
            sent = True
            self.tally.calls += 1
            url = self.endpoint.url + job.request.path
            outcome = await send(self._session, url, job.body, self.endpoint.headers, timeout, self.stall)
            job.calls += 1
            accounted = True
            if outcome.said:
                await self._bought(job, call, reserved, outcome)
            else:
                await self._not_bought(job, call, reserved, outcome, began)
        except BaseException as error:
            if not accounted and sent:
                self.budget.lose(reserved)
                self.tally.lost += 1
                self.store.lose(call)
            elif not accounted:
                self.budget.release(reserved)
                self.store.release(call)
            if isinstance(error, asyncio.CancelledError):
                self._resolve(job, self._refusal(job, "given up in flight"))
            else:
                self._break(job, error)
            raise

    async def _bought(self, job: _Job, call: int, reserved: Amount, outcome: Outcome) -> None:
        said, request = outcome.said, job.request
        assert said is not None
        usage = said.usage
        actual = self.budget.tariff.cost(request.model, usage) if usage else reserved
        covered = self.budget.settle(reserved, actual)
        answer = bought(self._row(job), outcome, actual, self.budget.tariff, self.endpoint.key)
        if usage and not covered:
            self._overrun(request, usage)
        await self.store.settle(call, actual, answer)
        self._hopeless = -1
        self.limiter.succeeded()
        self.tally.bought += 1
        self.tally.prompt_tokens += answer.prompt_tokens or 0
        self.tally.completion_tokens += answer.completion_tokens or 0
        self._resolve(job, answer)

    def _overrun(self, request: Request, usage: Usage) -> None:
        line = (
            f"the server billed {usage.prompt_tokens} + {usage.completion_tokens} tokens where at most "
            f"{request.most_prompt_tokens} + {request.max_tokens} could be"
        )
        self.tally.warning = line
        if self.budget.counted:
            self.stop(f"{line}: the budget cannot be held with it")

    async def _not_bought(self, job: _Job, call: int, reserved: Amount, outcome: Outcome, began: float) -> None:
        now = self._loop.time()
        if outcome.billed:
            self.budget.lose(reserved)
            self.tally.lost += 1
        else:
            self.budget.release(reserved)
        account = self.store.lose if outcome.billed else self.store.release
        if outcome.pushed_back:
            self.tally.pushed_back += 1
            self.limiter.pushed_back(began, now, outcome.wait if outcome.status == 429 and outcome.retry else None)
        asked_to_wait = outcome.status == 429 and outcome.wait is not None
        if not asked_to_wait or now - (job.first_sent or began) > self.patience:
            job.tries += 1
        if outcome.retry and job.tries < self.tries and not self.tally.stopped_by and not self._closed:
            await account(call)
            self.tally.retries += 1
            # The server's word is the least; what is added spreads those who were told the same.
            wait = backoff(max(job.tries, 1), self.backoff_seconds) + (outcome.wait or 0.0)
            heapq.heappush(self._later, (now + wait, next(self._order), job))
            return
        if outcome.hopeless and self._hopeless >= 0:
            self._hopeless += 1
            if self._hopeless == HOPELESS:
                self.stop(f"{HOPELESS} answers in a row: {without(self.endpoint.key, outcome.error)}")
        failure = failed(self._row(job), outcome, self.endpoint.key)
        await account(call, failure)
        self.tally.failed += 1
        self._resolve(job, failure)

    def _row(self, job: _Job) -> Answer:
        request = job.request
        return Answer(
            request.key,
            request.max_tokens,
            attempts=job.calls,
            model=request.model,
            revision=request.revision,
            session=self.store.session,
        )


async def _stream(requests: Iterable[Request] | AsyncIterable[Request]) -> AsyncIterator[Request]:
    if isinstance(requests, AsyncIterable):
        async for request in requests:
            yield request
        return
    for number, request in enumerate(requests):
        if number % 64 == 0:
            await asyncio.sleep(0)  # answers that come in are looked at, too, while the store serves all requests
        yield request


def ask(
    endpoint: Endpoint | str,
    requests: Iterable[Request],
    store: Path | str,
    budget: Budget | None = None,
    **options: Any,
) -> list[Answer]:
    """The answers to `requests`, in their order, without asyncio. Options as for Client."""

    async def all_of_them() -> list[Answer]:
        wanted = list(requests)
        answers: dict[tuple[str, int], Answer] = {}
        async with Client(endpoint, store, budget, **options) as client:
            async for request, answer in client.ask(wanted):
                answers[request.key, request.max_tokens] = answer
        return [answers[request.key, request.max_tokens] for request in wanted]

    return asyncio.run(all_of_them())

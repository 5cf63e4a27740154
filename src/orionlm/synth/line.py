"""What happens when a teacher goes away? One client over one store, opened anew when the teacher is back.

What it said is on disk before anyone sees it, and never bought again. It is waited for; where that is in vain, the work
ends with one line, and goes on where it was when it is run again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionlm.errors import UserError
from orionlm.inference.client.budget import Budget
from orionlm.inference.client.client import Client, Tally
from orionlm.inference.client.endpoint import Endpoint, Model
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer
from orionlm.inference.client.store import Store
from orionlm.progress import Progress, duration

if TYPE_CHECKING:
    from orionlm.synth.teachers import TeacherSettings

OWN_PATIENCE = 10.0  # a server that we started and that is gone does not come back
LONGEST_PAUSE = 30.0
VAIN = 3  # times that a teacher who is there does not answer a request
UNREACHABLE = "no connection"


class Line:
    """A client over a store, opened when it is first asked, and opened anew after each outage: what failed meanwhile
    may then be asked again."""

    def __init__(
        self,
        name: str,
        endpoint: Endpoint,
        model: Model,
        folder: Path,
        budget: Budget,
        settings: TeacherSettings,
        progress: Progress,
    ) -> None:
        self.name, self.endpoint, self.model, self.folder = name, endpoint, model, folder
        self.budget, self.settings, self.progress = budget, settings, progress
        self.own = settings.checkpoint is not None
        self.patience = OWN_PATIENCE if self.own else settings.patience
        self.tallies: list[Tally] = []
        self._client: Client | None = None
        self._store: Store | None = None
        self._lock = asyncio.Lock()
        self._good = 0
        self._away_since: float | None = None
        self._given_up: UserError | None = None

    async def answer(self, request: Request) -> Answer:
        """An answer, or a failure that is this request's own: where others are answered, or the teacher is there and
        still does not answer it. Waits through outages."""
        vain = 0
        while True:
            client = await self._open()
            before = self._good
            answer = await client.answer(request)
            if answer.ok:
                self._good += 1
                self._away_since = None
                return answer
            if client is not self._client:  # closed by an outage that another request met
                continue
            if answer.refused:
                raise self._refused(client)
            why = answer.error or ""
            if not _gone(answer) or (vain >= VAIN and not why.startswith(UNREACHABLE)):
                return answer
            # That others were answered meanwhile says little: they may have been just before the teacher went away.
            answers = self._good > before and not why.startswith(UNREACHABLE) and await self._there()
            if answers and client is self._client:
                return answer
            vain += await self._wait(client, why)

    async def _there(self) -> bool:
        try:
            await self.endpoint.models()
        except UserError:
            return False
        return True

    async def _open(self) -> Client:
        async with self._lock:
            if self._given_up:
                raise self._given_up
            if self._client is None:
                self._store = Store(self.folder)
                client = Client(
                    self.endpoint, self._store, self.budget, concurrency=self.settings.concurrency,
                    timeout=self.settings.timeout, tries=self.settings.tries,
                )  # fmt: skip
                self._client = await client.__aenter__()
                self.tallies.append(client.tally)
            return self._client

    async def _wait(self, client: Client, why: str) -> bool:
        """Return when the teacher may be back: whether it surely is. UserError when patience is over."""
        async with self._lock:
            if client is not self._client:
                return False
            self._client = None
            await client.__aexit__(None, None, None)
            assert self._store
            self._store.close()
            loop = asyncio.get_running_loop()
            if self._away_since is None:
                self._away_since = loop.time()
                self.progress.say(
                    f"teacher {self.name} is away ({why}); waiting up to {duration(self.patience)}, "
                    "what was answered is kept"
                )
            pause = 0.5
            while True:
                left = self._away_since + self.patience - loop.time()
                if left <= 0:
                    self._given_up = UserError(
                        f"teacher {self.name}: away for {duration(self.patience)} ({why}); run this again when it is "
                        "back: it goes on where it was, what was answered is kept"
                    )
                    raise self._given_up
                await asyncio.sleep(min(pause, left))
                pause = min(2 * pause, LONGEST_PAUSE)
                try:
                    names = [model.name for model in await self.endpoint.models()]
                except UserError as error:
                    why = str(error)
                    continue
                if not names or self.model.name in names:
                    return bool(names)
                why = f"there are {', '.join(names[:5])}"

    def _refused(self, client: Client) -> UserError:
        words = self.budget.would_cover(client.tally.refused_worst)
        if client.tally.stopped_by or not words:
            return UserError(
                f"teacher {self.name}: {client.tally.stopped_by or 'it was asked no more'}; what was answered is kept"
            )
        return UserError(
            f"teacher {self.name}: its budget does not cover what is left to ask; a limit of {' and '.join(words)} "
            "covers the requests that wait now; what was answered is kept"
        )

    @property
    def flops_kind(self) -> str:
        """How surely its FLOPs are known."""
        return "unknown" if not self.model.flops_per_token else "counted" if self.own else "estimated"

    async def close(self, kind: type[BaseException] | None, record: Callable[..., None]) -> None:
        if self._client:
            await self._client.__aexit__(kind, None, None)
        elif self._store is None:
            return
        else:
            self._store = Store(self.folder)  # it was let go of in an outage
        assert self._store
        try:
            await self._store.flush()
            price = self.budget.tariff.price(self.model.name)
            sessions = self._store.unrecorded()
            for session in sessions:
                dollars: dict[str, Any] = {} if self.own else {"dollars": None}
                if price:
                    dollars = {"dollars": session.spent.nanodollars / 1e9, "dollars_source": price.origin}
                record(
                    device="cpu" if self.own else "http", flops=float(session.spent.flops), flops_kind=self.flops_kind,
                    tokens=session.spent.tokens, seconds=session.seconds, **dollars,
                )  # fmt: skip
            if sessions:
                await self._store.recorded(sessions)
        finally:
            self._store.close()


def _gone(answer: Answer) -> bool:
    """Whether the failure may be about the teacher, or what stands before it, and not about one request."""
    return answer.status in (0, 429, 502, 503, 504) and not answer.permanent

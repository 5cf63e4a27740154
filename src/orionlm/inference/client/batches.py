"""How is the same asked as a provider's batch files? In steps, none of which a kill repeats."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from orionlm.artifact import fsync
from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount, Budget
from orionlm.inference.client.client import Tally
from orionlm.inference.client.endpoint import Endpoint
from orionlm.inference.client.limiter import backoff
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer, error_line
from orionlm.inference.client.store import Statement, Store
from orionlm.inference.client.transport import Outcome, bought, failed, judge, without

MOST_ROWS = 50_000
MOST_BYTES = 200_000_000
MARK = "orion_file"  # the metadata under which a batch says which of our files it is
IMPORTED_AT_ONCE = 500
_ENDED = ("completed", "failed", "expired", "cancelled")


class _Again(Exception):
    """Something that may pass."""


class Batches:
    """The transport of batch files over the same store and budget as the client's.

    A file is written, then reserved as a whole; then uploaded, made a batch, waited for and read into the store. Each
    step is committed when it is done, and begins by asking the provider whether it already was.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        store: Store,
        budget: Budget,
        *,
        rows: int = MOST_ROWS,
        size: int = MOST_BYTES,
        poll_seconds: float = 30.0,
        tries: int = 8,
        backoff_seconds: float = 1.0,
        retry_failed: bool = False,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        if budget.limits.seconds is not None:
            raise UserError(
                "a budget in seconds does not hold for batch files, which the provider answers when it likes"
            )
        self.endpoint, self.store, self.budget = endpoint, store, budget
        self.rows, self.size = rows, size
        self.poll_seconds, self.tries, self.backoff_seconds = poll_seconds, tries, backoff_seconds
        self.retry_failed, self.say = retry_failed, say
        self.tally = Tally()
        self.directory = store.directory / "batches"
        budget.resume(store.spent(), 0.0)

    async def run(self, requests: Iterable[Request]) -> Tally:
        """Buy what the store cannot answer; return when every batch has ended and is in the store."""
        self.directory.mkdir(exist_ok=True)
        self._clear()
        async with self.endpoint.session() as self._session:
            await self._send_all()
            files: dict[str, _File] = {}
            for request in requests:
                if self._to_buy(request, files):
                    await self._add(request, files)
            for file in files.values():
                await self._plan(file)
            await self._send_all()
            await self._fetch_all()
        return self.tally

    # What goes into which file

    def _to_buy(self, request: Request, files: dict[str, _File]) -> bool:
        stored = self.store.standing(request, self.retry_failed)
        if stored:
            self.tally.stored += stored.ok
            self.tally.failed += not stored.ok
            return False
        file = files.get(request.path)
        if file and file.limits.get(request.key) == request.max_tokens:
            return False
        under_way = "SELECT 1 FROM calls WHERE batch > 0 AND key = ? AND max_tokens = ? AND state = 'reserved'"
        return not self.store.rows(under_way, request.key, request.max_tokens)

    async def _add(self, request: Request, files: dict[str, _File]) -> None:
        amount = self.budget.worst(request, batch=True)
        if amount is None or not self.budget.reserve(amount):
            self.tally.refused += 1
            self.tally.refused_worst += amount or Amount()
            return
        line = {
            "custom_id": request.key,
            "method": "POST",
            "url": "/v1" + request.path,
            "body": request.body(limit_name=self.endpoint.limit_name),
        }
        text = json.dumps(line, ensure_ascii=False).encode() + b"\n"
        file = files.get(request.path)
        if file and (request.key in file.limits or not file.room(len(text), self.rows, self.size)):
            await self._plan(files.pop(request.path))
            file = None
        if file is None:
            file = files[request.path] = _File(self.directory / f"{request.path.count('/')}.unplanned", request.path)
        file.add(request, amount, text)

    async def _plan(self, file: _File) -> None:
        """The file and the reservation of all its rows are on disk before anything is uploaded."""
        # The digest tells the file, the rest this attempt at it: an earlier one may have failed.
        mark = f"{file.close()[:40]}-{secrets.token_hex(8)}"
        path = self.directory / f"orion-{mark}.jsonl"
        os.replace(file.path, path)
        fsync(self.directory)
        number = 1 + self.store.rows("SELECT ifnull(max(id), 0) FROM batches")[0][0]
        statements: list[Statement] = [
            ("INSERT INTO batches VALUES (?, ?, ?, ?, 'planned', NULL, NULL)",
             (number, mark, "/v1" + file.endpoint, path.name))
        ]  # fmt: skip
        for request, amount in file.requests:
            statements += self.store.reservation(self.store.next_call(), request, amount, number)
        await self.store.write(statements, spends=True)
        self.tally.calls += len(file.requests)

    def _clear(self) -> None:
        """Files that a kill left before they were planned: nothing was reserved for them, nothing sent."""
        planned = {name for (name,) in self.store.rows("SELECT path FROM batches WHERE state <> 'done'")}
        for path in self.directory.iterdir():
            if path.name not in planned:
                path.unlink()

    # Upload, create

    async def _send_all(self) -> None:
        for number, mark, endpoint, name, state, file in self.store.rows(
            "SELECT id, mark, endpoint, path, state, file FROM batches WHERE state IN ('planned', 'uploaded')"
        ):
            if state == "planned":
                file = await self._find_or_make(lambda: self._uploaded(name), lambda: self._upload(name))  # noqa: B023
                await self._set(number, "state = 'uploaded', file = ?", file)
            batch = await self._find_or_make(
                lambda: self._created(mark),  # noqa: B023
                lambda: self._create(file, endpoint, mark),  # noqa: B023
            )
            await self._set(number, "state = 'created', batch = ?", batch)
            self.say(f"batch {batch} is under way")

    async def _find_or_make(self, find: Callable[[], Awaitable[str | None]], make: Callable[[], Awaitable[str]]) -> str:
        """What an earlier attempt made and could not tell counts as made."""
        for attempt in range(1, self.tries + 1):
            try:
                return await find() or await make()
            except _Again as problem:
                if attempt == self.tries:
                    raise UserError(f"{self.endpoint.url}: {problem}; run it again to go on") from None
                await asyncio.sleep(backoff(attempt, self.backoff_seconds))
        raise AssertionError

    async def _uploaded(self, name: str) -> str | None:
        return await self._find("/files?purpose=batch&limit=100", lambda file: file.get("filename") == name)

    async def _created(self, mark: str) -> str | None:
        return await self._find("/batches?limit=100", lambda batch: (batch.get("metadata") or {}).get(MARK) == mark)

    async def _find(self, path: str, wanted: Callable[[dict[str, Any]], bool]) -> str | None:
        after = ""
        while True:
            page = await self._json("GET", path + after)
            rows = page.get("data")
            if not isinstance(rows, list):
                raise UserError(f"{self.endpoint.url}{path}: no list; does this server take batch files?")
            for row in rows:
                if isinstance(row, dict) and wanted(row):
                    return str(row["id"])
            if not page.get("has_more") or not rows:
                return None
            after = f"&after={rows[-1]['id']}"

    async def _upload(self, name: str) -> str:
        with open(self.directory / name, "rb") as file:
            form = aiohttp.FormData()
            form.add_field("purpose", "batch")
            form.add_field("file", file, filename=name, content_type="application/jsonl")
            return str((await self._json("POST", "/files", data=form))["id"])

    async def _create(self, file: str, endpoint: str, mark: str) -> str:
        body = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h", "metadata": {MARK: mark}}
        return str((await self._json("POST", "/batches", json=body))["id"])

    async def _set(self, number: int, what: str, value: str) -> None:
        await self.store.write([(f"UPDATE batches SET {what} WHERE id = ?", (value, number))])

    # Wait, fetch

    async def _fetch_all(self) -> None:
        misses = 0
        while waiting := self.store.rows("SELECT id, batch FROM batches WHERE state = 'created'"):
            for number, batch in waiting:
                try:
                    document = await self._json("GET", f"/batches/{batch}")
                    if document.get("status") in _ENDED:
                        await self._import(number, document)
                        continue
                    counts = document.get("request_counts") or {}
                    self.say(
                        f"batch {batch}: {document.get('status')}, {counts.get('completed', 0)} of "
                        f"{counts.get('total', 0)} answered"
                    )
                    misses = 0
                except _Again as problem:
                    misses += 1
                    if misses >= self.tries:
                        raise UserError(f"{self.endpoint.url}: {problem}; run it again to go on") from None
            if self.store.rows("SELECT 1 FROM batches WHERE state = 'created' LIMIT 1"):
                await asyncio.sleep(self.poll_seconds)

    async def _import(self, number: int, document: dict[str, Any]) -> None:
        status = document["status"]
        for kind in ("output", "error"):
            name = document.get(f"{kind}_file_id")
            if isinstance(name, str) and name:
                path = self.directory / f"{number}-{kind}.fetched"
                await self._download(name, path)
                await self._read(number, path)
        # What neither file names: an ended batch that says it is complete may have billed it; others did not.
        said = error_line({"error": (((document.get("errors") or {}).get("data")) or [None])[0]})
        reason = f"batch {status}" + (f": {said}" if said else "")
        missing = Outcome(error=f"{reason}; the row is missing from its results", billed=status == "completed")
        while rows := self.store.rows("SELECT key FROM calls WHERE batch = ? AND state = 'reserved' LIMIT 500", number):
            await asyncio.gather(*(self._settle(number, key, missing) for (key,) in rows))
        path = self.store.rows("SELECT path FROM batches WHERE id = ?", number)[0][0]
        await self.store.write([("UPDATE batches SET state = 'done' WHERE id = ?", (number,))])
        for leftover in (path, f"{number}-output.fetched", f"{number}-error.fetched"):
            (self.directory / leftover).unlink(missing_ok=True)

    async def _download(self, name: str, path: Path) -> None:
        async with self._request("GET", f"/files/{name}/content") as response:
            if response.status != 200:
                raise _Again(f"result file {name}: HTTP {response.status}")
            with open(path, "wb") as file:
                async for piece in response.content.iter_chunked(1 << 20):
                    file.write(piece)

    async def _read(self, number: int, path: Path) -> None:
        with open(path, "rb") as file:
            group: dict[str, Outcome] = {}
            for line in file:
                try:
                    row = json.loads(line)
                    group[str(row["custom_id"])] = _outcome(row)
                except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
                    continue  # its row will be missing, and is told as such
                if len(group) == IMPORTED_AT_ONCE:
                    await asyncio.gather(*(self._settle(number, key, outcome) for key, outcome in group.items()))
                    group = {}
            await asyncio.gather(*(self._settle(number, key, outcome) for key, outcome in group.items()))

    async def _settle(self, number: int, key: str, outcome: Outcome) -> None:
        rows = self.store.rows(
            "SELECT id, max_tokens, tokens, nanodollars, flops, document FROM calls JOIN requests USING (key) "
            "WHERE batch = ? AND key = ? AND state = 'reserved'",
            number, key,
        )  # fmt: skip
        if not rows:
            return  # imported before a kill, or none of ours
        call, max_tokens, tokens, nanodollars, flops, text = rows[0]
        reserved, asked = Amount(tokens, nanodollars, int(flops)), json.loads(text)
        model = asked["model"]
        row = Answer(key, max_tokens, attempts=1, model=model, revision=asked["revision"])
        if outcome.said is None:
            failure = failed(row, outcome, self.endpoint.key)
            self.tally.failed += 1
            self.tally.lost += outcome.billed
            (self.budget.lose if outcome.billed else self.budget.release)(reserved)
            await (self.store.lose if outcome.billed else self.store.release)(call, failure)
            return
        usage = outcome.said.usage
        actual = self.budget.tariff.cost(model, usage, batch=True) if usage else reserved
        if not self.budget.settle(reserved, actual):
            self.tally.warning = "the provider billed more tokens for a row than could be"
        self.tally.bought += 1
        if usage:
            self.tally.prompt_tokens += usage.prompt_tokens
            self.tally.completion_tokens += usage.completion_tokens
        await self.store.settle(call, actual, bought(row, outcome, actual, self.budget.tariff, self.endpoint.key))

    # HTTP

    @asynccontextmanager
    async def _request(self, method: str, path: str, **content: Any) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: value for name, value in self.endpoint.headers.items() if name != "Content-Type"}
        timeout = aiohttp.ClientTimeout(total=3600, sock_connect=30, sock_read=300)
        try:
            async with self._session.request(
                method, self.endpoint.url + path, headers=headers, timeout=timeout, allow_redirects=False, **content
            ) as response:
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
            raise _Again(f"no connection ({type(error).__name__})") from None

    async def _json(self, method: str, path: str, **content: Any) -> dict[str, Any]:
        async with self._request(method, path, **content) as response:
            status, body = response.status, await response.read()
        try:
            document = json.loads(body)
        except ValueError:
            document = None
        if status == 200 and isinstance(document, dict):
            return document
        if status in (200, 408, 409, 429) or status >= 500:
            raise _Again(f"HTTP {status}" if status != 200 else "an answer that is no JSON object")
        said = without(self.endpoint.key, error_line(document)) or "does this server take batch files?"
        raise UserError(f"{self.endpoint.url}{path.partition('?')[0]}: HTTP {status}: {said}")


class _File:
    """A file being filled."""

    def __init__(self, path: Path, endpoint: str) -> None:
        self.path, self.endpoint = path, endpoint
        self.limits: dict[str, int] = {}
        self.requests: list[tuple[Request, Amount]] = []
        self._bytes = 0
        self._digest = hashlib.sha256()
        self._file = open(path, "wb")  # noqa: SIM115

    def room(self, size: int, rows: int, most: int) -> bool:
        return len(self.requests) < rows and self._bytes + size <= most

    def add(self, request: Request, amount: Amount, text: bytes) -> None:
        self._file.write(text)
        self._digest.update(text)
        self._bytes += len(text)
        self.limits[request.key] = request.max_tokens
        self.requests.append((request, amount))

    def close(self) -> str:
        """Durable; returns the digest."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        return self._digest.hexdigest()


def _outcome(row: dict[str, Any]) -> Outcome:
    """What one line of a result file says."""
    response, error = row.get("response"), row.get("error")
    if isinstance(response, dict) and isinstance(response.get("status_code"), int):
        return judge(response["status_code"], {}, json.dumps(response.get("body"), ensure_ascii=False).encode())
    said = error_line({"error": error}) or "no response"
    return Outcome(json.dumps(row, ensure_ascii=False).encode(), error=f"batch: {said}")

"""What was asked, answered and spent, durably: one SQLite file that nothing sees a response before."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer

FILE = "requests.sqlite"
SCHEMA = 1
APPLICATION = 0x4F52494E  # "ORIN": tells our files from other programs'
BALLAST = 8 << 20  # bytes given up on a full disk, so that the responses on their way can still be kept
LARGEST_GROUP = 1000
EXCERPT = 2000

_TABLES = """
CREATE TABLE requests (key TEXT PRIMARY KEY, document TEXT NOT NULL);
CREATE TABLE answers (
    key TEXT NOT NULL, max_tokens INTEGER NOT NULL, response BLOB, finish TEXT,
    error TEXT, status INTEGER NOT NULL, permanent INTEGER NOT NULL, excerpt TEXT NOT NULL, attempts INTEGER NOT NULL,
    prompt_tokens INTEGER, completion_tokens INTEGER, nanodollars INTEGER, flops REAL,
    model TEXT NOT NULL, revision TEXT NOT NULL, session INTEGER NOT NULL, time TEXT NOT NULL,
    PRIMARY KEY (key, max_tokens)
);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, max_tokens INTEGER NOT NULL, session INTEGER NOT NULL, batch INTEGER,
    state TEXT NOT NULL CHECK (state IN ('reserved', 'settled', 'lost', 'orphaned')),
    tokens INTEGER NOT NULL, nanodollars INTEGER NOT NULL, flops REAL NOT NULL
);
CREATE INDEX calls_reserved ON calls (key, batch) WHERE state = 'reserved';
CREATE TABLE sessions (id INTEGER PRIMARY KEY, began TEXT NOT NULL, seconds REAL NOT NULL, recorded INTEGER NOT NULL);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, mark TEXT NOT NULL UNIQUE, endpoint TEXT NOT NULL, path TEXT NOT NULL,
    state TEXT NOT NULL, file TEXT, batch TEXT
);
"""
_ANSWER = (
    "key, max_tokens, response, finish, error, status, permanent, excerpt, attempts, prompt_tokens, "
    "completion_tokens, nanodollars, flops, model, revision, session"
)
_FIND = f"""SELECT {_ANSWER} FROM answers
    WHERE key = ?1 AND (CASE WHEN response IS NULL THEN max_tokens = ?2 ELSE finish <> 'length' OR max_tokens >= ?2 END)
    ORDER BY response IS NULL, max_tokens < ?2, max_tokens LIMIT 1"""
_PUT = f"INSERT OR REPLACE INTO answers ({_ANSWER}, time) VALUES ({', '.join('?' * 17)})"

Statement = tuple[str, tuple[Any, ...]]


@dataclass(frozen=True)
class Session:
    """What one run of a client spent; `seconds` of asking."""

    id: int
    spent: Amount
    seconds: float


class Store:
    """The request store in `directory`; this process holds it alone.

    A call is reserved before it is sent, and settled, released or lost after; each of these returns when it is on
    disk. Calls that a killed process left reserved are orphaned: what they may have cost stays spent.
    """

    def __init__(self, directory: Path | str) -> None:
        self.directory = Path(directory)
        self.path = self.directory / FILE
        self.asking_seconds: Callable[[], float] = lambda: 0.0
        self.orphaned = 0
        self.failure: BaseException | None = None
        self._queue: queue.SimpleQueue[tuple[list[Statement], asyncio.Future[None] | None] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._lock = _hold(self.directory)
        try:
            self._open()
        except BaseException:
            os.close(self._lock)
            raise

    def _open(self) -> None:
        try:
            self._connection = _connect(self.path)
            self._reader = _connect(self.path)
            self.orphaned = self._connection.execute(
                "UPDATE calls SET state = 'orphaned' WHERE state = 'reserved' AND batch IS NULL"
            ).rowcount
            self.session: int = self._value("SELECT ifnull(max(id), 0) + 1 FROM sessions")
            self._next_call: int = self._value("SELECT ifnull(max(id), 0) + 1 FROM calls")
            ballast = self.directory / "ballast"
            if not ballast.exists() or ballast.stat().st_size < BALLAST:
                with open(ballast, "wb") as file:
                    file.write(bytes(BALLAST))
        except (sqlite3.Error, OSError) as error:
            raise _explained(error, self.path) from error

    def close(self) -> None:
        """Commit what waits, and let go of the store."""
        if self._lock < 0:
            return
        if self._writer:
            self._queue.put(None)
            self._writer.join()
        self._connection.close()
        self._reader.close()
        os.ftruncate(self._lock, 0)
        os.close(self._lock)
        self._lock = -1

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # What is there

    def find(self, request: Request) -> Answer | None:
        """An answer that serves `request`, whatever limit it was bought under: one that ended by itself, or was cut no
        earlier than `request` would be. Else the failure that stands for it."""
        try:
            row = self._reader.execute(_FIND, (request.key, request.max_tokens)).fetchone()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error
        return _answer(row) if row else None

    def standing(self, request: Request, retry_failed: bool = False) -> Answer | None:
        """What keeps `request` from being asked now: an answer that serves, a failure of this session, or one that no
        new try would mend (unless `retry_failed`)."""
        found = self.find(request)
        if found is None or found.ok or found.session == self.session or (found.permanent and not retry_failed):
            return found
        return None

    def spent(self) -> Amount:
        """All that was ever spent or is reserved."""
        tokens, nanodollars, flops = self.rows(
            "SELECT ifnull(sum(tokens), 0), ifnull(sum(nanodollars), 0), ifnull(sum(flops), 0) FROM calls"
        )[0]
        return Amount(tokens, nanodollars, int(flops))

    def seconds(self) -> float:
        """Of asking, in all sessions that ended or were killed."""
        return self._value("SELECT ifnull(sum(seconds), 0) FROM sessions WHERE id < ?", self.session)

    def seconds_in_all(self) -> float:
        """With this session's."""
        return self.seconds() + self.asking_seconds()

    def unrecorded(self) -> list[Session]:
        """Sessions that no ledger has yet, this one included if it asked for anything; but not while a batch of theirs
        is under way."""
        found = []
        open_still = "SELECT 1 FROM calls WHERE calls.session = sessions.id AND state = 'reserved'"
        for session, seconds in self.rows(
            f"SELECT id, seconds FROM sessions WHERE NOT recorded AND NOT EXISTS ({open_still})"
        ):
            sums = "SELECT ifnull(sum(tokens), 0), ifnull(sum(nanodollars), 0), ifnull(sum(flops), 0) FROM calls "
            tokens, nanodollars, flops = self.rows(sums + "WHERE session = ?", session)[0]
            found.append(Session(session, Amount(tokens, nanodollars, int(flops)), seconds))
        return found

    def rows(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Rows of what is committed."""
        try:
            return self._reader.execute(sql, parameters).fetchall()
        except sqlite3.Error as error:
            raise _explained(error, self.path) from error

    def _value(self, sql: str, *parameters: Any) -> Any:
        return self.rows(sql, *parameters)[0][0]

    # What happens: each of these is one step that is on disk when its future is done

    def next_call(self) -> int:
        self._next_call += 1
        return self._next_call - 1

    def reserve(self, call: int, request: Request, amount: Amount) -> asyncio.Future[None]:
        """Must be done before the request is sent."""
        return self.write(self.reservation(call, request, amount), spends=True)

    def settle(self, call: int, actual: Amount, answer: Answer) -> asyncio.Future[None]:
        """The response and what it cost, at once."""
        return self.write([
            ("UPDATE calls SET state = 'settled', tokens = ?, nanodollars = ?, flops = ? WHERE id = ?",
             (actual.tokens, actual.nanodollars, float(actual.flops), call)),
            self.put(answer),
        ])  # fmt: skip

    def release(self, call: int, failure: Answer | None = None) -> asyncio.Future[None]:
        """The call was not billed; `failure`, if that was its request's last."""
        statements: list[Statement] = [("DELETE FROM calls WHERE id = ?", (call,))]
        return self.write(statements + ([self.put(failure)] if failure else []))

    def lose(self, call: int, failure: Answer | None = None) -> asyncio.Future[None]:
        """The call may have been billed: its reservation stays spent."""
        statements: list[Statement] = [("UPDATE calls SET state = 'lost' WHERE id = ?", (call,))]
        return self.write(statements + ([self.put(failure)] if failure else []))

    def recorded(self, sessions: Iterable[Session]) -> asyncio.Future[None]:
        """These sessions are in the ledger."""
        return self.write([("UPDATE sessions SET recorded = 1 WHERE id = ?", (session.id,)) for session in sessions])

    def reservation(self, call: int, request: Request, amount: Amount, batch: int | None = None) -> list[Statement]:
        values = (call, request.key, request.max_tokens, self.session, batch)
        return [
            ("INSERT OR IGNORE INTO requests VALUES (?, ?)", (request.key, request.text)),
            ("INSERT INTO calls VALUES (?, ?, ?, ?, ?, 'reserved', ?, ?, ?)",
             (*values, amount.tokens, amount.nanodollars, float(amount.flops))),
        ]  # fmt: skip

    def put(self, answer: Answer) -> Statement:
        return _PUT, (
            answer.key, answer.max_tokens, answer.body, answer.finish, answer.error, answer.status,
            int(answer.permanent), answer.excerpt[:EXCERPT], answer.attempts, answer.prompt_tokens,
            answer.completion_tokens, answer.nanodollars, answer.flops, answer.model, answer.revision, self.session,
            datetime.now(UTC).isoformat(timespec="milliseconds"),
        )  # fmt: skip

    def write(self, statements: list[Statement], spends: bool = False) -> asyncio.Future[None]:
        """One transaction's part; steps given while the disk is busy share the next commit. After a failure nothing
        that `spends` is taken on any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.failure and spends:
            future.set_exception(self.failure)
            return future
        if self._writer is None:
            self._writer = threading.Thread(target=self._work, name="request store", daemon=True)
            self._writer.start()
        self._queue.put((statements, future))
        return future

    async def flush(self) -> None:
        """Return when all that was given before is on disk, with the seconds it took."""
        if self._writer and not self.failure:
            await self.write([])

    # The one thread that writes

    def _work(self) -> None:
        while True:
            step = self._queue.get()
            group = []
            while step is not None:
                group.append(step)
                if len(group) == LARGEST_GROUP or self._queue.empty():
                    break
                step = self._queue.get()
            if group:
                error = self._commit(group)
                _tell([future for _, future in group if future], error)
            if step is None:
                return

    def _commit(self, group: list[Any]) -> BaseException | None:
        try:
            self._transact(group)
        except Exception as error:  # whatever it is: nobody may wait for this thread in vain
            self.failure = _explained(error, self.path)
            if isinstance(self.failure, OSError) and self._lighten():
                try:
                    self._transact(group)
                    return None
                except (sqlite3.Error, OSError):
                    pass
            return self.failure
        return None

    def _transact(self, group: list[Any]) -> None:
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        try:
            for statements, _ in group:
                for sql, parameters in statements:
                    execute(sql, parameters)
            execute(
                "INSERT INTO sessions VALUES (?1, ?2, ?3, 0) ON CONFLICT (id) DO UPDATE SET seconds = ?3",
                (self.session, datetime.now(UTC).isoformat(timespec="seconds"), self.asking_seconds()),
            )
            execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                execute("ROLLBACK")
            raise

    def _lighten(self) -> bool:
        """Give up the ballast, once."""
        try:
            (self.directory / "ballast").unlink()
        except OSError:
            return False
        return True


def _tell(futures: list[asyncio.Future[None]], error: BaseException | None) -> None:
    def tell() -> None:
        for future in futures:
            if future.done():
                continue
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
                future.exception()  # whoever does not wait for it is told by `failure`

    if futures:
        try:
            futures[0].get_loop().call_soon_threadsafe(tell)
        except RuntimeError:
            return  # the loop is closed: nobody waits any more


def _answer(row: tuple[Any, ...]) -> Answer:
    return replace(Answer(*row), permanent=bool(row[6]), stored=True)


def _hold(directory: Path) -> int:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise UserError(f"{directory}: no directory can be made there; choose another store") from None
    lock = os.open(directory / "lock", os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 64).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise UserError(
            f"{directory}: in use by process {pid}; wait for it, stop it, or choose another store"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    try:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        if tables and application != APPLICATION:
            raise UserError(f"{path}: another program's file, not a request store; choose another store")
        schema = connection.execute("PRAGMA user_version").fetchone()[0]
        if tables and schema != SCHEMA:
            raise UserError(
                f"{path}: request store of schema {schema}, this version reads {SCHEMA}; choose another store"
            )
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if not tables:
            connection.executescript(
                f"BEGIN IMMEDIATE; PRAGMA application_id = {APPLICATION}; PRAGMA user_version = {SCHEMA};"
                f"{_TABLES} COMMIT;"
            )
    except BaseException:
        connection.close()
        raise
    return connection


def _explained(error: Exception, path: Path) -> Exception:
    """What the person can do about it."""
    if isinstance(error, OSError) or not isinstance(error, sqlite3.Error):
        return error
    name = getattr(error, "sqlite_errorname", "") or ""
    if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _full(path.parent)):
        return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or "no such" in str(error):
        return UserError(f"{path}: damaged, or not a request store; restore it, or choose another store")
    if name.startswith("SQLITE_BUSY"):
        return UserError(f"{path}: locked by another program; close it and run this again")
    if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
        return PermissionError(errno.EACCES, "cannot be written", str(path))
    return error


def _full(directory: Path) -> bool:
    usage = os.statvfs(directory)
    return usage.f_bavail * usage.f_frsize < BALLAST

"""What has a model answered already? One SQLite file: a run killed anywhere goes on, a second one is free."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, Pair, Prompt, Rendered, Scored, TooLong, Written
from orionlm.sampling import Sampling

FILE = "answers.sqlite"
COMMIT_SECONDS = 0.5
PATIENCE_SECONDS = 30.0  # for another evaluation that writes to the same file
LEAST_FREE = 1 << 20  # bytes; where the disk has fewer, an input or output error is a full disk
Answer = Scored | TooLong | list[Written]


class Kept:
    """Answers by (model digest, request), which several evaluations may keep in one file at once.

    They wait in memory and are written in one short transaction: a kill loses the answers of half a second at most.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._waiting: dict[str, str] = {}
        with _worded(path):
            self._connection = sqlite3.connect(path, timeout=PATIENCE_SECONDS)
            _write_ahead(self._connection)
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        self._committed = time.monotonic()

    def find(self, key: str) -> Answer | None:
        if key in self._waiting:
            return _read(json.loads(self._waiting[key]))
        with _worded(self.path):
            row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else _read(json.loads(row[0]))

    def keep(self, key: str, answer: Answer | Failed) -> None:
        """A failure is not kept: it is asked again."""
        if isinstance(answer, Failed):
            return
        self._waiting[key] = json.dumps(_written(answer))
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        with _worded(self.path), self._connection as transaction:
            transaction.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?)", self._waiting.items())
        self._waiting.clear()
        self._committed = time.monotonic()

    def close(self) -> None:
        with closing(self._connection):
            self.flush()


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Of two that open a new file at once SQLite tells one that it is busy, without waiting as it does elsewhere."""
    until = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.01)


@contextmanager
def _worded(path: Path) -> Iterator[None]:
    """What the person can do about it."""
    try:
        yield
    except sqlite3.Error as error:
        name = getattr(error, "sqlite_errorname", "") or ""
        if name.startswith("SQLITE_FULL") or (name.startswith("SQLITE_IOERR") and _free(path.parent) < LEAST_FREE):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path)) from error
        if name.startswith("SQLITE_BUSY"):
            raise UserError(f"{path}: locked by another program; close it and run this again") from None
        if name.startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY", "SQLITE_PERM")):
            raise PermissionError(errno.EACCES, "cannot be written", str(path)) from error
        raise UserError(f"{path}: {error}; move it away to ask everything again") from None


def _free(folder: Path) -> int:
    usage = os.statvfs(folder)
    return usage.f_bavail * usage.f_frsize


def pair_key(model: str, pair: Pair) -> str:
    return _digest([model, "score", *pair, *_form(pair[0])])


def prompt_key(model: str, prompt: Prompt, sampling: Sampling) -> str:
    said = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
    return _digest([model, "write", said, sampling.document(), *_form(prompt)])


def _form(prompt: Prompt) -> tuple[str, ...]:
    """The same text is other tokens where a chat template wrote it."""
    return ("rendered",) if isinstance(prompt, Rendered) else ()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _written(answer: Answer) -> dict[str, Any]:
    if isinstance(answer, Scored):
        return {"scored": [answer.log_probability, answer.greedy, answer.tokens, answer.bytes]}
    if isinstance(answer, TooLong):
        return {"too_long": answer.reason}
    return {"written": [[one.text, one.finish, one.tokens] for one in answer]}


def _read(document: dict[str, Sequence]) -> Answer:
    [(kind, value)] = document.items()
    if kind == "scored":
        return Scored(*value)
    return TooLong(str(value)) if kind == "too_long" else [Written(*one) for one in value]

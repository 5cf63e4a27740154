"""What has a model answered already? One SQLite file: a run killed anywhere goes on, a second one is free."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, Pair, Prompt, Scored, TooLong, Written
from orionlm.sampling import Sampling

FILE = "answers.sqlite"
COMMIT_SECONDS = 0.5
Answer = Scored | TooLong | list[Written]


class Kept:
    """Answers by (model digest, request). A kill loses the answers of half a second at most."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._connection = sqlite3.connect(path, timeout=30)
            self._connection.execute("PRAGMA journal_mode = WAL")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            self._connection.execute("CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, answer TEXT NOT NULL)")
        except sqlite3.Error as error:
            raise UserError(f"{path}: {error}; move it away to ask everything again") from None
        self._committed = time.monotonic()

    def find(self, key: str) -> Answer | None:
        row = self._connection.execute("SELECT answer FROM answers WHERE key = ?", (key,)).fetchone()
        return None if row is None else _read(json.loads(row[0]))

    def keep(self, key: str, answer: Answer | Failed) -> None:
        """A failure is not kept: it is asked again."""
        if isinstance(answer, Failed):
            return
        self._connection.execute("INSERT OR REPLACE INTO answers VALUES (?, ?)", (key, json.dumps(_written(answer))))
        if time.monotonic() - self._committed > COMMIT_SECONDS:
            self.flush()

    def flush(self) -> None:
        self._connection.commit()
        self._committed = time.monotonic()

    def close(self) -> None:
        self.flush()
        self._connection.close()


def pair_key(model: str, pair: Pair) -> str:
    return _digest([model, "score", *pair])


def prompt_key(model: str, prompt: Prompt, sampling: Sampling) -> str:
    said = prompt if isinstance(prompt, str) else [dict(message) for message in prompt]
    return _digest([model, "write", said, sampling.document()])


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

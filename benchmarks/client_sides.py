"""How is a file of prompts put through our client, and through a peer? As a process that can be killed and run anew."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONCURRENCY, MAX_TOKENS, TIMEOUT = 64, 64, 5
PEERS = Path(__file__).parent / "client_peers"


@dataclass
class Row:
    """What a client's output says of one prompt."""

    text: str | None = None
    reason: str | None = None


@dataclass
class Side:
    """One client at work on `prompts`, everything it keeps under `folder`."""

    prompts: Path
    folder: Path
    url: str
    options: list[str] = field(default_factory=list)

    @property
    def out(self) -> Path:
        raise NotImplementedError

    def command(self) -> list[str]:
        raise NotImplementedError

    def rows(self) -> dict[str, Row]:
        raise NotImplementedError

    def committed(self) -> set[str]:
        """Prompts whose answer is kept by now, read from files of a process that is dead."""
        raise NotImplementedError

    def start(self) -> subprocess.Popen[bytes]:
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log").open("ab") as log:
            # Its own process group, so that a kill reaches all of a client's processes.
            return subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)

    def last_words(self) -> str:
        return "\n".join((self.folder / "log").read_text(errors="replace").splitlines()[-5:])


def kill(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class Ours(Side):
    name = "orion ask"

    @property
    def out(self) -> Path:
        return self.folder / "responses.parquet"

    def command(self) -> list[str]:
        return [
            sys.executable, "-m", "orionlm.cli", "ask", str(self.prompts), "--model", self.url, "--out", str(self.out),
            "--store", str(self.folder / "store"), "--concurrency", str(CONCURRENCY), "--max-tokens", str(MAX_TOKENS),
            "--timeout", str(TIMEOUT), "--json", *self.options,
        ]  # fmt: skip

    def rows(self) -> dict[str, Row]:
        from pyarrow.parquet import read_table

        prompts = [json.loads(line)["prompt"] for line in self.prompts.read_text().splitlines()]
        columns = ["id", "response", "error"]
        return {
            prompts[row["id"]]: Row(row["response"], row["error"])
            for row in read_table(self.out, columns=columns).to_pylist()
        }

    def committed(self) -> set[str]:
        return {_prompt_of(text) for (text,) in self.store(
            "SELECT document FROM requests JOIN answers USING (key) WHERE response IS NOT NULL"
        )}  # fmt: skip

    def store(self, sql: str) -> list[tuple[Any, ...]]:
        """From a copy: opening the store itself would mend it before the client has to."""
        with tempfile.TemporaryDirectory() as folder:
            for path in (self.folder / "store").glob("*.sqlite*"):
                if not path.name.endswith("-shm"):
                    shutil.copy(path, folder)
            files = list(Path(folder).glob("*.sqlite"))
            if not files:
                return []
            connection = sqlite3.connect(files[0])
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError:  # killed before its tables were made
                return []
            finally:
                connection.close()


@dataclass
class Peer(Side):
    """A script of `client_peers`, under the peer's own Python."""

    python: str = sys.executable
    script: str = "with_curator.py"

    @property
    def out(self) -> Path:
        return self.folder / "out.jsonl"

    def command(self) -> list[str]:
        return [
            self.python, str(PEERS / self.script), str(self.prompts), "--url", self.url, "--out", str(self.out),
            "--cache", str(self.folder / "cache"), "--concurrency", str(CONCURRENCY),
            "--max-tokens", str(MAX_TOKENS), "--timeout", str(TIMEOUT), *self.options,
        ]  # fmt: skip

    def rows(self) -> dict[str, Row]:
        found: dict[str, Row] = {}
        for line in self.out.read_text().splitlines() if self.out.exists() else ():
            row = json.loads(line)
            reason = row.get("reason")
            found[row["prompt"]] = Row(row.get("text"), json.dumps(reason) if reason else None)
        return found

    def committed(self) -> set[str]:
        if self.script == "with_curator.py":
            return {
                row["generic_request"]["original_row"]["prompt"]
                for path in (self.folder / "cache").glob("*/responses_*.jsonl")
                for row in _whole_lines(path)
                if not row["response_errors"]
            }
        return set()  # batches in files of pipeline's own: counted only by what is bought again


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    """A kill may tear the last one."""
    found = []
    for line in path.read_text(errors="replace").splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def _prompt_of(document: str) -> str:
    request = json.loads(document)
    if "prompt" in request:
        return request["prompt"]
    return "\n".join(message["content"] for message in request["messages"])

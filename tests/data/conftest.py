from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from orionlm.artifact import Artifact


class FakeContext:
    """What the data stages use of a run: silent progress and a list for the ledger."""

    seed = 0
    pinned: dict[str, Any] = {}

    def __init__(self) -> None:
        self.recorded: list[dict[str, Any]] = []
        self.progress = SimpleNamespace(say=lambda line: None, task=self._task)

    @contextlib.contextmanager
    def _task(self, name: str, total: float | None = None) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(update=lambda done, note="": None)

    def record(self, purpose: str, **fields: Any) -> None:
        self.recorded.append({"purpose": purpose, **fields})


def as_artifact(path: Path) -> Artifact:
    files = {file.name: "" for file in path.iterdir() if file.is_file()}
    return Artifact(path=path, kind=path.name, manifest={"files": files}, digest=path.name)


def contents(path: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in sorted(path.iterdir()) if file.is_file()}


@pytest.fixture
def context() -> FakeContext:
    return FakeContext()

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inference.server import tiny


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make_checkpoint(tmp_path_factory.mktemp("serve") / "tiny")


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One place for what the engine compiles, for all servers of the session."""
    return tmp_path_factory.mktemp("serve-cache")


@pytest.fixture(scope="session")
def server(checkpoint: Path, cache: Path) -> Iterator[tiny.Served]:
    with tiny.served(checkpoint, "--slots", "4", "--queue", "8", "--drain", "1", cache=cache) as running:
        yield running

"""Sandboxes of each kind that this machine allows."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from orionlm.errors import UserError
from orionlm.tasks.sandbox import Sandbox


def opened(kind: str) -> Iterator[Sandbox]:
    try:
        sandbox = Sandbox((kind,))
    except UserError as error:
        pytest.skip(str(error))
    with sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def namespaces() -> Iterator[Sandbox]:
    yield from opened("namespaces")


@pytest.fixture(scope="session")
def landlock() -> Iterator[Sandbox]:
    yield from opened("landlock")


@pytest.fixture(params=["namespaces", "landlock"])
def sandbox(request: pytest.FixtureRequest) -> Sandbox:
    sandbox: Sandbox = request.getfixturevalue(request.param)
    return sandbox

from __future__ import annotations

import pytest
from hypothesis import settings

settings.register_profile("orion", deadline=None, derandomize=True, max_examples=60)
settings.load_profile("orion")


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choices measured on this machine by earlier runs stay out of tests, and theirs out of the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))

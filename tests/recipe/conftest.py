from __future__ import annotations

from collections.abc import Callable

import pytest

import scripted
from orionlm.recipe.kinds import KINDS
from orionlm.recipe.recipe import Recipe, parse_recipe
from orionlm.settings import parse_toml


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Makes a recipe of scripted stages from TOML text, after replacing pieces of it."""
    for name, kind in scripted.SCRIPTED.items():
        monkeypatch.setitem(KINDS, name, kind)

    def make(*replacements: tuple[str, str], text: str = scripted.RECIPE) -> Recipe:
        for old, new in replacements:
            assert old in text, old
            text = text.replace(old, new)
        return parse_recipe(parse_toml(text, "small.toml"))

    return make

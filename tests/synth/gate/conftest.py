"""Real text for the gate: the docstrings of an installed package, and another domain's."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path

import pytest


def docstrings(package: str, most: int) -> list[str]:
    spec = find_spec(package)
    assert spec and spec.origin
    found: list[str] = []
    for path in sorted(Path(spec.origin).parent.rglob("*.py")):
        if "tests" in path.parts:
            continue
        kinds = (ast.ClassDef, ast.FunctionDef)
        tree = ast.parse(path.read_text("utf-8"))
        found += [text for node in ast.walk(tree) if isinstance(node, kinds) and (text := ast.get_docstring(node))]
        found = list(dict.fromkeys(text for text in found if 200 <= len(text) <= 2000))
        if len(found) >= most:
            break
    return found[:most]


@pytest.fixture(scope="session")
def texts() -> list[str]:
    """So many of them, in one order for all."""
    import numpy as np

    found = docstrings("scipy", 900)
    assert len(found) == 900
    return [found[n] for n in np.random.default_rng(1).permutation(900)]


@pytest.fixture(scope="session")
def elsewhere() -> list[str]:
    return docstrings("jinja2", 150) + docstrings("pydantic", 250)

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from orionlm.errors import UserError
from orionlm.synth.methods import load
from orionlm.synth.writing import Generated, generate
from synth.teaching import Teaching, answered, seeds


def made(store: Path, server: Teaching, **more: Any) -> Generated:
    async def main() -> Generated:
        async with server:
            told = [server.settings(name="t0")]
            return await generate(seeds(12), {"seeded": load("seeded").Settings()}, told, store, seed=3, **more)

    return asyncio.run(main())


def test_a_teacher_that_counts_no_tokens_is_not_asked_for_them_for_ever(tmp_path: Path) -> None:
    def say(prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in answered(prompt, body).items() if name != "usage"}

    with pytest.raises(UserError, match=r"^tokens: teacher t0 does not say how many it writes .* ask for rows"):
        made(tmp_path, Teaching(say), tokens=500)
    assert len(made(tmp_path, Teaching(say), rows=12).kept) == 12

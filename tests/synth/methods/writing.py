"""One method over a few seeds, asked of a function in the place of a teacher."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from orionlm.synth.desk import Ask, Desk, Reply, Seed
from orionlm.synth.methods import load
from orionlm.synth.rows import Row

Says = Callable[[Ask], "str | Reply"]


class Teacher:
    name = "t"
    purposes = ("teacher", "verify", "reward")

    def __init__(self, says: Says) -> None:
        self.says = says
        self.asked: list[Ask] = []

    async def reply(self, ask: Ask, seed: int) -> Reply:
        self.asked.append(ask)
        said = self.says(ask)
        known = {"teacher": "t", "prompt": ask.text, "tokens": 100, "terms": "allowed"}
        return Reply(**known | ({"text": said} if isinstance(said, str) else vars(said) | {"teacher": "t"}))


def written(name: str, seeds: Sequence[Seed], says: Says, round: int = 0, **settings: Any) -> tuple[list[Row], Teacher]:
    teacher = Teacher(says)

    async def main() -> list[Row]:
        desk = Desk({"t": teacher}, 11, name, round)
        return [row async for row in load(name).write(load(name).Settings(**settings), seeds, desk)]

    return asyncio.run(main()), teacher

"""A teacher whose answers a test writes down, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from orionlm.synth.desk import PURPOSES, Ask, Desk, Reply
from orionlm.synth.rows import Row

Script = Callable[[str, Ask], "str | Reply"]


class Scripted:
    """`script(last message, ask)` is what it says; `asked` what it was asked."""

    def __init__(self, script: Script, name: str = "t", purposes: tuple[str, ...] = PURPOSES, depth: int = 0) -> None:
        self.script, self.name, self.purposes, self.depth = script, name, purposes, depth
        self.asked: list[Ask] = []

    async def reply(self, ask: Ask, seed: int) -> Reply:
        self.asked.append(ask)
        assert isinstance(ask.prompt, list)
        said = self.script(ask.prompt[-1]["content"], ask)
        said = said if isinstance(said, Reply) else Reply(said, finish="stop", tokens=len(said.split()))
        known = {"teacher": self.name, "key": f"k{len(self.asked)}", "prompt": ask.text, "depth": self.depth}
        return Reply(**{**vars(said), **known})


def desk_of(*teachers: Scripted | Script, method: str = "m") -> Desk:
    ready = [each if isinstance(each, Scripted) else Scripted(each) for each in teachers]
    return Desk({each.name: each for each in ready}, seed=1, method=method)


def collected(rows: AsyncIterator[Row]) -> list[Row]:
    async def main() -> list[Row]:
        return [row async for row in rows]

    return asyncio.run(main())


def said(text: str, **more: Any) -> Reply:
    return Reply(text, **{"finish": "stop"} | more)

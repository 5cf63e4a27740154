"""What does a model say that judges: how good is this answer, and which of these two is better?

A judge prefers what stands first, or second, whatever it says (Zheng et al., arXiv 2306.05685, §3.3): two answers are
shown in both orders, and where its word changes with the order it has none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from orionlm.synth.desk import Ask, Desk
from orionlm.synth.methods import template
from orionlm.synth.reward.scores import ATTRIBUTES, Scored, scored
from orionlm.synth.structured import structured

Messages = Sequence[Mapping[str, str]]
Winner = Literal["first", "second", "tie"]
MOST_TOKENS = 512  # a judge that reasons needs more


class Marks(BaseModel):
    """What a judge writes of one answer; what a number may be is `scores.scored`'s to say."""

    model_config = ConfigDict(extra="ignore")
    helpfulness: Any
    correctness: Any
    coherence: Any
    complexity: Any
    verbosity: Any


class Better(BaseModel):
    model_config = ConfigDict(extra="ignore")
    better: Literal["A", "B", "tie"]


@dataclass(frozen=True)
class Preference:
    """Which of two; `error` where there is none because the judge could not be read. `orders`: its word on
    (first, second) and on (second, first), both as "first", "second" or "tie"."""

    winner: Winner | None
    orders: tuple[Winner, ...] = ()
    error: str = ""


async def score(
    desk: Desk,
    messages: Messages,
    answer: str,
    *,
    teacher: str | None = None,
    repairs: int = 1,
    max_tokens: int = MOST_TOKENS,
) -> Scored:
    """The five attributes of one answer."""
    prompt = template("reward/score.txt").render(conversation=told(messages), answer=answer)
    ask = _ask(prompt, max_tokens)
    found = await structured(
        desk, ask, Marks, teacher=teacher, repairs=repairs, check=lambda marks: scored(marks.model_dump()).error
    )
    return (
        Scored(error=f"the judge: {found.error}")
        if found.value is None
        else scored(found.value.model_dump(), ATTRIBUTES)
    )


async def prefer(
    desk: Desk,
    messages: Messages,
    first: str,
    second: str,
    *,
    teacher: str | None = None,
    repairs: int = 1,
    max_tokens: int = MOST_TOKENS,
) -> Preference:
    """Which answer is better, asked in both orders; disagreement is a tie."""
    names: dict[str, tuple[Winner, Winner, Winner]] = {
        "there": ("first", "second", "tie"),
        "back": ("second", "first", "tie"),
    }

    async def one(order: str) -> Winner | str:
        a, b = (first, second) if order == "there" else (second, first)
        prompt = template("reward/prefer.txt").render(conversation=told(messages), a=a, b=b)
        found = await structured(desk, _ask(prompt, max_tokens), Better, teacher=teacher, repairs=repairs)
        if found.value is None:
            return f"the judge: {found.error}"
        return names[order][("A", "B", "tie").index(found.value.better)]

    if first == second:
        return Preference("tie", ("tie", "tie"))
    words = await asyncio.gather(one("there"), one("back"))
    if unread := next((word for word in words if word not in ("first", "second", "tie")), ""):
        return Preference(None, error=unread)
    there, back = words
    return Preference(there if there == back else "tie", (there, back))  # type: ignore[arg-type]


def told(messages: Messages) -> str:
    """A conversation as text."""
    return "\n\n".join(f"[{message['role'].capitalize()}]\n{message['content']}" for message in messages)


def _ask(prompt: str, most: int) -> Ask:
    return Ask([{"role": "user", "content": prompt}], max_tokens=most, temperature=0.0, purpose="reward")

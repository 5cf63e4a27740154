"""What does a reward model say of an answer? Any OpenAI-compatible endpoint that is sent the whole conversation.

It may answer with JSON, or as Nemotron-4-340B-Reward does with `helpfulness:1.6,correctness:1.5,…`; one that has a
single attribute may answer with a bare number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from orionlm.synth.desk import Ask, Desk
from orionlm.synth.reward.judge import Messages, Preference
from orionlm.synth.reward.scores import ATTRIBUTES, HIGHEST, Scored, scored

MOST_TOKENS = 128
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf(?:inity)?)"
_NAMED = re.compile(rf"([A-Za-z_]+)\s*[:=]\s*({_NUMBER})(?![\w.])", re.IGNORECASE)
_BARE = re.compile(rf"\s*({_NUMBER})\s*", re.IGNORECASE)


async def score(
    desk: Desk,
    messages: Messages,
    answer: str,
    *,
    teacher: str | None = None,
    names: Sequence[str] = ATTRIBUTES,
    low: float = 0.0,
    high: float = HIGHEST,
) -> Scored:
    """The attributes that the endpoint gives, which lie between `low` and `high`, brought to 0 … 4."""
    talk = [*map(dict, messages), {"role": "assistant", "content": answer}]
    reply = await desk.ask(Ask(talk, max_tokens=MOST_TOKENS, temperature=0.0, purpose="reward"), teacher)
    if reply.error:
        return Scored(error=f"the reward endpoint: {reply.error}")
    found = scored(_said(reply.text, names), names, low, high)
    return Scored(error=f"the reward endpoint: {found.error}") if found.error else found


def preferred(first: Scored, second: Scored) -> Preference:
    """By the more helpful; a reward model sees one answer at a time, so there is no order to control."""
    if first.error or second.error:
        return Preference(None, error=first.error or second.error)
    a, b = first.helpfulness, second.helpfulness
    return Preference("first" if a > b else "second" if b > a else "tie")


def _said(text: str, names: Sequence[str]) -> dict[str, Any]:
    """Numbers by name; a name said twice, with two values, is not said."""
    try:
        given = json.loads(text)
        if isinstance(given, dict):
            return given
    except (ValueError, RecursionError):
        pass
    bare = _BARE.fullmatch(text)
    if bare and len(names) == 1:
        return {names[0]: float(bare.group(1))}
    said: dict[str, set[float]] = {}
    for name, value in _NAMED.findall(text):
        said.setdefault(name.lower(), set()).add(float(value))
    return {name: values.pop() for name, values in said.items() if len(values) == 1}

"""How does a conversation go on? A model plays the assistant, and in its turn the user, in one of three styles.

Nemotron-4 340B (arXiv 2406.11704, §3.2.4): the user of a conversation is normal, complex or concise; politeness, which
models put where users do not, is taken out of user turns.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.synth.desk import Ask, Desk, Reply, Seed, Worst
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.pairs import BOTH_BAD
from orionlm.synth.rows import Row
from orionlm.synth.structured import Read, Unreadable, ask_until, same_words

NAME = "dialogue"
PAPER = "Nemotron-4 340B, arXiv:2406.11704"
WORTH = (
    "Part of Nemotron-4 340B's alignment data, which is over 98% synthetic; no gain of its own is published: probe it"
)

Style = Literal["normal", "complex", "concise"]
STYLES: dict[Style, str] = {
    "normal": "This person writes as most people do: a plain sentence or two.",
    "complex": "This person writes at length: several sentences with background, details and conditions.",
    "concise": "This person writes as briefly as can be: a few words, not always a whole sentence.",
}
_POLITE = re.compile(
    r"\s*(?:(?:thank you|thanks|great|sure|certainly|of course|absolutely|wonderful|perfect|hello|hi)\b"
    r"|i appreciate|that(?:'s| is) (?:very |really )?(?:helpful|great))[^.!?\n]{0,80}[.!?]+\s*",
    re.IGNORECASE,
)
_ROLE = re.compile(r"^\s*\W{0,3}(?:user|assistant|human|\[user\]|\[assistant\])\W{0,3}:", re.IGNORECASE | re.MULTILINE)
_OWN_ROLE = re.compile(r"^\s*\W{0,3}user\W{0,3}:\s*", re.IGNORECASE)


class Settings(BaseModel):
    """`turns` of the user in each conversation, which chance gives one of `styles`; its subject is a seed's. With a
    `reward`, the last answer must not be scored as bad."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    turns: int = Field(3, ge=1, le=20)
    styles: tuple[Style, ...] = Field(("normal", "complex", "concise"), min_length=1)
    passage: int = Field(2000, ge=50)
    repairs: int = Field(1, ge=0, le=5)
    reward: Reward = Reward(by="none")
    user: str | None = None  # who plays the user; else those who answer
    max_tokens: int = Field(1024, ge=1)
    user_tokens: int = Field(256, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)


def worst(settings: Settings) -> Worst:
    requests = settings.turns * (2 + settings.repairs) + (settings.reward.by != "none") * (1 + settings.reward.repairs)
    said = 4 * settings.turns * (settings.max_tokens + settings.user_tokens)
    return Worst(requests, settings.passage + said + 1000, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """One conversation from each seed."""
    async for row in desk.each(lambda seed: _talk(settings, desk, seed), seeds):
        yield row


async def _talk(settings: Settings, desk: Desk, seed: Seed) -> Row:
    chance = desk.random(seed.id)
    style = settings.styles[int(chance.integers(len(settings.styles)))]
    shown = passage(seed.text, settings.passage, chance)
    messages: list[dict[str, str]] = []
    keys: list[str] = []
    tokens = 0

    def row(of: Reply) -> Row:
        more = {"messages": messages, "style": style, "format": "dialogue", "keys": keys}
        text = told(messages) or of.text
        return desk.row(of, [seed], style, text=text, form="dialogue", seed_text=shown, more=more, tokens=tokens)

    reply = Reply()
    for turn in range(1, settings.turns + 1):
        said = await _user(settings, desk, shown, STYLES[style], messages)
        keys.append(said.reply.key)
        tokens += said.reply.tokens
        if said.value is None:
            return row(said.reply).judged("user", f"turn {turn}: {said.error}")
        messages.append({"role": "user", "content": said.value})
        reply = await desk.ask(Ask([*messages], settings.max_tokens, settings.temperature, settings.top_p))
        keys.append(reply.key)
        tokens += reply.tokens
        answer = reply.text.strip()
        fault = assistant_fault(answer, [message["content"] for message in messages])
        if reply.error or reply.finish == "length" or fault:
            return row(reply).judged("assistant", f"turn {turn}: {fault or 'no whole answer'}")
        messages.append({"role": "assistant", "content": answer})
    found = row(reply)
    if settings.reward.by == "none" or found.error:
        return found
    scored = await settings.reward.score(desk, messages[:-1], messages[-1]["content"])
    if scored.error:
        return found.judged("reward", f"unscored: {scored.error}")
    low = scored.helpfulness < BOTH_BAD
    why = f"helpfulness {scored.helpfulness:g}, below {BOTH_BAD:g}" if low else ""
    return found.judged("reward", why, **scored.values)


async def _user(
    settings: Settings, desk: Desk, topic: str, style: str, messages: Sequence[dict[str, str]]
) -> Read[str]:
    """The user's next message."""
    if messages:
        prompt = template("dialogue/user.txt").render(conversation=told(messages), style=style)
    else:
        prompt = template("dialogue/opening.txt").render(topic=topic, style=style)
    ask = Ask([{"role": "user", "content": prompt}], settings.user_tokens, settings.temperature, settings.top_p)
    before = [message["content"] for message in messages]
    return await ask_until(
        desk, ask, lambda text: user_turn(text, before), teacher=settings.user, repairs=settings.repairs
    )


def user_turn(text: str, before: Sequence[str]) -> str:
    """What a user says, without politeness; Unreadable where it is none."""
    text = _OWN_ROLE.sub("", text.strip(), count=1)
    while found := _POLITE.match(text):
        text = text[found.end() :]
    text = text.strip()
    if not text:
        raise Unreadable("there is no message in it")
    if _ROLE.search(text):
        raise Unreadable("it speaks for more than the user; write the user's next message alone")
    if same_words(text) in map(same_words, before):
        raise Unreadable("it repeats an earlier message")
    return text


def assistant_fault(text: str, before: Sequence[str]) -> str:
    """Why an answer is none, or ""."""
    if not text:
        return "the answer is empty"
    if _ROLE.search(text):
        return "it speaks for the user, too"
    return "it repeats an earlier message" if same_words(text) in map(same_words, before) else ""


def told(messages: Sequence[dict[str, str]]) -> str:
    """The conversation as a student reads it."""
    return "\n\n".join(f"{message['role'].capitalize()}: {message['content']}" for message in messages)

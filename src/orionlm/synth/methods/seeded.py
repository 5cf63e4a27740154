"""New text about what a document or a topic says, for a stated reader: textbooks, posts, lectures, stories."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.synth.desk import Ask, Desk, Seed, Worst
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.rows import Row

NAME = "seeded"
PAPER = "Gunasekar et al., Textbooks Are All You Need, arXiv:2306.11644; Cosmopedia (Ben Allal et al. 2024)"
WORTH = (
    "below rephrasing at equal tokens: BeyondWeb, which rephrases, is 5.1 points ahead of Cosmopedia "
    "(arXiv:2508.10975); best where the real text lacks a topic altogether"
)

Genre = Literal["textbook", "encyclopedia", "blog", "lecture", "story", "questions"]
AUDIENCES = {
    "children": "children of about ten, who know no technical words",
    "school": "pupils in the last years of school",
    "students": "university students who are new to the subject",
    "experts": "people who work in the field",
    "everyone": "curious people without any background",
}


class Settings(BaseModel):
    """A row for each seed: its genre and its reader are drawn from `genres` and `audiences`. `topics`: written about in
    place of what seeds say, one drawn for each seed. A seed is shown up to `passage` characters."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    genres: tuple[Genre, ...] = Field(default=("textbook", "encyclopedia", "blog", "lecture"), min_length=1)
    audiences: tuple[Literal["children", "school", "students", "experts", "everyone"], ...] = Field(
        default=("school", "students", "everyone"), min_length=1
    )
    topics: tuple[str, ...] = ()
    passage: int = Field(default=1200, ge=50)
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.8, ge=0, le=2)
    top_p: float = Field(default=0.95, gt=0, le=1)


def worst(settings: Settings) -> Worst:
    return Worst(1, settings.passage + 1200, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """One row for each seed; written from a topic alone, it has no seed."""

    async def one(seed: Seed) -> Row:
        chance = desk.random(seed.id)
        genre = settings.genres[int(chance.integers(len(settings.genres)))]
        audience = settings.audiences[int(chance.integers(len(settings.audiences)))]
        topic = settings.topics[int(chance.integers(len(settings.topics)))] if settings.topics else ""
        shown = "" if topic else passage(seed.text, settings.passage, chance)
        prompt = template(f"seeded/{genre}.txt").render(topic=topic, passage=shown, audience=AUDIENCES[audience])
        reply = await desk.ask(
            Ask(
                [{"role": "user", "content": prompt}],
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                sample=desk.sample(seed.id) if topic else 0,
            )
        )
        known = {"audience": audience} | ({"topic": topic} if topic else {})
        return desk.row(reply, [] if topic else [seed], genre, text=reply.text.strip(), seed_text=shown, more=known)

    async for row in desk.each(one, seeds):
        yield row

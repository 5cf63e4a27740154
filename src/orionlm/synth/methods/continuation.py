"""A base model goes on where genuine documents leave off: what can one write that only continues?"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.synth.desk import Ask, Desk, Seed, Worst
from orionlm.synth.rows import Row

NAME = "continuation"
PAPER = "Shumailov et al., The Curse of Recursion, arXiv:2305.17493; Gerstgrasser et al., arXiv:2404.01413"
WORTH = (
    "beside real text, never in its place: at demo size half of it took a student with 30 K real tokens from 4.05 to "
    "2.20 bits per byte, at 300 K from 1.91 to 1.81 (one seed, no early stopping); replacing real text collapses"
)


class Settings(BaseModel):
    """`beginning`: the fewest and most characters of a document that the teacher is shown, cut at a space. `anywhere`:
    from the beginning of any of its lines, else of its first. `keep_beginning`: the row begins with it; else the row is
    what the teacher wrote. `unfinished`: what an answer that was cut at `max_tokens` loses: nothing (keep), its last
    line (trim), everything (reject)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    beginning: tuple[int, int] = (40, 200)
    anywhere: bool = False
    keep_beginning: bool = True
    unfinished: Literal["keep", "trim", "reject"] = "trim"
    max_tokens: int = Field(default=512, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _a_range(self) -> Settings:
        if not 1 <= self.beginning[0] <= self.beginning[1]:
            raise ValueError(
                f"beginning = {list(self.beginning)}: give the fewest, at least 1, and the most characters"
            )
        return self


def worst(settings: Settings) -> Worst:
    return Worst(1, settings.beginning[1], settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """One row for each seed."""

    async def one(seed: Seed) -> Row | None:
        shown = beginning(seed, settings, desk)
        if not shown:
            return None
        reply = await desk.ask(
            Ask(
                shown,
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
                sample=desk.sample(seed.id),
            )
        )
        said = reply.text
        if reply.finish == "length" and settings.unfinished == "trim":
            said = whole_lines(said)
        text = shown + said if settings.keep_beginning and said.strip() else said.lstrip("\n")
        return desk.row(reply, [seed], text=text, cut=settings.unfinished != "reject", seed_text=shown)

    async for row in desk.each(one, seeds):
        if row is not None:
            yield row


def beginning(seed: Seed, settings: Settings, desk: Desk) -> str:
    """As long as chance says, at most half of what there is; whole words, without the space after them."""
    chance, text = desk.random(seed.id), seed.text.lstrip("\n")
    if settings.anywhere:
        starts = [0, *(place + 1 for place, letter in enumerate(text[: len(text) // 2]) if letter == "\n")]
        text = text[starts[int(chance.integers(len(starts)))] :].lstrip("\n")
    length = min(int(chance.integers(settings.beginning[0], settings.beginning[1] + 1)), len(text) // 2)
    shown = text[:length]
    if length and not text[length].isspace():
        spaces = [place for place, letter in enumerate(shown) if letter.isspace()]
        shown = shown[: spaces[-1]] if spaces else shown
    return shown.rstrip()


def whole_lines(text: str) -> str:
    """Without the line that was cut; a text of one line ends after its last sentence, where it has one."""
    if "\n" in text.strip():
        return text[: text.rstrip().rindex("\n") + 1]
    ends = [place for place, letter in enumerate(text) if letter in ".!?" and text[place + 1 : place + 2] in ("", " ")]
    return text[: ends[-1] + 1] if ends else text

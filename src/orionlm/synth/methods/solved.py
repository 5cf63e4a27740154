"""Which of a base model's own solved questions are right? It goes on from a seed's first words; each answer is checked.

For tasks where an answer is more easily checked than found. The teacher is a model of solved questions, one a document.
What it writes is kept where it is a question (no seed's, none held out for an evaluation) and the answer is right.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orionlm.synth.desk import Ask, Desk, Seed, Worst
from orionlm.synth.rows import Row
from orionlm.tasks.generators import stories
from orionlm.tasks.generators.generate import split_of

NAME = "solved"
PAPER = "Feng et al., arXiv:2406.07515; STaR, arXiv:2203.14465; Lee et al., arXiv:2502.01612"
WORTH = "Lee et al.: small models on their own filtered additions go from 10 digits to 100; unchecked, errors compound"
# The right answer to a question, whoever wrote it; None where it is no question of the family.
SOLVERS: Mapping[str, Callable[[str], int | None]] = {"stories": stories.solve}


class Settings(BaseModel):
    """Questions of a `family`, from the first `words` words of a seed."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: Literal["stories"] = "stories"
    words: int = Field(default=1, ge=1)
    max_tokens: int = Field(default=128, ge=1)
    temperature: float = Field(default=1.0, ge=0, le=2)
    top_p: float = Field(default=1.0, gt=0, le=1)


def worst(settings: Settings) -> Worst:
    return Worst(1, 20 * settings.words, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """One row for each seed: a question, a space, its answer."""
    known = {seed.text.strip().rpartition(" ")[0] for seed in seeds}

    async def one(seed: Seed) -> Row:
        shown = " ".join(seed.text.split()[: settings.words])
        ask = Ask(
            shown, settings.max_tokens, settings.temperature, settings.top_p, stop=("\n",), sample=desk.sample(seed.id)
        )
        reply = await desk.ask(ask)
        question, _, said = f"{shown}{reply.text}".strip().rpartition(" ")
        truth = SOLVERS[settings.family](question)
        row = desk.row(
            reply, [seed], settings.family, text=f"{question} {said}\n", domain=seed.domain, seed_text=shown,
            more={"question": question, "answer": truth},
        )  # fmt: skip
        return row if row.error else row.judged("answer", _fault(question, said, truth, known))

    async for row in desk.each(one, seeds):
        yield row


def _fault(question: str, said: str, truth: int | None, known: set[str]) -> str:
    if truth is None:
        return "no question of the family"
    if question in known:
        return "a seed's question"
    if split_of(question) != "train":
        return "a question that is held out"
    return "" if said == str(truth) else "wrong"

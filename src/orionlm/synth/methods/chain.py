"""What does a model need to be taught to follow requests? The chain of Nemotron-4 340B: prompts, answers, preferences.

Every prompt gives one row: the best of its answers, which its reward must not call bad, with the pair of a chosen and a
rejected answer beside it where the rule of `reward.pairs` gives one. A later generation starts from what the earlier
one kept, and may be written by another teacher (weak-to-strong, arXiv 2406.11704 §3.3.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

from pydantic import Field, model_validator

from orionlm.synth.desk import Ask, Desk, Reply, Seed, Worst, joined
from orionlm.synth.methods.topics import Maker, Prompt, Topics, Unit
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.pairs import choose
from orionlm.synth.rows import Row
from orionlm.synth.structured import same_words

NAME = "chain"
PAPER = "Nemotron-4 340B, arXiv:2406.11704"
WORTH = (
    "Over 98% of Nemotron-4 340B's alignment data was made so, beside about 20 thousand rows by people; no gain per "
    "token of pre-training is published: probe it"
)
AT_A_TIME = 256  # pieces of work whose prompts are made before the first is answered


class Settings(Topics):
    """`responses` to each prompt, of which the `reward` chooses; `generations`, each by the teacher at its place in
    `teachers` (one: by it alone; none: they take turns)."""

    responses: int = Field(2, ge=2, le=16)
    generations: int = Field(1, ge=1, le=10)
    teachers: tuple[str, ...] = ()
    reward: Reward = Reward()
    max_tokens: int = Field(1024, ge=1)

    @model_validator(mode="after")
    def _whole(self) -> Settings:
        if len(self.teachers) not in (0, 1, self.generations):
            raise ValueError(f"teachers: {len(self.teachers)} for {self.generations} generations; name one for each")
        if self.reward.by == "none":
            raise ValueError('reward: by = "none" leaves nothing to choose by; take "judge" or "endpoint"')
        return self

    def teacher(self, generation: int) -> str | None:
        return self.teachers[generation if len(self.teachers) > 1 else 0] if self.teachers else None


def worst(settings: Settings) -> Worst:
    judged = settings.responses * (1 + settings.reward.repairs) + 2 * (1 + settings.reward.repairs)
    making = 2 * (1 + settings.repairs) + 2  # revision, and a share of the lists
    longest = max(settings.max_tokens, settings.list_tokens)
    return Worst(settings.responses + judged + making, settings.passage + 2 * 4 * longest + 2000, longest)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """Generation by generation; within one, prompts in the order of topics, keywords and seeds."""
    seen: set[str] = set()
    kept: list[Row] = []
    for generation in range(settings.generations):
        teacher = settings.teacher(generation)
        maker = Maker(settings, desk, teacher)
        before, kept = kept, []
        async for units in _batches(maker.again(before) if generation else maker.units(seeds), desk):
            if isinstance(units, Row):
                yield _of(units, generation)
                continue
            prompts: list[Prompt] = []
            async for made in desk.each(_made, units):
                for each in made:
                    if isinstance(each, Prompt) and (name := same_words(each.message)) not in seen:
                        seen.add(name)
                        prompts.append(each)
                        continue
                    yield _of(_again(desk, each) if isinstance(each, Prompt) else each, generation)
            async for rows in desk.each(partial(_answered, settings, desk, teacher), prompts):
                for row in (_of(row, generation) for row in rows):
                    kept += [] if row.error else [row]
                    yield row


async def _batches(units: AsyncIterator[Unit | Row], desk: Desk) -> AsyncIterator[list[Unit] | Row]:
    """Units together, no more than rows are wanted: each brings a prompt at least. Rows go through."""
    held: list[Unit] = []
    async for unit in units:
        if isinstance(unit, Row):
            yield unit
            continue
        held.append(unit)
        if len(held) >= min(AT_A_TIME, desk.wanted):
            yield held
            held = []
    if held:
        yield held


async def _made(unit: Unit) -> list[Prompt | Row]:
    return await unit()


def _again(desk: Desk, prompt: Prompt) -> Row:
    reply = replace(prompt.reply, finish="stop")  # the prompt is whole, wherever its list was cut
    row = desk.row(reply, prompt.seeds, prompt.kind, text=prompt.text, form="prompt")
    return row.judged("duplicate", "an earlier prompt")


async def _answered(settings: Settings, desk: Desk, teacher: str | None, prompt: Prompt) -> list[Row]:
    """The row of the best answer, after those of answers that are none."""
    messages = [{"role": "user", "content": prompt.message}]
    asks = (
        Ask(messages, settings.max_tokens, settings.temperature, settings.top_p, sample=n)
        for n in range(settings.responses)
    )
    replies = await asyncio.gather(*(desk.ask(ask, teacher) for ask in asks))
    rows = [_row(desk, prompt, reply) for reply in replies]
    good = [(reply, row) for reply, row in zip(replies, rows, strict=True) if not row.error]
    out = [row for row in rows if row.error]
    if not good:
        return out
    answers = [reply.text.strip() for reply, _ in good]
    choice = await choose(settings.reward, desk, messages, answers)
    scored = next((n for n, each in enumerate(choice.scores) if not each.error), 0)
    n = scored if choice.best is None else choice.best
    row = replace(good[n][1], more={**good[n][1].more, **choice.more(messages, answers)})
    row = replace(row, form="preference" if "pair" in row.more else "instruction")
    row = row.judged("reward", choice.why if choice.best is None else "", **choice.scores[n].values)
    return [*out, row]


def _row(desk: Desk, prompt: Prompt, reply: Reply) -> Row:
    answer = reply.text.strip()
    more = {
        "kind": prompt.kind, "topic": prompt.topic, "request": prompt.text, "answer": answer,
        "request_key": prompt.reply.key, "format": "dialogue",
    }  # fmt: skip
    text = f"{prompt.message}\n\n{answer}" if answer else ""
    # An answer about a document may quote it: that is no copy of a seed.
    own = () if prompt.document else prompt.seeds
    row = desk.row(reply, own, prompt.kind, text=text, form="instruction", domain=prompt.kind, more=more)
    return replace(
        row,
        seeds=tuple(seed.id for seed in prompt.seeds),
        seed_text=prompt.document or row.seed_text,
        licence=joined(sorted({seed.licence for seed in prompt.seeds} | ({reply.licence} - {""}))),
        depth=1 + max([reply.depth, prompt.reply.depth, *(seed.depth for seed in prompt.seeds)]),
    )


def _of(row: Row, generation: int) -> Row:
    return replace(row, more={**row.more, "generation": generation + 1})

"""Which answers are right, and how were they found? Problems whose answers are checked, with the traces that led there.

Ours are drawn with their answers (`tasks.generators`, the training split alone). The teacher's own have the answer that
most of its independent attempts agree on (self-consistency, Wang et al., arXiv 2203.11171). A trace is kept as the
teacher wrote it; the thoughts of one that reasons stay apart.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.errors import UserError
from orionlm.synth.desk import Ask, Desk, Reply, Seed, Worst
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.pairs import choose
from orionlm.synth.rows import Row
from orionlm.tasks import extract
from orionlm.tasks.generators.generate import generate
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.score import grade_text
from orionlm.tasks.task import Extraction, Form, Item, Task

NAME = "problems"
PAPER = "Nemotron-4 340B, arXiv:2406.11704; self-consistency, arXiv:2203.11171; STaR, arXiv:2203.14465"
WORTH = "STaR: GPT-J on its own checked rationales, CommonsenseQA 72.5 against 60.0 without rationales"
ANSWER = r"(?im)^[ \t*_#>]*answer[ \t*_]*[:=][ \t*_$`]*(\S.*?)[\s.*_$`]*$"


class Settings(BaseModel):
    """`questions` of each of our `families`, at its `difficulty`; from each seed a problem of the teacher's `own`, of
    `subject`, kept where a share `majority` of its attempts agree. `attempts` at each question."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    families: tuple[str, ...] = ("arithmetic", "programs")
    questions: int = Field(100, ge=1, le=1_000_000)
    difficulty: Mapping[str, Mapping[str, Any]] = {}
    own: bool = False
    subject: str = "mathematics"
    attempts: int = Field(2, ge=1, le=16)
    own_attempts: int = Field(5, ge=3, le=32)
    majority: float = Field(0.6, gt=0.5, le=1)
    passage: int = Field(2000, ge=50)
    reward: Reward = Reward(by="none")
    max_tokens: int = Field(1024, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)


@dataclass(frozen=True)
class Problem:
    """What is asked. `item` holds the right answer where it is known."""

    variant: str
    question: str
    form: Form = "number"
    item: Item | None = None
    seeds: tuple[Seed, ...] = ()
    shown: str = ""
    made: Reply = Reply()


def worst(settings: Settings) -> Worst:
    attempts = max(settings.attempts, 1 + settings.own_attempts if settings.own else 0)
    judged = 0 if settings.reward.by == "none" else (attempts + 2) * (1 + settings.reward.repairs)
    return Worst(attempts + judged, settings.passage + 8 * settings.max_tokens + 2000, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """A row for each question: our families' first, in their order, then the teacher's own, in that of the seeds."""

    async def one(given: Problem | Seed) -> Row:
        made = given if isinstance(given, Problem) else await _own(settings, desk, given)
        return made if isinstance(made, Row) else await _solved(settings, desk, made)

    drawn = list(_drawn(settings, desk))  # before any is asked: what a family cannot give is known first
    async for row in desk.each(one, drawn):
        yield row
    if settings.own:
        async for row in desk.each(one, seeds):
            yield row


def _drawn(settings: Settings, desk: Desk) -> Iterator[Problem]:
    for family in settings.families:
        seed = int(desk.random(family).integers(2**32))
        try:
            items = generate(family, "train", settings.questions, seed, settings.difficulty.get(family))
        except UserError:
            if not desk.round:
                raise
            continue  # it has hardly more questions than that: another draw may not find them all
        for item in items:
            yield Problem(family, item.question, item.extra["form"], item)


async def _own(settings: Settings, desk: Desk, seed: Seed) -> Problem | Row:
    shown = passage(seed.text, settings.passage, desk.random("own", seed.id))
    prompt = template("problems/own.txt").render(document=shown, subject=settings.subject)
    reply = await desk.ask(_ask(settings, prompt))
    row = desk.row(reply, [seed], "own", form="prompt", seed_text=shown)
    if row.error:
        return row
    return Problem("own", reply.text.strip(), "number", None, (seed,), shown, reply)


async def _solved(settings: Settings, desk: Desk, problem: Problem) -> Row:
    attempts = settings.attempts if problem.item else settings.own_attempts
    prompt = template("problems/answer.txt").render(question=problem.question)
    asks = [_ask(settings, prompt, n) for n in range(attempts)]
    replies = await asyncio.gather(*(desk.ask(ask) for ask in asks))
    task = Task(problem.variant, "generate", (), extraction=Extraction(ANSWER, form=problem.form))
    found = [_read(task, problem.item, reply) for reply in replies]
    more: dict[str, Any] = {"question": problem.question, "found": [each.answer for each in found]}
    if problem.item:
        truth = problem.item.answer
        faults = [_wrong(each, truth) for each in found]
    else:
        votes = Counter(each.answer for each in found if each.answer is not None)
        answer, count = votes.most_common(1)[0] if votes else (None, 0)
        if count < settings.majority * attempts:
            why = (
                f"{count} of {attempts} attempts agree, wanted are {settings.majority:.0%}"
                if count
                else found[0].detail
            )
            return _row(desk, problem, replies[0], more).judged("majority", why)
        truth = answer
        more["votes"] = count
        faults = ["" if each.answer == answer else f"{each.answer or each.detail}, most say {answer}" for each in found]
    more["answer"] = truth
    right = [n for n, fault in enumerate(faults) if not fault]
    if not right:
        return _row(desk, problem, replies[0], more).judged("answer", faults[0])
    messages = [{"role": "user", "content": prompt}]
    said = [n for n, each in enumerate(found) if each.answer is not None]
    answers = [replies[n].text.strip() for n in said]
    choice = await choose(settings.reward, desk, messages, answers, [not faults[n] for n in said])
    n = right[0] if choice.best is None else said[choice.best]
    more |= choice.more(messages, answers)
    row = _row(desk, problem, replies[n], more).judged("answer")
    scores = choice.scores[said.index(n)].values if choice.scores else {}
    return row.judged("reward", choice.why if choice.best is None else "", **scores)


def _row(desk: Desk, problem: Problem, reply: Reply, more: dict[str, Any]) -> Row:
    return desk.row(
        reply, problem.seeds, problem.variant, text=f"{problem.question}\n\n{reply.text.strip()}",
        form="preference" if "pair" in more else "problem", domain="problems", more={**more, "format": "math"},
        seed_text=problem.shown,
    )  # fmt: skip


def _read(task: Task, item: Item | None, reply: Reply) -> Grade:
    """The answer on its line; no answer is guessed from a text that does not say which is its own."""
    if reply.error:
        return Grade(Outcome.UNPARSABLE, None, f"no answer: {reply.error}")
    if reply.finish == "length":
        return Grade(Outcome.UNPARSABLE, None, "cut at its longest")
    if item is not None:
        return grade_text(task, item, reply.text)
    try:
        said = extract.find(reply.text, task.extraction)
    except TimeoutError:
        return Grade(Outcome.TIMED_OUT, None, "its answer could not be found in time")
    answer = None if said is None else extract.canonical(said, task.extraction.form)
    detail = "no answer found" if said is None else f"{said[:40]!r} is no {task.extraction.form}"
    return Grade(Outcome.RIGHT if answer is not None else Outcome.UNPARSABLE, answer, "" if answer else detail)


def _wrong(grade: Grade, truth: Any) -> str:
    if grade.outcome == Outcome.RIGHT:
        return ""
    return f"wrong: {grade.answer}, not {truth}" if grade.outcome == Outcome.WRONG else grade.detail


def _ask(settings: Settings, prompt: str, sample: int = 0) -> Ask:
    return Ask(
        [{"role": "user", "content": prompt}], settings.max_tokens, settings.temperature, settings.top_p, sample=sample
    )

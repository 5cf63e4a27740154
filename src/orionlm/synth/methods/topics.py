"""Of what could be asked? From broad topics, documents and keywords to prompts, as Nemotron-4 340B makes them.

arXiv 2406.11704, §3.2: topics and sub-topics give open questions and writing tasks, which are revised to be more
specific; documents give closed questions; concepts of mathematics and of Python give problems, once a classifier has
said that they belong there.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import regex
from pydantic import BaseModel, ConfigDict, Field

from orionlm.synth.desk import Ask, Desk, Reply, Seed
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.rows import Row
from orionlm.synth.structured import Listed, Lists, Unreadable, ask_until, listed, same_words, yes_or_no

Kind = Literal["open_qa", "writing", "closed_qa", "mathematics", "code"]
FIELDS = {"mathematics": "mathematics", "code": "programming in Python"}
FORMS = ("an essay", "an e-mail", "a short story", "a poem", "a speech", "a report", "a blog post", "a dialogue")
SENTENCES = (2, 4)  # of a revised prompt
_END = regex.compile(r"[.!?]+[\"'”’)\]]*(?=\s+[\"'“‘(\[]?[\p{Lu}\p{N}\p{Lo}])|[。！？]+(?=\S)")


class Topics(BaseModel):
    """`topics`, where given, stand for the broad ones, which else are asked for: `macro_topics` of them that cover
    `about`, each with `sub_topics`. `prompts` are made of each sub-topic, document and keyword; `keywords` are asked
    for in mathematics and in Python. `lists`: a teacher parses each list to JSON, or `strict`ly its lines are taken.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    about: str = "daily life, the world and science"
    topics: tuple[str, ...] = ()
    macro_topics: int = Field(5, ge=1, le=100)
    sub_topics: int = Field(5, ge=1, le=100)
    prompts: int = Field(2, ge=1, le=50)
    keywords: int = Field(10, ge=1, le=100)
    kinds: tuple[Kind, ...] = Field(("open_qa", "writing", "closed_qa", "mathematics", "code"), min_length=1)
    passage: int = Field(4000, ge=50)
    revise: bool = True
    lists: Lists = "teacher"
    repairs: int = Field(1, ge=0, le=5)
    list_tokens: int = Field(1024, ge=1)
    temperature: float = Field(0.7, ge=0, le=2)
    top_p: float = Field(0.95, gt=0, le=1)


@dataclass(frozen=True)
class Prompt:
    """A request to be answered, what it was made of, and the answer it was read from."""

    kind: str
    text: str
    reply: Reply
    topic: str = ""
    seeds: tuple[Seed, ...] = ()
    document: str = ""

    @property
    def message(self) -> str:
        """What the one who answers is sent."""
        if not self.document:
            return self.text
        return template("chain/closed_answer.txt").render(document=self.document, prompt=self.text)


Unit = Callable[[], Awaitable[list[Prompt | Row]]]


class Maker:
    """Makes prompts at a desk, with one teacher (None: they take turns). Rejected elements come back as rows."""

    def __init__(self, settings: Topics, desk: Desk, teacher: str | None) -> None:
        self.settings, self.desk, self.teacher = settings, desk, teacher

    async def units(self, seeds: Sequence[Seed]) -> AsyncIterator[Unit | Row]:
        """What prompts can be made of, each a piece of work; topics and keywords are asked for first."""
        settings = self.settings
        open_kinds = [kind for kind in settings.kinds if kind in ("open_qa", "writing")]
        if open_kinds:
            async for topic in self._sub_topics():
                if isinstance(topic, Row):
                    yield topic
                else:
                    for kind in open_kinds:
                        yield self._open(kind, topic)
        for place, field in FIELDS.items():
            if place in settings.kinds:
                async for keyword in self._keywords(place, field):
                    yield keyword if isinstance(keyword, Row) else self._problems(place, keyword)
        if "closed_qa" in settings.kinds:
            for seed in seeds:
                yield self._closed(seed, seed.text)

    async def again(self, rows: Sequence[Row]) -> AsyncIterator[Unit | Row]:
        """What an earlier generation kept gives the next: its requests revised, its answers asked about."""
        for row in rows:
            seed = Seed(row.id, row.text, row.licence, row.domain, depth=row.depth)
            kind, request, answer = (str(row.more[name]) for name in ("kind", "request", "answer"))
            if kind != "closed_qa":
                yield self._revised_again(kind, request, seed)
            if "closed_qa" in self.settings.kinds:
                yield self._closed(seed, answer)

    async def _sub_topics(self) -> AsyncIterator[str | Row]:
        settings = self.settings
        topics: Sequence[str] = settings.topics
        if not topics:
            found = await self._list("macro_topics", settings.macro_topics, about=settings.about)
            for row in self._rejected(found, "macro_topics", ()):
                yield row
            topics = found.items[: settings.macro_topics]

        async def below(topic: str) -> Listed:
            return await self._list("sub_topics", settings.sub_topics, topic=topic)

        seen: set[str] = set()
        async for found in self.desk.each(below, topics):
            for row in self._rejected(found, "sub_topics", ()):
                yield row
            for topic in found.items[: settings.sub_topics]:
                if same_words(topic) in seen:
                    yield self._row(found.reply, "sub_topics", topic).judged("duplicate", "an earlier sub-topic")
                else:
                    seen.add(same_words(topic))
                    yield topic

    async def _keywords(self, kind: str, field: str) -> AsyncIterator[str | Row]:
        """Concepts of a field, those alone that a classifier places there."""
        found = await self._list("keywords", self.settings.keywords, field=field)
        for row in self._rejected(found, f"{kind}_keywords", ()):
            yield row

        async def placed(keyword: str) -> str | Row:
            prompt = template("chain/belongs.txt").render(keyword=keyword, field=field)
            ask = Ask([{"role": "user", "content": prompt}], max_tokens=16, temperature=0.0, purpose="verify")
            said = await ask_until(self.desk, ask, yes_or_no, repairs=self.settings.repairs)
            if said.value:
                return keyword
            row = self._row(found.reply, f"{kind}_keywords", keyword)
            return row.judged("classifier", said.error or f"it does not belong to {field}")

        async for keyword in self.desk.each(placed, found.items[: self.settings.keywords]):
            yield keyword

    def _open(self, kind: str, topic: str) -> Unit:
        async def work() -> list[Prompt | Row]:
            form = FORMS[int(self.desk.random(kind, topic).integers(len(FORMS)))]
            found = await self._list(kind, self.settings.prompts, topic=topic, form=form)
            made: list[Prompt | Row] = [*self._rejected(found, kind, ())]
            for text in found.items[: self.settings.prompts]:
                prompt = Prompt(kind, text, found.reply, topic)
                made.append(await self._revised(prompt) if self.settings.revise else prompt)
            return made

        return work

    def _problems(self, kind: str, keyword: str) -> Unit:
        async def work() -> list[Prompt | Row]:
            found = await self._list(kind, self.settings.prompts, topic=keyword)
            texts = found.items[: self.settings.prompts]
            return [*self._rejected(found, kind, ()), *(Prompt(kind, text, found.reply, keyword) for text in texts)]

        return work

    def _closed(self, seed: Seed, text: str) -> Unit:
        async def work() -> list[Prompt | Row]:
            document = passage(text, self.settings.passage, self.desk.random("closed_qa", seed.id))
            found = await self._list("closed_qa", self.settings.prompts, document=document)
            asked = found.items[: self.settings.prompts]
            return [
                *self._rejected(found, "closed_qa", (seed,)),
                *(Prompt("closed_qa", each, found.reply, "", (seed,), document) for each in asked),
            ]

        return work

    def _revised_again(self, kind: str, request: str, seed: Seed) -> Unit:
        async def work() -> list[Prompt | Row]:
            return [await self._revised(Prompt(kind, request, Reply(), "", (seed,)))]

        return work

    async def _revised(self, prompt: Prompt) -> Prompt | Row:
        """The prompt with a constraint, in two to four sentences."""
        asked = template("chain/revise.txt").render(prompt=prompt.text)
        found = await ask_until(
            self.desk, self._ask(asked, 512), self._revision(prompt.text), teacher=self.teacher,
            repairs=self.settings.repairs,
        )  # fmt: skip
        if found.value is None:
            row = self._row(found.reply, prompt.kind, prompt.text, prompt.seeds)
            return row.judged("revision", found.error)
        return Prompt(prompt.kind, found.value, found.reply, prompt.topic, prompt.seeds)

    @staticmethod
    def _revision(before: str) -> Callable[[str], str]:
        def read(text: str) -> str:
            text = text.strip()
            count, (least, most) = sentences(text), SENTENCES
            if not least <= count <= most:
                raise Unreadable(f"it has {count} sentence{'s' * (count != 1)}, not {least} to {most}")
            if same_words(text) == same_words(before):
                raise Unreadable("it is the same request")
            return text

        return read

    async def _list(self, name: str, n: int, **told: Any) -> Listed:
        prompt = template(f"chain/{name}.txt").render(n=n, **told)
        ask = self._ask(prompt, self.settings.list_tokens)
        return await listed(
            self.desk, ask, teacher=self.teacher, repairs=self.settings.repairs, how=self.settings.lists
        )

    def _ask(self, prompt: str, most: int) -> Ask:
        return Ask(
            [{"role": "user", "content": prompt}], max_tokens=most, temperature=self.settings.temperature,
            top_p=self.settings.top_p,
        )  # fmt: skip

    def _rejected(self, found: Listed, variant: str, seeds: Iterable[Seed]) -> list[Row]:
        """A row for each element that goes, and one for a list that could not be read."""
        rows = []
        for element in found.hallucinated:
            row = self._row(found.reply, variant, element, seeds)
            rows.append(row.judged("hallucinated", "the text that it was parsed from does not hold it"))
        for element in found.duplicates:
            rows.append(self._row(found.reply, variant, element, seeds).judged("duplicate", "twice in one list"))
        if found.error:
            rows.append(self._row(found.reply, variant, found.reply.text, seeds).judged("list", found.error))
        return rows

    def _row(self, reply: Reply, variant: str, text: str, seeds: Iterable[Seed] = ()) -> Row:
        reply = replace(reply, finish="stop")  # an element is whole, wherever its list was cut
        return self.desk.row(reply, tuple(seeds), variant, text=text, form="prompt")


def sentences(text: str) -> int:
    """How many sentences a text has: ends that a capital, a number or a script without case follows, and the last."""
    return len(_END.findall(text.strip())) + bool(text.strip())

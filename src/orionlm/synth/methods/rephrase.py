"""The same content in other words or another form: Nemotron-CC's five ways, WRAP's styles, formats of FinePhrase."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.settings import nearest
from orionlm.synth.desk import Ask, Desk, Seed, Worst
from orionlm.synth.methods import template
from orionlm.synth.passages import passage
from orionlm.synth.rows import Row

NAME = "rephrase"
PAPER = "Nemotron-CC, arXiv:2412.02595; WRAP, Maini et al., arXiv:2401.16380; FinePhrase (2026)"
WORTH = (
    "WRAP: about 3 times faster at 1 : 1 with real text, over 10% lower perplexity; Nemotron-CC: MMLU + 5.6 over DCLM "
    "at 8B, 1T tokens; FinePhrase: small teachers with format prompts (faq, maths, table, tutorial) are on the Pareto "
    "front; about 30% of it beside real text, alone it is no faster"
)
PAIRS = 8  # question and answer pairs at most, Nemotron-CC §A
PAIR_TOKENS = 150  # of the passage for each pair
_FENCED = re.compile(r"^ {0,3}```.*\n((?:.*\n)*?) {0,3}```[ \t]*(?:\n|\Z)", re.M)
_QUESTION = r"^[\W\d_]*question\b[\W\d_]*"
_PAIR = re.compile(
    rf"{_QUESTION}?:[*_ ]*(.+?)\n\s*[\W_]*answer\b[\W_]*?:[*_ ]*(.+?)(?={_QUESTION}:|\Z)", re.I | re.M | re.S
)


@dataclass(frozen=True)
class Variant:
    """`paper`: whose it is; `prefix`: words the answer is told to begin with, checked and removed; `form`: what a text
    of it looks like, for the gate's declared target; `plain`: markdown is removed."""

    paper: str
    prefix: str = ""
    form: str = "prose"
    plain: bool = True


VARIANTS = {
    "wikipedia": Variant("Nemotron-CC", "Here is a paraphrased version:"),
    "diverse_qa": Variant("Nemotron-CC", "Here are the questions and answers based on the provided text:", "faq"),
    "distil": Variant("Nemotron-CC", "Paraphrased Text:"),
    "extract_knowledge": Variant("Nemotron-CC"),
    "knowledge_list": Variant("Nemotron-CC", form="list"),
    "easy": Variant("WRAP"),
    "medium": Variant("WRAP"),
    "hard": Variant("WRAP"),
    "qa": Variant("WRAP", form="faq"),
    "faq": Variant("FinePhrase", form="faq", plain=False),
    "math": Variant("FinePhrase", form="math", plain=False),
    "table": Variant("FinePhrase", form="table", plain=False),
    "tutorial": Variant("FinePhrase", form="list", plain=False),
    "discussion": Variant("FinePhrase", form="dialogue", plain=False),
}


class Settings(BaseModel):
    """`variants`: each seed is rephrased in each. `passage`: most characters of a seed that are shown. `token_bounds`:
    shorter and longer answers are rejected. `append`: question and answer pairs of `diverse_qa` follow the passage they
    are about, as published; else they stand alone."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    variants: tuple[str, ...] = Field(
        default=("wikipedia", "diverse_qa", "distil", "extract_knowledge", "knowledge_list"), min_length=1
    )
    passage: int = Field(default=2000, ge=50)
    token_bounds: tuple[int, int] = (50, 510)
    append: bool = True
    max_tokens: int = Field(default=1024, ge=1)
    temperature: float = Field(default=0.7, ge=0, le=2)
    top_p: float = Field(default=0.9, gt=0, le=1)

    @field_validator("variants")
    @classmethod
    def _known(cls, variants: tuple[str, ...]) -> tuple[str, ...]:
        for name in variants:
            if name not in VARIANTS:
                raise ValueError(f"variant {name!r}: no such variant; {nearest(name, VARIANTS)}")
        return variants


def worst(settings: Settings) -> Worst:
    return Worst(1, settings.passage + 1200, settings.max_tokens)


async def write(settings: Settings, seeds: Sequence[Seed], desk: Desk) -> AsyncIterator[Row]:
    """A row for each seed and variant, seed by seed."""

    async def one(item: tuple[Seed, str]) -> Row:
        seed, name = item
        chance = desk.random(seed.id, name)
        shown = passage(seed.text, settings.passage, chance)
        prompt = template(f"rephrase/{name}.txt").render(passage=shown, prefix=VARIANTS[name].prefix)
        reply = await desk.ask(
            Ask(
                [{"role": "user", "content": prompt}],
                max_tokens=settings.max_tokens,
                temperature=settings.temperature,
                top_p=settings.top_p,
            )
        )
        text, fault = finished(reply.text, VARIANTS[name])
        if name == "diverse_qa" and not fault:
            text, fault = pairs(text, len(shown), chance)
            if settings.append and text:
                text = f"{shown}\n\n{text}"
        given = len(shown) + 2 if name == "diverse_qa" and settings.append and text and not fault else 0
        known = {"format": VARIANTS[name].form} | ({"given": given} if given else {})
        row = desk.row(reply, [seed], name, text=text, seed_text=shown, more=known)
        if row.error:
            return row
        row = row.judged("form", fault)
        low, high = settings.token_bounds
        within = low <= (reply.tokens or len(text.split())) <= high
        return row.judged("length", "" if within else f"{reply.tokens} tokens, wanted are {low} to {high}")

    async for row in desk.each(one, ((seed, name) for seed in seeds for name in settings.variants)):
        yield row


def finished(text: str, variant: Variant) -> tuple[str, str]:
    """The answer as a text, and why it is none. Nemotron-CC §A: an answer without the prefix it was told to begin with
    goes, so do quotation marks around it, and markdown."""
    text = text.strip()
    if variant.prefix:
        found = re.match(
            r"[\W_]*" + r"\W+".join(map(re.escape, re.findall(r"\w+", variant.prefix))) + r"[\W_]*?(\n|$|:\**)",
            text,
            re.I,
        )
        if not found:
            return text, f"it does not begin with {variant.prefix!r}"
        text = text[found.end() :].strip()
    if len(text) > 1 and text[0] in '"“' and text[-1] in '"”' and not set(text[1:-1]) & set('"“”'):
        text = text[1:-1].strip()
    return (without_markdown(text) if variant.plain else text), ""


def without_markdown(text: str) -> str:
    """Headings, emphasis, quotes, fences and links as plain text; lists keep their marks, code all of its own."""
    pieces = _FENCED.split(text)
    pieces[::2] = map(_plain, pieces[::2])
    return re.sub(r"\n{3,}", "\n\n", "".join(pieces)).strip()


def _plain(text: str) -> str:
    text = re.sub(r"(?m)^ {0,3}#{1,6} +", "", text)
    text = re.sub(r"(?m)^ {0,3}> ?", "", text)
    text = re.sub(r"(?m)^ {0,3}([-*_])( *\1){2,} *\n?", "", text)
    text = re.sub(r"!?\[([^\]\n]*)\]\([^)\s]*\)", r"\1", text)
    text = re.sub(r"(?<![\w*])(\*{1,3})(?=\S)([^*\n]+?)(?<=\S)\1(?![\w*])", r"\2", text)
    return re.sub(r"(?<![\w_])(_{2,3})(?=\S)([^_\n]*?\s[^_\n]*?)(?<=\S)\1(?![\w_])", r"\2", text)  # not __init__


def pairs(text: str, characters: int, chance: np.random.Generator) -> tuple[str, str]:
    """The question and answer pairs of `text`, in the order that chance says, no more than one for 150 tokens (about
    600 characters) of the passage and at most 8; and why there are none."""
    found = [(" ".join(question.split()), " ".join(answer.split())) for question, answer in _PAIR.findall(text)]
    found = [pair for pair in found if all(pair)]
    if not found:
        return "", "no pair of question and answer in it"
    most = min(PAIRS, max(1, characters // (4 * PAIR_TOKENS)))
    order = [int(place) for place in chance.permutation(len(found))[:most]]
    return "\n\n".join(f"Question: {found[place][0]}\nAnswer: {found[place][1]}" for place in order), ""

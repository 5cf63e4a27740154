"""Who is asked? Endpoints and checkpoints as teachers: their terms, their revisions, their thoughts kept apart."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.artifact import MANIFEST, open_artifact
from orionlm.errors import UserError
from orionlm.inference.client.budget import Budget, Limits, Tariff
from orionlm.inference.client.client import Tally
from orionlm.inference.client.endpoint import Endpoint, Model, served
from orionlm.inference.client.prices import PriceList
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer, Usage
from orionlm.progress import Progress
from orionlm.sampling import Sampling
from orionlm.synth.desk import PURPOSES, Ask, Reply
from orionlm.synth.line import Line

_THOUGHT = r"think|thinking|thought|thoughts|reasoning"
_BEFORE = re.compile(rf"\s*<({_THOUGHT})>(.*?)(?:</\1>|\Z)", re.DOTALL)
_UNOPENED = re.compile(rf"</(?:{_THOUGHT})>")


class TeacherSettings(BaseModel):
    """A teacher: the API at `url` (`model`: which there), or a `checkpoint` of ours, served while it is asked.

    `terms`: whether its owner's terms allow training on its answers; `terms_text` says where that stands, and `licence`
    (such as LicenseRef-TERMS) joins that of each row. `depth`: generations of models in what it was itself trained on.
    `purposes`: what it is asked for when nobody is named. `patience`: seconds it is waited for when it goes away. The
    limits hold for all that is ever spent on it for one purpose, at `prices` (a file) or the prices we know.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    url: str = ""
    checkpoint: Path | None = None
    model: str | None = None
    name: str = Field(default="", pattern=r"^[\w.@ -]*$")
    revision: str = ""
    terms: Literal["allowed", "forbidden", "unknown"] | None = None
    terms_text: str = ""
    licence: str = ""
    depth: int | None = Field(default=None, ge=0)
    purposes: tuple[Literal["teacher", "verify", "reward"], ...] = PURPOSES  # type: ignore[assignment]
    api_key_env: str | None = None
    concurrency: int = Field(default=64, ge=1)
    timeout: float = Field(default=600.0, gt=0)
    tries: int = Field(default=6, ge=1)
    patience: float = Field(default=7200.0, ge=0)
    dollars: float | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    prices: Path | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> TeacherSettings:
        if bool(self.url) == (self.checkpoint is not None):
            raise ValueError("give a teacher a url or a checkpoint, one of the two")
        return self

    @property
    def known_terms(self) -> str:
        """What is recorded: of a checkpoint of ours nobody else disposes."""
        return self.terms or ("allowed" if self.checkpoint else "unknown")


def check(teachers: Sequence[TeacherSettings]) -> dict[str, TeacherSettings]:
    """The teachers by their names, before anything is asked. UserError where one may not be used."""
    named: dict[str, TeacherSettings] = {}
    for number, teacher in enumerate(teachers, start=1):
        name = teacher.name or teacher.model or (teacher.checkpoint.name if teacher.checkpoint else f"teacher {number}")
        if teacher.known_terms == "forbidden":
            raise UserError(
                f"teacher {name}: its terms forbid training on its answers"
                f"{f' ({teacher.terms_text})' if teacher.terms_text else ''}; take another, nothing was asked"
            )
        if name in named:
            raise UserError(f"teachers: two are called {name!r}; give each a name")
        named[name] = teacher
    if not named:
        raise UserError("teachers: there is none; name an endpoint or a checkpoint, or give the input run")
    return named


@asynccontextmanager
async def asked(
    teachers: Sequence[TeacherSettings],
    store: Path,
    *,
    record: Callable[..., None] = lambda purpose, **spent: None,
    progress: Progress | None = None,
) -> AsyncIterator[dict[str, Asked]]:
    """The teachers, ready to be asked; `record` is told what was spent when the block ends, however it ends."""
    progress = progress or Progress(quiet=True)
    async with AsyncExitStack() as stack:
        ready: dict[str, Asked] = {}
        for name, settings in check(teachers).items():
            if settings.checkpoint:
                progress.say(f"starting a server for {settings.checkpoint.name}")
                endpoint = await stack.enter_async_context(served(settings.checkpoint))
            else:
                endpoint = Endpoint.at(settings.url, settings.api_key_env)
            model = await endpoint.choose(settings.model)
            ready[name] = Asked(name, settings, endpoint, model, store, progress)
            stack.push_async_exit(ready[name].closing(record))
        yield ready


class Asked:
    """One teacher, over one store for each purpose it serves."""

    def __init__(
        self, name: str, settings: TeacherSettings, endpoint: Endpoint, model: Model, store: Path, progress: Progress
    ) -> None:
        self.name, self.settings, self.endpoint, self.model = name, settings, endpoint, model
        self.purposes: tuple[str, ...] = settings.purposes
        self.own = settings.checkpoint is not None
        # Our checkpoint is what its digest says. An endpoint's answers stand whatever it serves today: the rows say
        # which revision wrote them.
        self.revision = settings.revision or (model.revision if self.own else "")
        self.depth = _depth(settings)
        self.terms = settings.known_terms + (f": {settings.terms_text}" if settings.terms_text else "")
        flops = {model.name: model.flops_per_token} if model.flops_per_token else {}
        self.tariff = Tariff(PriceList.read(settings.prices), flops)
        limits = Limits(settings.dollars, settings.tokens)
        self.tariff.check(model.name, limits)
        told = hashlib.sha256(f"{model.name}\n{self.revision}".encode()).hexdigest()[:8]
        folder = store / re.sub(r"[^\w.@-]", "_", f"{name}-{told}")
        self._lines = {
            purpose: Line(name, endpoint, model, folder / purpose, Budget(limits, self.tariff), settings, progress)
            for purpose in PURPOSES
        }

    async def reply(self, ask: Ask, seed: int) -> Reply:
        """What it says. A row that it refuses has an `error`; UserError where it can be asked no more."""
        blank = Reply(
            teacher=self.name, terms=self.terms, depth=self.depth, licence=self.settings.licence, prompt=ask.text
        )
        try:
            request = self._request(ask, seed)
        except UserError as error:
            return replace(blank, error=str(error))
        line = self._lines[ask.purpose]
        answer = await line.answer(request)
        room = _room(answer)
        if 0 < room < request.max_tokens:  # only the server knows what its context leaves
            request = replace(request, sampling=replace(request.sampling, max_tokens=room))
            answer = await line.answer(request)
        blank = replace(blank, key=request.key)
        if not answer.ok:
            return replace(blank, error=_error(answer), revision=answer.revision)
        said = answer.said
        assert said is not None
        thoughts, text = separated(said.choice, said.text)
        revision = answer.revision
        if self.settings.revision and not self.own:  # pinned by its user, who cannot know what the server does
            revision = "/".join(filter(None, (revision, said.model, said.fingerprint)))
        return replace(
            blank, text=text, thoughts=thoughts, finish=said.finish, revision=revision,
            tokens=answer.completion_tokens or 0, prompt_tokens=answer.prompt_tokens or 0,
        )  # fmt: skip

    def _request(self, ask: Ask, seed: int) -> Request:
        # Each prompt has its own seed: with one for all, the first words of all answers would be drawn alike.
        drawn = hashlib.sha256(f"{seed} {ask.text}".encode("utf-8", "replace")).digest()
        longest = self.model.context * 3 // 4 if self.model.context else ask.max_tokens  # its prompt needs room, too
        sampling = Sampling(
            max_tokens=min(ask.max_tokens, longest), temperature=ask.temperature, top_p=ask.top_p, stop=ask.stop,
            seed=int.from_bytes(drawn[:4], "big") >> 2,
        )  # fmt: skip
        messages = None if isinstance(ask.prompt, str) else tuple(ask.prompt)
        prompt = ask.prompt if isinstance(ask.prompt, str) else None
        return Request(self.model.name, messages, prompt, sampling, self.revision, ask.sample)

    def tally(self) -> Tally:
        """What was asked of it since it was opened, for all purposes."""
        return _sum([tally for line in self._lines.values() for tally in line.tallies])

    def cost(self, prompt_tokens: int, tokens: int) -> dict[str, float | None]:
        """What so many tokens take, where that is known."""
        price, each = self.tariff.price(self.model.name), self.model.flops_per_token
        return {
            "flops": each * (prompt_tokens + tokens) if each else None,
            "dollars": price.nanodollars(Usage(prompt_tokens, tokens)) / 1e9 if price else None,
        }

    @property
    def dollars(self) -> float | None:
        """All that was ever spent on it, as its stores say; None where no price is known."""
        if self.tariff.price(self.model.name) is None:
            return None
        return sum(line.budget.spent.nanodollars for line in self._lines.values() if line.tallies) / 1e9

    def closing(self, record: Callable[..., None]) -> Callable[..., Any]:
        async def close(kind: type[BaseException] | None, *_: object) -> None:
            for purpose, line in self._lines.items():
                await line.close(kind, partial(record, purpose))

        return close


def separated(choice: Mapping[str, Any], text: str) -> tuple[str, str]:
    """A reasoning teacher's thoughts, and its answer without them: from a field of their own, or from tags before the
    answer. Where the tags are never closed, all of it is thoughts."""
    message = choice.get("message")
    said = message.get("reasoning_content") or message.get("reasoning") if isinstance(message, Mapping) else None
    thoughts = [said.strip()] if isinstance(said, str) and said.strip() else []
    while found := _BEFORE.match(text):
        thoughts.append(found[2].strip())
        text = text[found.end() :]
    if message is not None and (closed := _UNOPENED.search(text)):  # a chat template wrote the opening tag
        thoughts.append(text[: closed.start()].strip())
        text = text[closed.end() :]
    return "\n\n".join(filter(None, thoughts)), text.strip() if thoughts else text


def _room(answer: Answer) -> int:
    """Tokens an answer may have where the server refused one for its length and said the numbers, as `orion serve` and
    vLLM do; else 0."""
    told = f"{answer.error or ''} {answer.excerpt}"
    if answer.ok or answer.status != 400:
        return 0
    context = re.search(r"maximum context length is (\d{1,9}) tokens", told)
    prompt = re.search(r"prompt has (\d{1,9}) tokens|(\d{1,9}) in the (?:messages|prompt)", told)
    return int(context[1]) - int(prompt[1] or prompt[2]) if context and prompt else 0


def _error(answer: Answer) -> str:
    told = " ".join((answer.error or "no answer").split())
    if answer.status == 400 and re.search("context_length_exceeded|maximum context length", told + answer.excerpt):
        return "the prompt exceeds the teacher's context"
    return told[:200]


def _depth(settings: TeacherSettings) -> int:
    """Generations of models in the text it learnt from: as its settings say, else as the corpora say that a checkpoint
    of ours was made from; 0 where nobody does."""
    if settings.depth is not None or settings.checkpoint is None:
        return settings.depth or 0
    folder = next(
        (p for p in (settings.checkpoint, *settings.checkpoint.resolve().parents[:3]) if (p / MANIFEST).is_file()), None
    )
    if folder is None:
        return 0
    beside = [open_artifact(found.parent, verify=False) for found in folder.resolve().parent.glob(f"*/{MANIFEST}")]
    known = {artifact.digest: artifact for artifact in beside}
    due, seen, depth = [open_artifact(folder, verify=False)], set[str](), 0
    while due:
        artifact = due.pop()
        if artifact.digest in seen:
            continue
        seen.add(artifact.digest)
        if "corpus.json" in artifact.manifest["files"]:
            depth = max(depth, int(artifact.json("corpus.json").get("depth", 0)))
        due += [known[digest] for digest in artifact.manifest["inputs"].values() if digest in known]
    return depth


def _sum(tallies: Sequence[Tally]) -> Tally:
    names = ("bought", "stored", "failed", "calls", "retries", "lost", "prompt_tokens", "completion_tokens")
    return Tally(**{name: sum(getattr(tally, name) for tally in tallies) for name in names})

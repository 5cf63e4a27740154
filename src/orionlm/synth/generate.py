"""What do teachers write from a corpus? Stage `generate`: methods over seeds, until there is enough.

The rows are the same bytes however often the stage was killed: what was answered lies in the run's folder, beside its
artifacts, where nothing deletes it.
"""

from __future__ import annotations

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model, model_validator

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import SYNTHETIC, read_documents, shard_files
from orionlm.errors import UserError
from orionlm.inference.client.prices import PriceList
from orionlm.inference.client.response import Usage
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.synth import interrupted
from orionlm.synth.desk import Seed
from orionlm.synth.methods import METHODS, choices, chosen, load
from orionlm.synth.rows import write_rows
from orionlm.synth.teachers import TeacherSettings, asked, check
from orionlm.synth.writing import Generated, about, generate, share_of, write

if TYPE_CHECKING:
    from orionlm.progress import Progress
    from orionlm.recipe.context import Context

STORE = "teachers"  # in the run's folder


class _Wanted(BaseModel):
    """A table for each method turns it on, `METHOD = {}` with its defaults. Several share `rows` or `tokens` equally:
    of kept rows, and as the teachers count what they wrote; without either, each method goes over the seeds once.
    `documents` of the corpus, drawn by chance, are the seeds. Where no teacher is named, the input `run` is it. Where
    there is an input `aligned`, seeds are the documents that its gate wants rows about, each as often as it wants them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    rows: int | None = Field(default=None, ge=1)
    tokens: int | None = Field(default=None, ge=1)
    documents: int = Field(default=10_000, ge=1)
    teachers: tuple[TeacherSettings, ...] = ()

    @model_validator(mode="after")
    def _something_to_do(self) -> _Wanted:
        if not self.methods():
            raise ValueError(f"no method is asked for; write one of {', '.join(f'{name} = {{}}' for name in METHODS)}")
        return self

    def methods(self) -> dict[str, BaseModel]:
        return chosen(self)


Settings = create_model(  # type: ignore[call-overload]
    "Settings",
    __base__=_Wanted,
    __doc__=_Wanted.__doc__,
    **choices(),
)


def drawn(documents: Iterable[Any], most: int, seed: int, depth: int = 0) -> list[Seed]:
    """`most` documents, each as likely as any other, in an order of chance; the same in every run. `depth`: of those
    that models wrote, where a corpus has some and says it."""
    held: list[tuple[int, int, Seed]] = []
    for number, each in enumerate(documents):
        place = int.from_bytes(hashlib.sha256(f"{seed} {each.id}".encode()).digest()[:8], "big")
        generations = max(depth, 1) if each.source.startswith(SYNTHETIC) else 0
        found = (-place, number, Seed(each.id, each.text, each.licence, each.domain, each.source, generations))
        if len(held) < most:
            heapq.heappush(held, found)
        else:
            heapq.heappushpop(held, found)
    return [found for _, _, found in sorted(held, key=lambda one: (-one[0], one[1]))]


def missing(
    gate: Mapping[str, Any], documents: Iterable[Any], most: int, seed: int, depth: int = 0
) -> list[list[Seed]]:
    """Passes over the documents that a gate wants rows about: the n-th over those of which it wants n or more. `most`
    seeds in all."""
    wanted = {one["document"]: one["rows"] for one in gate["wanted"]}
    if not wanted:
        raise UserError("aligned: its gate wants no more rows; leave this input out to write about all documents")
    seeds = drawn((each for each in documents if each.id in wanted), most, seed, depth)
    if not seeds:
        raise UserError(
            "aligned: no document that its gate wants rows about is in corpus; give the one it compared with"
        )
    passes, left = [], most
    for number in range(max(wanted[each.id] for each in seeds)):
        passes.append([each for each in seeds if wanted[each.id] > number][:left])
        left -= len(passes[-1])
    return [each for each in passes if each]


async def write_missing(
    passes: Sequence[Sequence[Seed]],
    methods: Mapping[str, BaseModel],
    teachers: Sequence[TeacherSettings],
    store: Path,
    *,
    seed: int,
    progress: Progress | None = None,
    record: Callable[..., None] = lambda purpose, **spent: None,
) -> Generated:
    """One row for each seed of each pass, methods by turns. What is rejected is not asked for again."""
    found, names = Generated(), list(methods)
    async with asked(teachers, store, record=record, progress=progress) as ready:
        for number, seeds in enumerate(passes):
            for place, name in enumerate(names):
                if own := seeds[(place + number) % len(names) :: len(names)]:
                    # Never by the seed itself: with it, the same was asked before the gate.
                    part = await write(own, {name: methods[name]}, ready, seed=seed + 1 + number, progress=progress)
                    found.rows += part.rows
                    found.warnings += part.warnings
        found.teachers = {name: about(teacher, found.rows) for name, teacher in ready.items()}
    return found


def run(settings: Any, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `rows-*.parquet` and `generation.json`."""
    teachers = _teachers(settings, inputs["run"].path if "run" in inputs else None)
    check(teachers)
    corpus = inputs["corpus"]
    depth = corpus.json("corpus.json").get("depth", 0)
    documents = read_documents(shard_files(corpus.path, "train"))
    store = context.run_dir / STORE / context.stage
    more: dict[str, Any] = {"seed": context.seed, "progress": context.progress, "record": context.record}
    if "aligned" in inputs:
        if settings.tokens is not None:
            raise UserError(f"tokens = {settings.tokens}: what `aligned` wants is counted in rows; limit it by rows")
        most = settings.rows or settings.documents
        passes = missing(inputs["aligned"].json("gate.json"), documents, most, context.seed, depth)
        found = interrupted.run(lambda: write_missing(passes, settings.methods(), teachers, store, **more))
    else:
        seeds = drawn(documents, settings.documents, context.seed, depth)
        more |= {"rows": settings.rows, "tokens": settings.tokens}
        found = interrupted.run(lambda: generate(seeds, settings.methods(), teachers, store, **more))
    if not found.kept:
        worst, count = Counter(row.error for row in found.rows).most_common(1)[0]
        raise UserError(f"no row can be kept of {len(found.rows):,} ({count:,}: {worst}); what was answered is kept")
    write_rows(out, found.rows)
    write_json(out / "generation.json", found.report() | {"wanted": {"rows": settings.rows, "tokens": settings.tokens}})


def _teachers(settings: Any, run: Path | None) -> Sequence[TeacherSettings]:
    if settings.teachers or run is None:
        return settings.teachers
    return [TeacherSettings(checkpoint=run, name="run")]


def derive(settings: Any, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """How much is asked, and the most that costs where no row is rejected."""
    numbers: list[Derived] = []
    methods, teachers = settings.methods(), _teachers(settings, Path("run") if "run" in known else None)
    check(teachers)
    requests = tokens = prompt_tokens = 0.0
    for place, (name, own_settings) in enumerate(methods.items()):
        if not hasattr(load(name), "worst"):
            continue
        worst = load(name).worst(own_settings)
        rows = share_of(settings.rows, len(methods), place) or settings.documents
        own = rows * worst.requests
        numbers.append(
            Derived(f"{name}: requests", math.ceil(own), "", "rows · requests a row, where none is rejected")
        )
        requests += own
        prompt_tokens += own * worst.prompt_characters / 4
        tokens += own * worst.max_tokens
    if settings.tokens is not None:
        tokens = min(tokens, settings.tokens) if settings.rows else settings.tokens
    numbers.append(Derived("tokens written at most", math.ceil(tokens), "token", "requests · max_tokens, or `tokens`"))
    flops = 0.0
    shape = known.get("run", {}).get("shape")
    if shape is not None and not settings.teachers:
        flops = (tokens + prompt_tokens) * shape.forward_flops_per_token()
        numbers.append(
            Derived("teacher FLOPs at most", flops, "FLOP", "(prompt + written tokens) · 2N, with attention")
        )
    for teacher in teachers:
        price = PriceList.read(teacher.prices).find(teacher.model or "")
        if price:
            share = 1 / len(teachers)
            usage = Usage(math.ceil(prompt_tokens * share), math.ceil(tokens * share))
            dollars = price.nanodollars(usage) / 1e9
            numbers.append(
                Derived(f"{teacher.name or teacher.model}: at most", dollars, "$", f"tokens · {price.origin}")
            )
        if teacher.dollars is not None:
            numbers.append(Derived(f"{teacher.name or teacher.model}: limit", teacher.dollars, "$", "dollars"))
    return Estimate(numbers, flops, None, {"rows": settings.rows, "tokens": settings.tokens})

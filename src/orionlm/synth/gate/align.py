"""Which of the rows may be trained on? Stage `align`: the gate, mending, and the gate again.

Only what it admits can enter a corpus (`synth.augment`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field, field_validator

from orionlm.artifact import Artifact, write_json
from orionlm.data.decontamination.decontaminate import Given
from orionlm.data.documents import Document, genuine, read_documents, shard_files
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.synth.gate.declared import formats
from orionlm.synth.gate.gate import GateSettings, gate, sorted_out
from orionlm.synth.gate.mend import Mended, mend
from orionlm.synth.measures.sentence_model import SentenceModel
from orionlm.synth.rows import Row, read_rows, row_files, write_rows

if TYPE_CHECKING:
    from orionlm.recipe.context import Context
    from orionlm.tasks.task import Suite


class Settings(GateSettings):
    """`format`: what the rows were asked to look like: "declared", as its method says; "as real"; or see `declared`.
    `excerpts`: real text is cut into pieces as long as the rows first, for rows that are pieces themselves. `suites`:
    what models will be measured on, as in decontamination; held-out text always is. `mend`: save what can be saved.
    `texts` of either side are compared at most."""

    format: str | dict[str, str] = "declared"
    excerpts: bool = False
    suites: tuple[str | Given, ...] = ()
    mend: bool = True
    texts: int = Field(default=20_000, ge=100)

    @field_validator("format")
    @classmethod
    def _known(cls, format: str | dict[str, str]) -> str | dict[str, str]:
        formats(format, [])  # UserError is a ValueError
        return format


def can_begin(settings: Settings) -> None:
    """That its suites and its sentence model can be read, before anything is made."""
    _suites(settings)
    if settings.embed:
        SentenceModel(settings.embed)


def _suites(settings: Settings) -> list[Suite]:
    from orionlm.tasks.suite import load_suite

    named = [entry if isinstance(entry, Given) else Given(suite=entry) for entry in settings.suites]
    return [load_suite(entry.suite, entry.given) for entry in named]


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `rows-*.parquet`, what stays; `dropped-*.parquet` with reasons; `gate.json`: the verdict on what stays,
    what it was before, and what each step of mending removed."""
    began = time.perf_counter()
    if settings.excerpts:
        settings = settings.model_copy(update={"pieces": True})
    files = row_files(inputs["rows"].path)
    if not files:
        raise UserError(f"{inputs['rows'].path}: no rows-00000.parquet here; make the rows again")
    rng = np.random.default_rng([context.seed, 30])
    rows, spare = _sample(list(read_rows(files)), settings.texts, rng)
    documents = list(genuine(read_documents(shard_files(inputs["corpus"].path, "train"))))
    ids, real = _real(documents, rows, settings, rng)
    held_out = [one.text for one in read_documents(shard_files(inputs["corpus"].path, "validation"))]
    suites = _suites(settings)
    context.progress.say(f"{context.stage}: {len(rows):,} rows against {len(real):,} real texts")
    if spare:
        context.progress.say(f"{context.stage}: {_left_out(spare, settings)}")
    if settings.mend:
        found = mend(real, rows, settings, seed=context.seed, held_out=held_out, suites=suites, groups=ids)
    else:
        usable, refused = sorted_out(rows)
        report = gate(real, rows, settings, seed=context.seed, held_out=held_out, suites=suites, groups=ids)
        found = Mended(usable, refused, report, report)
    write_rows(out, found.rows)
    write_rows(out, chain(found.dropped, (row.judged("gate", "beyond `texts`") for row in spare)), "dropped")
    write_json(out / "gate.json", _page(found, ids, spare, settings))
    context.progress.say(f"{context.stage}: {found.after.says()}")
    context.record("verify", seconds=time.perf_counter() - began)


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """What is compared, at most."""
    return Estimate([Derived("rows compared at most", settings.texts, "", "texts")])


def _sample(rows: list[Row], most: int, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
    """Rows that are compared, all that were rejected before among them, and what is left of the others."""
    usable = np.flatnonzero([not row.error and bool(row.text.strip()) for row in rows])
    if len(usable) <= most:
        return rows, []
    chosen = np.ones(len(rows), bool)
    chosen[usable] = False
    chosen[rng.choice(usable, most, replace=False)] = True
    return [r for r, c in zip(rows, chosen, strict=True) if c], [r for r, c in zip(rows, chosen, strict=True) if not c]


def _real(
    documents: Sequence[Document], rows: Sequence[Row], settings: Settings, rng: np.random.Generator
) -> tuple[list[str], list[str]]:
    """Ids and texts of what the rows are held against."""
    from orionlm.synth.excerpts import cut_like

    if settings.excerpts:
        pieces = list(cut_like([(one.id, one.text) for one in documents], rows))
    else:
        pieces = [(one.id, one.text) for one in documents]
    if len(pieces) > settings.texts:
        pieces = [pieces[n] for n in np.sort(rng.choice(len(pieces), settings.texts, replace=False))]
    return [id for id, _ in pieces], [text for _, text in pieces]


def _left_out(spare: Sequence[Row], settings: Settings) -> str:
    return f"{len(spare):,} rows are left out: texts = {settings.texts + len(spare)} admits them"


def _page(found: Mended, ids: Sequence[str], spare: Sequence[Row], settings: Settings) -> dict[str, Any]:
    reasons = Counter(row.error for row in found.dropped)
    asked = Counter(ids[place] for place in found.wanted)
    return found.to_json() | {
        "reasons": dict(reasons.most_common()),
        "not_compared": len(spare),
        **({"left_out": _left_out(spare, settings)} if spare else {}),
        "wanted": [{"document": id, "rows": count} for id, count in asked.most_common(200)],
    }

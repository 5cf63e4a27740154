"""Which documents are trained on and which are held out? Stage `corpus`: read, deduplicate, split.

Pieces of the input are read into `work/unit-*.parquet`; copies, ids and the split are settled on keys of a few bytes a
document; then the shards are written. A killed run goes on with the pieces and shards that are not there yet.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, json_digest, replacing, write_json
from orionlm.data import documents
from orionlm.data.documents import shard_files
from orionlm.data.ingest.collect import NAMED, read_unit, write_shard
from orionlm.data.ingest.quarantine import Quarantine, printable
from orionlm.data.ingest.sources import Source
from orionlm.data.ingest.spans import Unit
from orionlm.data.ingest.split import Plan, settle
from orionlm.data.jobs import Job, do, records
from orionlm.data.shares import SHARES, largest
from orionlm.errors import UserError

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

SPLITS = ("train", "validation")


class Settings(BaseModel):
    """`sources`: tables of `data/ingest/sources.py`, the first one wins where two hold the same document.

    `validation_groups` names the groups (packages, files, …) to hold out; without it groups are drawn by the hash of
    their name until about `validation_fraction` of the bytes is held out. Documents outside
    [`min_document_bytes`, `max_document_bytes`] are dropped and counted.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    sources: tuple[Source, ...] = Field(min_length=1)
    validation_fraction: float = Field(default=0.05, gt=0, lt=1)
    validation_groups: tuple[str, ...] = ()
    min_document_bytes: int = Field(default=1, ge=0)
    max_document_bytes: int | None = Field(default=None, gt=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `train-*.parquet`, `validation-*.parquet`, `corpus.json`, and `quarantine.jsonl`: what was unusable."""
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    for leftover in chain(work.glob("*.tmp"), out.glob("*.parquet.*.tmp")):
        leftover.unlink()
    limits = (settings.min_document_bytes, settings.max_document_bytes)
    jobs: dict[str, Job] = {}
    for source in settings.sources:
        for unit in source.units():
            file = work / f"unit-{len(jobs):05d}.parquet"
            jobs[file.stem] = Job(_origin(source, unit, limits), file, unit.size, (source, unit, *limits, file))
    do("corpus: reading", read_unit, jobs, work, context)
    unusable, dropped, counts = _left_out(jobs, work)
    with replacing(out / "quarantine.jsonl") as sink:
        for row in chain.from_iterable(unusable.kept.values()):
            sink.write(json.dumps(row, ensure_ascii=False).encode() + b"\n")
    for reason, count in unusable.counts.items():
        context.progress.say(f"corpus: {count:,} {reason}, first {unusable.first[reason][0]}; see quarantine.jsonl")
    if not sum(counts):
        raise UserError(f"the corpus is empty: {_reasons(unusable, dropped)}; name sources that hold text")

    shard_bytes, files = documents.SHARD_BYTES, [job.file for job in jobs.values()]
    plan = settle(files, counts, settings.validation_fraction, settings.validation_groups, shard_bytes)
    origin = json_digest([settings.model_dump(mode="json"), shard_bytes, [job.origin for job in jobs.values()]])
    jobs = {}
    for shard in plan.shards:
        file = out / f"{shard.split}-{shard.number:05d}.parquet"
        jobs[file.stem] = Job(origin, file, shard.bytes, (shard.parts, plan.unit, file))
    for stale in {file for split in SPLITS for file in shard_files(out, split)} - {job.file for job in jobs.values()}:
        stale.unlink()
    do("corpus: writing", write_shard, jobs, work, context)
    about = _splits(plan, jobs, work)
    write_json(
        out / "corpus.json",
        {
            **{total: sum(about[split][total] for split in SPLITS) for total in ("documents", "bytes")},
            "groups": plan.groups,
            "dropped": dict(dropped + unusable.counts + Counter(duplicate=plan.duplicates)),
            "duplicate_ids": plan.renamed,
            "quarantine": {
                reason: {"count": count, "first": unusable.first[reason]} for reason, count in unusable.counts.items()
            },
            "split": "by group" if plan.unit == "group" else "by document",
            "sources": [source.provenance() for source in settings.sources],
            **about,
        },
    )


def _origin(source: Source, unit: Unit, limits: tuple[int, int | None]) -> str:
    spans = [span._replace(path=printable(span.path)) for span in unit.spans]
    return json_digest([type(source).__name__, source.model_dump(mode="json"), spans, limits])


def _left_out(jobs: Mapping[str, Job], work: Path) -> tuple[Quarantine, Counter[str], list[int]]:
    """What was unusable, what was empty or too short, and how many documents each unit gave.

    UserError where a field that a source names is in none of its rows.
    """
    unusable, dropped, counts = Quarantine(), Counter[str](), []
    by_source: dict[Source, Quarantine] = {}
    for job, record in zip(jobs.values(), records(jobs, work), strict=True):
        unusable.include(record["quarantine"])
        by_source.setdefault(job.arguments[0], Quarantine()).include(record["quarantine"] | {"kept": {}})
        dropped.update(record["dropped"])
        counts.append(record["documents"])
    for source, found in by_source.items():
        for setting, count in found.lacking.items():
            if count == found.rows:
                kind, field = next(iter(source.provenance())), getattr(source, setting)
                first = found.lacking_first[setting]
                raise UserError(f"sources.{kind}: no row has the field {field!r} ({setting}); the first, {first}")
    return unusable, dropped, counts


def _reasons(unusable: Quarantine, dropped: Counter[str]) -> str:
    left_out = [f"{count:,} {reason} (first {unusable.first[reason][0]})" for reason, count in unusable.counts.items()]
    return ", ".join(left_out + [f"{count:,} {reason}" for reason, count in dropped.items()]) or "nothing was there"


def _splits(plan: Plan, jobs: Mapping[str, Job], work: Path) -> dict[str, Any]:
    """For each split its documents and bytes, these by domain, source and licence, and the names that are held out."""
    totals: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    shares: dict[str, dict[str, Counter[str]]] = {f"{split}_{share}s": {} for split in SPLITS for share in SHARES}
    held_out: set[str] = set()
    for shard, record in zip(plan.shards, records(jobs, work), strict=True):
        totals[shard.split].update({total: record[total] for total in ("documents", "bytes")})
        for share in SHARES:
            for value, (count, size) in record[share].items():
                held = shares[f"{shard.split}_{share}s"].setdefault(value, Counter())
                held.update(documents=count, bytes=size)
        if shard.split == "validation":
            held_out.update(record["names"])
    return {**totals, **{name: largest(held) for name, held in shares.items()}, "held_out": sorted(held_out)[:NAMED]}

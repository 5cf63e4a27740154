"""May synthetic text stand beside the real, and how much of it? Stage `augment`: a corpus with what the gate admitted.

The collapse guard: genuine text accumulates and is never replaced (Gerstgrasser et al. 2404.01413), at least
`real_share` of the bytes stay genuine, what earlier rounds added counted as synthetic, and nothing enters that is more
than `max_depth` generations of models away from a person.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import SYNTHETIC, Document, read_documents, shard_files
from orionlm.data.subset import write_corpus
from orionlm.errors import UserError
from orionlm.synth.rows import Row, read_rows, row_files
from orionlm.synth.students import documents

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`real_share`: of the bytes of the new corpus, at least; rows past it are left out, drawn by their ids.
    `max_depth`: generations of models since a person wrote; deeper rows are left out."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    real_share: float = Field(default=0.5, gt=0, lt=1)
    max_depth: int = Field(default=2, ge=1)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes a corpus: `train-*.parquet`, the held-out shards, `corpus.json`; and `augment.json`: what came in."""
    corpus, aligned = inputs["corpus"], inputs["rows"]
    gate = aligned.json("gate.json")
    if gate["verdict"] != "admitted":
        raise UserError(
            f"rows: the gate says {gate['verdict']}: {', '.join(gate['faults']) or 'see gate.json'}; "
            "only admitted text can be trained on: write other text, or more of it"
        )
    there = list(read_documents(shard_files(corpus.path, "train")))
    earlier = _size(one for one in there if one.source.startswith(SYNTHETIC))
    real = _size(there) - earlier
    rows, left_out = guard(list(read_rows(row_files(aligned.path))), real, settings, earlier)
    if not rows:
        raise UserError(f"rows: none may enter ({dict(left_out)}); see max_depth and real_share")
    added = [one for domain in sorted({row.domain for row in rows}) for one in documents(_of(rows, domain), domain)]
    before = corpus.json("corpus.json")
    depth = max(before.get("depth", 0), *(row.depth for row in rows))
    write_corpus(out, there + added, corpus, before | {"depth": depth})
    written = _size(added)
    page: dict[str, Any] = {
        "rows": len(rows),
        "bytes": written,
        "real_bytes": real,
        "earlier_bytes": earlier,
        "real_share": real / (real + earlier + written),
        "left_out": dict(left_out),
        "depths": dict(sorted(Counter(row.depth for row in rows).items())),
        "teachers": dict(Counter(f"{row.teacher} {row.revision}".strip() for row in rows)),
        "terms": dict(Counter(row.terms for row in rows)),
    }
    write_json(out / "augment.json", page)
    gone = "".join(f", {count:,} left out: {why}" for why, count in left_out.items())
    context.progress.say(f"{context.stage}: {len(rows):,} rows, {page['real_share']:.0%} of the text is real{gone}")


def guard(rows: Sequence[Row], real_bytes: int, settings: Settings, earlier: int = 0) -> tuple[list[Row], Counter[str]]:
    """The rows that may enter, in their order, and why the others may not. `earlier`: bytes of synthetic text that
    stand beside the real already."""
    left_out: Counter[str] = Counter()
    room = real_bytes * (1 / settings.real_share - 1) - earlier
    chosen: set[int] = set()
    for number in sorted(range(len(rows)), key=lambda k: hashlib.sha256(rows[k].id.encode()).digest()):
        size = len(rows[number].text.encode())
        if rows[number].error:
            left_out["rejected"] += 1
        elif rows[number].depth > settings.max_depth:
            left_out[f"more than {settings.max_depth} generations deep"] += 1
        elif size > room:
            left_out[f"past real_share = {settings.real_share:g}"] += 1
        else:
            chosen.add(number)
            room -= size
    return [row for number, row in enumerate(rows) if number in chosen], left_out


def _size(documents: Iterable[Document]) -> int:
    return sum(len(document.text.encode()) for document in documents)


def _of(rows: Sequence[Row], domain: str) -> list[Row]:
    return [row for row in rows if row.domain == domain]

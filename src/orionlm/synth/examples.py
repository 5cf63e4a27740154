"""What does one task look like, as text to learn from? Stage `examples`: solved questions of a family, as a corpus.

A document is one question with its answer. Trained on are questions of the family's training split, held out are those
of its validation split; the test split, which suites ask, is in neither (`tasks.generators.generate`).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import Document, TableFile, schema
from orionlm.data.shares import SHARES
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.tasks.generators.generate import Split, generate
from orionlm.tasks.task import Item

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`questions` of a `family` at its `difficulty` to train on, and `held_out` ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    family: str
    questions: int = Field(ge=1, le=1_000_000)
    held_out: int = Field(default=200, ge=1, le=1_000_000)
    difficulty: Mapping[str, Any] = {}


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes a corpus: `train-00000.parquet`, `validation-00000.parquet`, `corpus.json`."""
    import pyarrow as pa

    told: dict[str, Any] = {"sources": [{"family": settings.family}], "split": "by question", "dropped": {}}
    sides: tuple[tuple[Split, int], ...] = (("train", settings.questions), ("validation", settings.held_out))
    for split, count in sides:
        items = generate(settings.family, split, count, context.seed, settings.difficulty)
        documents = [
            Document(solved(item), f"examples: {settings.family}", settings.family, item.id, "examples", "CC0-1.0")
            for item in items
        ]
        sizes = np.array([len(one.text.encode()) for one in documents], np.int64)
        columns = dict(zip(Document._fields, map(list, zip(*documents, strict=True)), strict=True))
        with TableFile(out / f"{split}-00000.parquet", schema()) as file:
            file.add(pa.table(columns, schema=schema()), sizes)
        told[split] = {"documents": count, "bytes": int(sizes.sum())}
        for share in SHARES:
            told[f"{split}_{share}s"] = {getattr(documents[0], share): told[split]}
    both = {total: told["train"][total] + told["validation"][total] for total in ("documents", "bytes")}
    write_json(out / "corpus.json", told | both | {"groups": both["documents"], "held_out": []})


def solved(item: Item) -> str:
    """A question with its answer, as a document."""
    return f"{item.question} {item.extra.get('shown') or item.answer}\n"


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    return Estimate([Derived("solved questions", settings.questions, "", "questions")])

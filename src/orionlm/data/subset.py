"""What if there were less text? Stage `subset`: some of a corpus's documents, for studies of what text is worth.

Documents are taken in an order that the seed and their ids decide, so a larger subset holds the smaller ones. The last
is cut at the end of a line where it would be too much. Held-out text stays as it is.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import Document, TableFile, read_documents, schema, shard_files
from orionlm.data.shares import SHARES, largest
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate

if TYPE_CHECKING:
    from orionlm.recipe.context import Context


class Settings(BaseModel):
    """`bytes` of UTF-8 text to keep. `longest`: no document gives more than so many of them, its beginning."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    bytes: int = Field(gt=0)
    longest: int | None = Field(default=None, gt=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Writes `train-00000.parquet`, the held-out shards, `corpus.json`."""
    corpus = inputs["corpus"]
    keys = []
    for number, document in enumerate(read_documents(shard_files(corpus.path, "train"))):
        key = hashlib.sha256(f"{context.seed}/{document.id}".encode()).digest()
        size = len(document.text.encode())
        keys.append((key, number, min(size, settings.longest or size)))
    room, wanted = settings.bytes, {}
    for _, number, size in sorted(keys):
        if room <= 0:
            break
        wanted[number] = min(size, room)
        room -= size
    if room > 0:
        most = settings.bytes - room
        raise UserError(f"bytes = {settings.bytes:,}: the corpus has {most:,} to give; ask for fewer, or add text")
    everything = enumerate(read_documents(shard_files(corpus.path, "train")))
    kept = [one._replace(text=beginning(one.text, wanted[k])) for k, one in everything if k in wanted]
    before = corpus.json("corpus.json")
    write_corpus(out, [document for document in kept if document.text], corpus, before)


def beginning(text: str, size: int) -> str:
    """At most `size` bytes of a text, up to the last end of a line in its second half where there is one."""
    raw = text.encode()
    if len(raw) <= size:
        return text
    cut = raw[:size].decode(errors="ignore")
    end = cut.rfind("\n") + 1
    return cut[:end] if end > len(cut) // 2 else cut


def write_corpus(out: Path, train: list[Document], held_out: Artifact, before: dict) -> None:
    """A corpus of these documents, with the held-out shards of another."""
    import pyarrow as pa

    sizes = np.array([len(document.text.encode()) for document in train], np.int64)
    columns = [list(column) for column in zip(*train, strict=True)]
    with TableFile(out / "train-00000.parquet", schema()) as file:
        file.add(pa.table(dict(zip(Document._fields, columns, strict=True)), schema=schema()), sizes)
    for path in shard_files(held_out.path, "validation"):
        shutil.copyfile(path, out / path.name)
    counts: dict[str, dict[str, Counter[str]]] = {share: {} for share in SHARES}
    for document, size in zip(train, sizes.tolist(), strict=True):
        for share in SHARES:
            counts[share].setdefault(getattr(document, share), Counter()).update(documents=1, bytes=size)
    now = {"documents": len(train), "bytes": int(sizes.sum())}
    both = {total: now[total] + before["validation"][total] for total in now}
    shares = {f"train_{share}s": largest(held) for share, held in counts.items()}
    write_json(out / "corpus.json", before | both | shares | {"train": now})


def derive(settings: Settings, known: dict, context: Context) -> Estimate:
    return Estimate([Derived("text kept", settings.bytes, "B", "bytes")])

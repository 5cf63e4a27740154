"""How does text become token ids on disk, and how are they read back?

The stage `tokens` writes, for each split, one packed stream `document <eot> document <eot> …` cut into shards of whole
documents. A shard is finished when its record in `work/` is; an interrupted run skips the finished ones.
"""

from __future__ import annotations

import json
import os
import time
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.tokenizer import WordEncoder, token_lengths
from orionlm.errors import UserError
from orionlm.processes import pool
from orionlm.recipe.estimate import Derived, Estimate

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

SPLITS = ("train", "validation")
PROCESS_BYTES = 1 << 26

Job = tuple[Path, list[int], str]


class Settings(BaseModel):
    """`shard_bytes`: text that goes into one shard, in UTF-8 bytes; also the most that a killed run has to redo."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard_bytes: int = Field(default=1 << 26, gt=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Tokenises both splits of `corpus` with `tokenizer`; writes the shards and `tokens.json`."""
    corpus = inputs["corpus"]
    tokenizer = inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    jobs = {}
    for split in SPLITS:
        table = corpus.file(f"{split}.parquet")
        for index, row_groups in enumerate(shard_plan(table, settings.shard_bytes)):
            jobs[f"{split}-{index:05d}"] = (table, row_groups, tokenizer)
    due = {name: job for name, job in jobs.items() if not _finished(out, name)}
    size = sum(corpus.json("corpus.json")[split]["bytes"] for split in SPLITS)
    began = time.perf_counter()
    with context.progress.task("tokens", total=len(jobs)) as task:
        for done, (name, shard) in enumerate(_tokenised(due, work, size), start=len(jobs) - len(due) + 1):
            (work / f"{name}.bin").replace(out / f"{name}.bin")
            write_json(work / f"{name}.json", shard)
            now = time.perf_counter()
            context.record("data", tokens=shard["tokens"], seconds=now - began)
            began = now
            task.update(done, note=f"{name} · {shard['tokens']:,} tokens")
    summary: dict[str, Any] = {}
    for split in SPLITS:
        names = [name for name in jobs if name.startswith(f"{split}-")]
        shards = [{"file": f"{name}.bin", **json.loads((work / f"{name}.json").read_text())} for name in names]
        totals = {key: sum(shard[key] for shard in shards) for key in ("tokens", "bytes", "documents")}
        summary[split] = {**totals, "shards": shards}
    (out / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    encoder = _encoder(tokenizer)
    write_json(
        out / "tokens.json",
        {
            "dtype": encoder.dtype.name,
            "vocabulary": encoder.vocabulary,
            "eot": encoder.eot,
            "token_bytes": token_lengths(encoder.tokenizer),
            **summary,
        },
    )


def _finished(out: Path, name: str) -> bool:
    return (out / "work" / f"{name}.json").exists() and (out / f"{name}.bin").exists()


def _tokenised(jobs: dict[str, Job], work: Path, size: int) -> Iterator[tuple[str, dict[str, int]]]:
    """Shards as they are finished: one process for each `PROCESS_BYTES` of text, as far as there are cores."""
    processes = min(os.cpu_count() or 1, len(jobs), size // PROCESS_BYTES)
    if processes <= 1:
        for name, job in jobs.items():
            yield name, write_shard(*job, work / f"{name}.bin")
        return
    with pool(processes) as workers:
        running = {workers.submit(write_shard, *job, work / f"{name}.bin"): name for name, job in jobs.items()}
        for future in as_completed(running):
            yield running[future], future.result()


def shard_plan(corpus: Path, shard_bytes: int) -> list[list[int]]:
    """Row groups of a split's Parquet for each shard: consecutive, closed once their text reaches `shard_bytes`."""
    import pyarrow.parquet as pq

    plan: list[list[int]] = []
    held = shard_bytes
    with pq.ParquetFile(corpus) as table:
        column = table.schema_arrow.get_field_index("text")
        for group in range(table.metadata.num_row_groups):
            if held >= shard_bytes:
                plan.append([])
                held = 0
            plan[-1].append(group)
            held += table.metadata.row_group(group).column(column).total_uncompressed_size
    return plan


def write_shard(corpus: Path, row_groups: list[int], tokenizer: str, target: Path) -> dict[str, int]:
    """The documents of some row groups as one file of ids, each document ended by <eot>; returns what it holds."""
    import pyarrow.parquet as pq

    encoder = _encoder(tokenizer)
    eot = encoder.dtype.type(encoder.eot).tobytes()
    documents = size = 0
    with target.open("wb") as sink, pq.ParquetFile(corpus) as table:
        for group in row_groups:
            for text in table.read_row_group(group, columns=["text"]).column("text").to_pylist():
                sink.write(encoder.encode(text) + eot)
                documents += 1
                size += len(text.encode())
        tokens = sink.tell() // encoder.dtype.itemsize
        sink.flush()
        os.fsync(sink.fileno())
    return {"tokens": tokens, "documents": documents, "bytes": size}


@lru_cache(maxsize=1)
def _encoder(tokenizer: str) -> WordEncoder:
    return WordEncoder(tokenizer)


class TokenStream:
    """A split's packed tokens, read through memory maps: one sequence across the shards. `stream[a:b]` copies."""

    def __init__(self, shards: Sequence[np.ndarray]):
        self.shards = [np.asarray(shard) for shard in shards]
        self.starts = np.concatenate([[0], np.cumsum([len(shard) for shard in self.shards], dtype=np.int64)]).tolist()

    def __len__(self) -> int:
        return self.starts[-1]

    def __getitem__(self, key: slice) -> np.ndarray:
        start, stop, stride = key.indices(len(self))
        assert stride == 1
        return self.windows([start], max(stop - start, 0))[0]

    def windows(self, starts: Sequence[int], length: int) -> np.ndarray:
        """The tokens from each start on, int64 [len(starts), length]; every window must lie inside the stream."""
        tokens_wt = np.empty((len(starts), length), np.int64)
        for row, start in enumerate(starts):
            index, filled = bisect_right(self.starts, start) - 1, 0
            while filled < length:
                offset = start + filled - self.starts[index]
                piece = self.shards[index][offset : offset + length - filled]
                tokens_wt[row, filled : filled + len(piece)] = piece
                filled += len(piece)
                index += 1
        return tokens_wt


class TokenSet:
    """One split of a `tokens` artifact.

    `tokens`: the packed stream; `eot`: the id that ends each document; `vocabulary`: number of ids; `token_bytes`:
    int64 [vocabulary], UTF-8 bytes that each id stands for (special tokens 0), so that the bytes of any predicted
    tokens are `token_bytes[ids].sum()`; `documents`, `bytes`: of the split.
    """

    def __init__(
        self, tokens: TokenStream, *, split: str, eot: int, token_bytes: np.ndarray, documents: int = 0, bytes: int = 0
    ):
        self.tokens, self.split, self.eot = tokens, split, eot
        self.token_bytes, self.vocabulary = token_bytes, len(token_bytes)
        self.documents, self.bytes = documents, bytes

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def open(cls, path: Path | str, split: str) -> TokenSet:
        """Maps a split of the artifact directory `path`. UserError where it is none or a shard has the wrong length."""
        path = Path(path)
        try:
            info = json.loads((path / "tokens.json").read_text())
        except FileNotFoundError:
            raise UserError(f"{path}: no tokens.json here; give the directory of a `tokens` artifact") from None
        if split not in SPLITS:
            raise UserError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
        dtype = np.dtype(info["dtype"]).newbyteorder("<")
        shards = []
        for shard in info[split]["shards"]:
            file = path / shard["file"]
            held, due = (file.stat().st_size if file.exists() else 0), shard["tokens"] * dtype.itemsize
            if held != due:
                raise UserError(f"{file}: {held:,} bytes where tokens.json says {due:,}; make the tokens stage again")
            shards.append(np.memmap(file, dtype=dtype, mode="r"))
        return cls(
            TokenStream(shards),
            split=split,
            eot=info["eot"],
            token_bytes=np.array(info["token_bytes"], np.int64),
            documents=info[split]["documents"],
            bytes=info[split]["bytes"],
        )


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """How wide a token is on disk; how many there are, only the text can say."""
    vocabulary = known["tokenizer"]["vocabulary"]
    numbers = [
        Derived("bytes per token on disk", 2 if vocabulary <= 1 << 16 else 4, "B", "2 up to 65,536 tokens, else 4")
    ]
    return Estimate(numbers, provides={"vocabulary": vocabulary})

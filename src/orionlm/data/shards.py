"""How does text become token ids on disk, and how are they read back?

The stage `tokens` writes, for each split and domain, one packed stream `document <eot> document <eot> …` cut into
shards of whole documents, in the corpus's order. Its text is cut into jobs; a job is finished when its record in
`work/` is, and an interrupted run skips the finished ones.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import shard_files
from orionlm.data.engine import each
from orionlm.data.shares import largest
from orionlm.data.tokenizer import WordEncoder, token_lengths
from orionlm.errors import UserError
from orionlm.recipe.context import cores
from orionlm.recipe.estimate import Derived, Estimate
from orionlm.settings import nearest

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

SPLITS = ("train", "validation")
COUNTS = ("documents", "bytes", "tokens")
PROCESS_BYTES = 1 << 26
MOST_DOMAINS = 256

Job = tuple[list[tuple[Path, int]], str]


class Settings(BaseModel):
    """`shard_bytes`: text that one job turns into shards, in UTF-8 bytes; also the most that a killed run redoes."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    shard_bytes: int = Field(default=1 << 26, gt=0)


SETTINGS = Settings()


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Tokenises both splits of `corpus` with `tokenizer`; writes the shards and `tokens.json`."""
    tokenizer = inputs["tokenizer"].file("tokenizer.json").read_text(encoding="utf-8")
    tokenise(inputs["corpus"].path, tokenizer, out, context, settings)


def tokenise(corpus: Path, tokenizer: str, out: Path, context: Context, settings: Settings = SETTINGS) -> None:
    """As the stage, for a corpus and a tokenizer wherever they are from."""
    work = out / "work"
    work.mkdir(parents=True, exist_ok=True)
    jobs: dict[str, Job] = {}
    size = 0
    for split in SPLITS:
        files = shard_files(corpus, split)
        if not files:
            raise UserError(f"{corpus}: no {split}-00000.parquet here; make the corpus again")
        plan, text = shard_plan(files, settings.shard_bytes)
        size += text
        jobs |= {f"{split}-{index:05d}": (row_groups, tokenizer) for index, row_groups in enumerate(plan)}
    due = {name: job for name, job in jobs.items() if not _finished(out, name)}
    began = time.perf_counter()
    # One process for each `PROCESS_BYTES` of text, as far as there are cores.
    workers, runner = min(cores(), size // PROCESS_BYTES), context.pinned.get("runner", "embedded")
    arguments = {name: (*job, work, name) for name, job in due.items()}
    finished = each(write_shards, arguments, workers=workers, runner=runner)
    with context.progress.task("tokens", total=len(jobs)) as task:
        for done, (name, record) in enumerate(finished, start=len(jobs) - len(due) + 1):
            for shard in record["shards"]:
                (work / shard["file"]).replace(out / shard["file"])
            write_json(work / f"{name}.json", record)
            now = time.perf_counter()
            tokens = sum(shard["tokens"] for shard in record["shards"])
            context.record("data", tokens=tokens, seconds=now - began)
            began = now
            task.update(done, note=f"{name} · {tokens:,} tokens")
    splits = {split: account([_record(out, name) for name in jobs if name.startswith(f"{split}-")]) for split in SPLITS}
    (out / "tokenizer.json").write_text(tokenizer, encoding="utf-8")
    encoder = _encoder(tokenizer)
    write_json(
        out / "tokens.json",
        {
            "dtype": encoder.dtype.name,
            "vocabulary": encoder.vocabulary,
            "eot": encoder.eot,
            "token_bytes": token_lengths(encoder.tokenizer),
            **splits,
        },
    )
    context.progress.say("tokens: " + said(splits["train"]))


def said(split: Mapping[str, Any]) -> str:
    """A split in one line."""
    domains = ", ".join(f"{name} {domain['tokens']:,}" for name, domain in split["domains"].items())
    return f"{split['tokens']:,} to train on from {split['bytes']:,} bytes ({domains})"


def account(records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What the jobs of a split add up to: documents, bytes and tokens, of each domain, licence and source.

    Of a licence's sources the `largest` stand apart, the rest together. `digest` is of the
    documents, whatever their order: the sum of their SHA-256.
    """
    split: dict[str, Any] = dict.fromkeys(COUNTS, 0) | {"domains": {}}
    for row in (row for record in records for row in record["accounts"]):
        domain = split["domains"].setdefault(row["domain"], dict.fromkeys(COUNTS, 0) | {"licences": {}, "shards": []})
        licence = domain["licences"].setdefault(row["licence"], dict.fromkeys(COUNTS, 0) | {"sources": {}})
        source = licence["sources"].setdefault(row["source"], dict.fromkeys(COUNTS, 0))
        for level in (split, domain, licence, source):
            for name in COUNTS:
                level[name] += row[name]
    for licence in (licence for domain in split["domains"].values() for licence in domain["licences"].values()):
        licence["sources"] = largest(licence["sources"])
    for shard in (shard for record in records for shard in record["shards"]):
        split["domains"][shard["domain"]]["shards"].append({name: shard[name] for name in ("file", "tokens")})
    digest = sum(int(record["digest"], 16) for record in records) % (1 << 256)
    return split | {"digest": f"{digest:064x}"}


def _record(out: Path, name: str) -> dict[str, Any]:
    return json.loads((out / "work" / f"{name}.json").read_text(encoding="utf-8"))


def _finished(out: Path, name: str) -> bool:
    if not (out / "work" / f"{name}.json").exists():
        return False
    return all((out / shard["file"]).exists() for shard in _record(out, name)["shards"])


def shard_plan(files: Sequence[Path], shard_bytes: int) -> tuple[list[list[tuple[Path, int]]], int]:
    """(file, row group) of a split's Parquet for each job, consecutive, closed once their text reaches `shard_bytes`;
    and the bytes of all text, about."""
    import pyarrow.parquet as pq

    plan: list[list[tuple[Path, int]]] = []
    held, size = shard_bytes, 0
    for file in files:
        with pq.ParquetFile(file) as table:
            column = table.schema_arrow.get_field_index("text")
            for group in range(table.metadata.num_row_groups):
                if held >= shard_bytes:
                    plan.append([])
                    held = 0
                plan[-1].append((file, group))
                text = table.metadata.row_group(group).column(column).total_uncompressed_size
                held, size = held + text, size + text
    return plan, size


def write_shards(row_groups: Sequence[tuple[Path, int]], tokenizer: str, work: Path, name: str) -> dict[str, Any]:
    """The documents of some row groups as a file of ids for each domain, each document ended by <eot>.

    Returns what was written: `shards`, `accounts` (a row for each domain, licence and source) and `digest`.
    """
    import pyarrow.parquet as pq

    encoder = _encoder(tokenizer)
    eot = encoder.dtype.type(encoder.eot).tobytes()
    counted: dict[tuple[str, str, str], list[int]] = {}
    sinks: dict[str, IO[bytes]] = {}
    digest = 0
    columns = ["text", "domain", "licence", "source"]
    with ExitStack() as stack:
        for path, group in row_groups:
            with pq.ParquetFile(path) as table:
                rows = table.read_row_group(group, columns=columns).to_pydict()
            for text, domain, licence, source in zip(*(rows[column] for column in columns), strict=True):
                if domain not in sinks:
                    sinks[domain] = stack.enter_context((work / _file(name, domain, len(sinks))).open("wb"))
                ids, raw = encoder.encode(text) + eot, text.encode()
                sinks[domain].write(ids)
                digest += int.from_bytes(hashlib.sha256(raw).digest())
                counts = counted.setdefault((domain, licence, source), [0, 0, 0])
                for i, amount in enumerate((1, len(raw), len(ids) // encoder.dtype.itemsize)):
                    counts[i] += amount
        shards = []
        for domain, sink in sinks.items():
            tokens = sink.tell() // encoder.dtype.itemsize
            shards.append({"domain": domain, "file": Path(sink.name).name, "tokens": tokens})
            sink.flush()
            os.fsync(sink.fileno())
    accounts = [
        dict(zip(("domain", "licence", "source", *COUNTS), (*key, *counts), strict=True))
        for key, counts in counted.items()
    ]
    return {"shards": shards, "accounts": accounts, "digest": f"{digest % (1 << 256):064x}"}


def _file(job: str, domain: str, before: int) -> str:
    """`train-code-00000.bin` for the job train-00000; what a file's name cannot hold stands as %XX."""
    split, number = job.split("-")
    safe = quote(domain, safe=" +")
    if before >= MOST_DOMAINS or len(safe) > 160:
        raise UserError(
            f"domain {domain[:60]!r}: a mixture weighs at most {MOST_DOMAINS} domains with names of at most 160 bytes; "
            "give the corpus coarser ones"
        )
    return f"{split}-{safe}-{number}.bin"


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
    """One split of a `tokens` artifact, or one domain of it.

    `tokens`: the packed stream, domain after domain in the order of their names; `parts`: the same, each domain by
    itself; `eot`: the id that ends each document; `vocabulary`: number of ids; `token_bytes`: int64 [vocabulary], UTF-8
    bytes that each id stands for (special tokens 0), so that the bytes of any predicted tokens are
    `token_bytes[ids].sum()`; `documents`, `bytes`: of the text; `digest`: of the split's documents in any order.
    """

    def __init__(
        self,
        tokens: TokenStream,
        *,
        split: str,
        eot: int,
        token_bytes: np.ndarray,
        documents: int = 0,
        bytes: int = 0,
        digest: str = "",
        parts: Mapping[str, TokenSet] = MappingProxyType({}),
    ):
        self.tokens, self.split, self.eot = tokens, split, eot
        self.token_bytes, self.vocabulary = token_bytes, len(token_bytes)
        self.documents, self.bytes, self.digest, self.parts = documents, bytes, digest, parts

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def open(cls, path: Path | str, split: str, domain: str | None = None) -> TokenSet:
        """Maps a split of the artifact directory `path`, all of it or one `domain`.

        UserError where it is none, a shard has the wrong length, or there is no such domain.
        """
        path = Path(path)
        try:
            info = json.loads((path / "tokens.json").read_text())
        except FileNotFoundError:
            raise UserError(f"{path}: no tokens.json here; give the directory of a `tokens` artifact") from None
        if split not in SPLITS:
            raise UserError(f"split {split!r} does not exist; choose one of {', '.join(SPLITS)}")
        if "domains" not in info[split]:
            raise UserError(f"{path}: these tokens know no domains, an earlier version made them; make the stage again")
        domains = info[split]["domains"]
        if domain is not None and domain not in domains:
            raise UserError(f"domain {domain!r}: none of that name in the {split} text; {nearest(domain, domains)}")
        dtype = np.dtype(info["dtype"]).newbyteorder("<")
        shared = {
            "split": split,
            "eot": info["eot"],
            "token_bytes": np.array(info["token_bytes"], np.int64),
            "digest": info[split]["digest"],
        }
        parts = {}
        for name in sorted(domains) if domain is None else [domain]:
            shards = [_mapped(path, shard, dtype) for shard in domains[name]["shards"]]
            counts = {key: domains[name][key] for key in ("documents", "bytes")}
            parts[name] = cls(TokenStream(shards), **counts, **shared)
        if domain is not None:
            return parts[domain]
        counts = {key: info[split][key] for key in ("documents", "bytes")}
        shards = [shard for part in parts.values() for shard in part.tokens.shards]
        return cls(TokenStream(shards), parts=parts, **counts, **shared)


def _mapped(path: Path, shard: Mapping[str, Any], dtype: np.dtype) -> np.ndarray:
    file = path / shard["file"]
    held, due = (file.stat().st_size if file.exists() else 0), shard["tokens"] * dtype.itemsize
    if held != due:
        raise UserError(f"{file}: {held:,} bytes where tokens.json says {due:,}; make the tokens stage again")
    return np.memmap(file, dtype=dtype, mode="r")


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """How wide a token is on disk; how many there are, only the text can say."""
    vocabulary = known["tokenizer"]["vocabulary"]
    numbers = [
        Derived("bytes per token on disk", 2 if vocabulary <= 1 << 16 else 4, "B", "2 up to 65,536 tokens, else 4")
    ]
    return Estimate(numbers, provides={"vocabulary": vocabulary})

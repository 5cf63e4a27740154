"""What was spent: one append-only file of JSON lines per run directory, killed attempts included."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from orionlm.errors import UserError

PURPOSES = ("train", "teacher", "verify", "reward", "rollout", "eval", "inference", "data", "probe")
LONGEST_LINE = 65536
FLOPS_KINDS = ("counted", "estimated", "unknown")


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. `time` is UTC, ISO 8601; `utilization` is a share of peak; `dollars` None = unpriced."""

    time: str
    stage: str
    purpose: str
    device: str = "cpu"
    flops: float = 0.0
    flops_kind: str = "counted"
    tokens: int = 0
    seconds: float = 0.0
    utilization: float | None = None
    dollars: float | None = None
    dollars_source: str = ""


class Ledger:
    """The ledger at `path`; the file appears with its first entry."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)

    def record(
        self,
        stage: str,
        purpose: str,
        *,
        device: str = "cpu",
        flops: float = 0.0,
        flops_kind: str = "counted",
        tokens: int = 0,
        seconds: float = 0.0,
        utilization: float | None = None,
        dollars: float | None = None,
        dollars_source: str = "",
    ) -> Entry:
        """Append one entry and make it durable: after this returns, no kill takes it back."""
        assert purpose in PURPOSES, purpose
        assert flops_kind in FLOPS_KINDS, flops_kind
        assert flops >= 0 and tokens >= 0 and seconds >= 0, (flops, tokens, seconds)
        assert dollars is None or dollars_source, "dollars without a source"
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        entry = Entry(
            now, stage, purpose, device, float(flops), flops_kind, int(tokens), float(seconds),
            None if utilization is None else float(utilization), dollars, dollars_source,
        )  # fmt: skip
        self._append(json.dumps(asdict(entry), allow_nan=False).encode() + b"\n")
        return entry

    def entries(self) -> list[Entry]:
        """Every entry in the order written. A last line torn by a kill is passed over; any other damage is named."""
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return []
        lines = text.split(b"\n")
        entries = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            entry = _parse(line)
            if entry is not None:
                entries.append(entry)
            elif number < len(lines):
                raise UserError(f"{self.path}:{number}: not a ledger entry; remove the line or restore the file")
        return entries

    def _append(self, line: bytes) -> None:
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            end = _repair(descriptor)
            try:
                written = 0
                while written < len(line):
                    written += os.pwrite(descriptor, line[written:], end + written)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)
                raise
        finally:
            os.close(descriptor)


def totals(entries: Iterable[Entry], by: Sequence[str] = ("purpose",)) -> list[dict[str, Any]]:
    """Sums over entries that agree in the fields `by`, largest FLOPs first.

    Each row has the fields of `by`, then entries, flops, flops_kind (the least certain among them), tokens, seconds,
    utilization (mean weighted by seconds; None if unknown), dollars (None if none was priced) and dollars_source.
    """
    groups: dict[tuple, list[Entry]] = {}
    for entry in entries:
        groups.setdefault(tuple(getattr(entry, field) for field in by), []).append(entry)
    rows = []
    for key, group in groups.items():
        metered = [entry for entry in group if entry.utilization is not None and entry.seconds > 0]
        priced = [entry for entry in group if entry.dollars is not None]
        metered_seconds = sum(entry.seconds for entry in metered)
        rows.append(
            dict(zip(by, key, strict=True))
            | {
                "entries": len(group),
                "flops": sum(entry.flops for entry in group),
                "flops_kind": max((entry.flops_kind for entry in group), key=FLOPS_KINDS.index),
                "tokens": sum(entry.tokens for entry in group),
                "seconds": sum(entry.seconds for entry in group),
                "utilization": sum((entry.utilization or 0.0) * entry.seconds for entry in metered) / metered_seconds
                if metered
                else None,
                "dollars": sum(entry.dollars or 0.0 for entry in priced) if priced else None,
                "dollars_source": "; ".join(dict.fromkeys(entry.dollars_source for entry in priced)),
            }
        )
    return sorted(rows, key=lambda row: (-row["flops"], -row["seconds"], [str(row[field]) for field in by]))


_FIELDS = {field.name for field in fields(Entry)}


def _parse(line: bytes) -> Entry | None:
    try:
        values = json.loads(line)
        return Entry(**{name: value for name, value in values.items() if name in _FIELDS})
    except (ValueError, TypeError, AttributeError):
        return None


def _repair(descriptor: int) -> int:
    """End the last line if only its newline is missing, cut it off if it is torn; return where the next line goes."""
    end = os.fstat(descriptor).st_size
    if end == 0 or os.pread(descriptor, 1, end - 1) == b"\n":
        return end
    start = max(0, end - LONGEST_LINE)
    tail = os.pread(descriptor, end - start, start)
    last = tail[tail.rfind(b"\n") + 1 :]
    if _parse(last) is not None:
        return end + os.pwrite(descriptor, b"\n", end)
    os.ftruncate(descriptor, end - len(last))
    return end - len(last)

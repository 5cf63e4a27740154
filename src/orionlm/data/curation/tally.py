"""What was kept, what was removed by which filter and why, and what did some of it look like?"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from orionlm.data.curation.samples import LOOKED_AT, shown
from orionlm.data.documents import Document
from orionlm.data.filters import Verdict
from orionlm.data.shares import SHARES, share

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLES = 50
CHANGED = "changed"  # the reason under which samples of changed documents stand

Counts = dict[str, dict[str, int]]  # name → {documents, bytes}


class Tally:
    """Counts of documents and bytes, and for each filter and reason a sample of what went.

    A sample holds the `SAMPLES` documents whose digests are smallest: drawn at random, and the same however the corpus
    was cut into parts.
    """

    def __init__(self) -> None:
        self.seen: dict[str, Counts] = {name: {} for name in SHARES}
        self.kept: dict[str, Counts] = {name: {} for name in SHARES}
        self.removed: dict[str, Counts] = {}
        self.changed: Counts = {}  # filter → documents that stay with another text, bytes that they lost
        self.found: dict[str, dict[str, int]] = {}
        self.samples: dict[str, dict[str, list[dict[str, Any]]]] = {}
        self.findings: dict[str, list[Any]] = {}  # what filters report of single documents

    def see(self, table: pa.Table, sizes: np.ndarray) -> None:
        """Documents that came in; `sizes`: bytes of each."""
        _add(self.seen, table, sizes)

    def keep(self, table: pa.Table, sizes: np.ndarray) -> None:
        """Documents that stay."""
        _add(self.kept, table, sizes)

    def remove(self, filter: str, document: Document, size: int, verdict: Verdict, digest: bytes) -> None:
        _count(self.removed.setdefault(filter, {}), verdict.reason, 1, size)
        held = self.samples.setdefault(filter, {}).setdefault(verdict.reason, [])
        if len(held) == SAMPLES and digest.hex() > held[-1]["digest"]:
            return
        sample = {
            "id": document.id,
            "source": document.source,
            "domain": document.domain,
            "detail": verdict.detail,
            "text": document.text[:LOOKED_AT],
            "bytes": size,
            "digest": digest.hex(),
        }
        _keep_sample(held, [sample])

    def change(self, filter: str, document: Document, text: str, digest: bytes) -> None:
        """`document` stays, with another text; a sample shows the lines that it no longer has."""
        _count(self.changed, filter, 1, max(0, len(document.text.encode()) - len(text.encode())))
        held = self.samples.setdefault(filter, {}).setdefault(CHANGED, [])
        if len(held) == SAMPLES and digest.hex() > held[-1]["digest"]:
            return
        left = set(text[: 2 * LOOKED_AT].split("\n"))
        gone = "\n".join(line for line in document.text[:LOOKED_AT].split("\n") if line not in left)
        about = {"id": document.id, "source": document.source, "domain": document.domain, "detail": ""}
        _keep_sample(held, [about | {"text": gone, "bytes": len(gone.encode()), "digest": digest.hex()}])

    def note(self, filter: str, counts: Mapping[str, int]) -> None:
        """What a filter found, by kind, in documents that stay or go."""
        found = self.found.setdefault(filter, {})
        for kind, count in counts.items():
            found[kind] = found.get(kind, 0) + count

    def left(self) -> dict[str, int]:
        """Documents and bytes that stay."""
        return {total: sum(held[total] for held in self.kept["domain"].values()) for total in ("documents", "bytes")}

    def as_json(self) -> dict[str, Any]:
        """Of one part, once all of it was seen; nothing in it is secret."""
        shown([sample for reasons in self.samples.values() for drawn in reasons.values() for sample in drawn])
        return dict(vars(self))

    @classmethod
    def sum(cls, records: Iterable[Mapping[str, Any]]) -> Tally:
        """Of several parts, in any order."""
        total = cls()
        for record in records:
            for side in ("seen", "kept"):
                for name, values in record[side].items():
                    for value, held in values.items():
                        _count(getattr(total, side)[name], value, held["documents"], held["bytes"])
            for filter, reasons in record["removed"].items():
                for reason, held in reasons.items():
                    _count(total.removed.setdefault(filter, {}), reason, held["documents"], held["bytes"])
            for filter, held in record["changed"].items():
                _count(total.changed, filter, held["documents"], held["bytes"])
            for filter, counts in record["found"].items():
                total.note(filter, counts)
            for filter, findings in record["findings"].items():
                total.findings.setdefault(filter, []).extend(findings)
            for filter, samples in record["samples"].items():
                for reason, drawn in samples.items():
                    _keep_sample(total.samples.setdefault(filter, {}).setdefault(reason, []), drawn)
        return total


def _add(where: dict[str, Counts], table: pa.Table, sizes: np.ndarray) -> None:
    for name in SHARES:
        for value, documents, size in share(table.column(name), sizes):
            _count(where[name], value, documents, size)


def _count(where: Counts, name: str, documents: int, size: int) -> None:
    held = where.setdefault(name, {"documents": 0, "bytes": 0})
    held["documents"] += documents
    held["bytes"] += size


def _keep_sample(held: list[dict[str, Any]], more: Iterable[dict[str, Any]]) -> None:
    """Those of both with the smallest digests, in order."""
    for sample in more:
        if len(held) < SAMPLES or _place(sample) < _place(held[-1]):
            bisect.insort(held, sample, key=_place)
            del held[SAMPLES:]


def _place(sample: dict[str, Any]) -> tuple[str, str]:
    return sample["digest"], sample["id"]

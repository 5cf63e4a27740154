"""How much of a corpus is of each domain, source and licence?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

SHARES = ("domain", "source", "licence")
LARGEST, OTHERS = 1_000, "(others)"


def share(column: pa.ChunkedArray, sizes: np.ndarray) -> Iterator[tuple[str, int, int]]:
    """Each value of a column with its documents and their bytes; `sizes`: bytes of each text."""
    coded = column.combine_chunks().dictionary_encode()
    places, values = coded.indices.to_numpy(zero_copy_only=False), coded.dictionary.to_pylist()
    counts, held = np.bincount(places), np.bincount(places, weights=sizes)
    yield from zip(values, counts.tolist(), held.astype(np.int64).tolist(), strict=True)


def largest(counts: Mapping[str, Mapping[str, int]]) -> dict[str, Mapping[str, int]]:
    """The `LARGEST` by their `bytes`, and the others as one: of sources there may be millions."""
    ordered = sorted(counts, key=lambda name: (-counts[name]["bytes"], name))
    rest = [counts[name] for name in ordered[LARGEST:]]
    others = {OTHERS: {total: sum(held[total] for held in rest) for total in rest[0]}} if rest else {}
    return {name: counts[name] for name in ordered[:LARGEST]} | others

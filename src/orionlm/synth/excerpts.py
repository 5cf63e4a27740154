"""What does genuine text look like in pieces as long as those that a teacher writes? So the two can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from orionlm.synth.rows import Row


def excerpts(texts: Sequence[str], lengths: Sequence[int], seed: int) -> list[str]:
    """Pieces that follow each other in `texts`, each about as long as a draw from `lengths` (characters).

    A piece begins where a line does and ends where one does, if there is such a place in its second half. What is left
    of a text after its last whole piece is not used. Length itself is then alike by construction.
    """
    drawn = np.asarray([length for length in lengths if length > 0])
    if not len(drawn):
        return []
    rng = np.random.default_rng(seed)
    found = []
    for text in texts:
        place = 0
        while place < len(text):
            length = int(drawn[rng.integers(len(drawn))])
            if place + length > len(text):
                break
            piece = text[place : place + length]
            end = piece.rfind("\n") + 1
            piece = piece[:end] if end > length // 2 else piece
            if piece.strip():
                found.append(piece.strip("\n"))
            place += len(piece)
            newline = text.find("\n", place - 1)
            if not piece.endswith("\n") and newline >= 0:
                place = newline + 1
    return found


def cut_like(documents: Iterable[tuple[str, str]], rows: Iterable[Row]) -> Iterator[tuple[str, str]]:
    """Of documents (id, text) the pieces as long as the rows, each known by its document's id. Rows that nobody would
    compare, blank or rejected, say nothing of how long a piece is."""
    lengths = [len(row.text) for row in rows if row.text.strip() and not row.error]
    return ((id, piece) for n, (id, text) in enumerate(documents) for piece in excerpts([text], lengths, n))

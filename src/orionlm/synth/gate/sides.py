"""What is compared with what? Real texts and rows side by side, each family of faults seeing what the last one left."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from orionlm.synth.gate.content import LONGEST, Tokens, Vocabulary, words
from orionlm.synth.gate.verdict import FEWEST
from orionlm.synth.rows import Row

Array = np.ndarray
MOST = 2000  # texts a side where every one is compared with every other


class Sides:
    """`real` and `rows` as texts; `bare`, once residue is gone; `inner`, once the phrases around each text are too.
    `judges`: phrases are looked for as surely as so many real texts would find them, if more than there are."""

    def __init__(
        self,
        real: Sequence[str],
        rows: Sequence[Row],
        seed: int,
        format: Sequence[str],
        held_out: Sequence[str] = (),
        suites: Sequence[Any] = (),
        groups: Sequence[str] = (),
        pieces: bool = False,
        embed: Path | None = None,
        judges: int = 0,
    ) -> None:
        self.given = list(rows)
        names = groups or [f"text {number}" for number in range(len(real))]
        self.groups = np.array([name for name, text in zip(names, real, strict=True) if text.strip()], object)
        self.row_groups = documents_of(rows)
        self.real = [_looked_at(text) for text in real if text.strip()]
        self.rows = [_looked_at(row.text) for row in rows]
        self.seeds = [row.seed_text for row in rows]
        self.format, self.pieces, self.embed = list(format), pieces, embed
        self.judges = max(judges, len(self.real))
        self.held_out, self.suites, self.seed = list(held_out), list(suites), seed
        self.bare_real, self.bare_rows = self.real, self.rows
        self.inner_rows = list(self.rows)
        self.circling = np.zeros(len(self.rows), bool)
        self.first_of_family = np.ones(len(self.rows), bool)

    def owners(self, rows: Array | slice = slice(None), real: Array | slice = slice(None)) -> tuple[Array, Array]:
        """The document of each of these rows, the first that it was written from, and of each of these real texts."""
        return self.row_groups[rows], self.groups[real]

    def random(self, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, number])

    @cached_property
    def as_real(self) -> Array:
        """Which rows are meant to look like real text."""
        return np.array([format == "as real" for format in self.format], bool)

    @cached_property
    def some_as_real(self) -> bool:
        """Are there enough of them to be compared by themselves? A set that is small as a whole is told elsewhere."""
        return int(self.as_real.sum()) >= min(FEWEST, max(1, len(self.rows)))

    @cached_property
    def halves(self) -> tuple[Array, Array]:
        """The real texts in two: what is learned of one is compared with the other."""
        return split(self.groups, self.random(0), 2)

    @cached_property
    def real_tokens(self) -> Tokens:
        return Tokens(self.real)

    @cached_property
    def row_tokens(self) -> Tokens:
        return Tokens(self.rows)

    @cached_property
    def some(self) -> tuple[Array, Array]:
        """At most `MOST` real texts and as many rows: those that are compared pair by pair."""
        return tuple(  # type: ignore[return-value]
            np.sort(self.random(number).permutation(count)[:MOST])
            for number, count in ((1, len(self.real)), (2, len(self.rows)))
        )

    def tokens(self, texts: Sequence[str]) -> Tokens:
        """Of these texts, which are often the ones that were given: those are read once."""
        for known, tokens in ((self.rows, "row_tokens"), (self.real, "real_tokens")):
            if texts is known or list(texts) == known:
                return getattr(self, tokens)  # type: ignore[no-any-return]
        return Tokens(texts)

    def vocabulary(self, rows: Sequence[str]) -> Vocabulary:
        real, chosen = self.some
        return Vocabulary([words(self.bare_real[n]) for n in real], [words(rows[n]) for n in chosen])


def documents_of(rows: Sequence[Row]) -> Array:
    """The document that each row was written from, the first of several; its own where there is none."""
    return np.array([row.seeds[0] if row.seeds else f"row {n}" for n, row in enumerate(rows)], object)


def split(groups: Array, rng: np.random.Generator, parts: int) -> tuple[Array, Array]:
    """The places of texts in two, one of so many parts and the rest; what belongs together in one, or what is learned
    of one part would be that the other's texts are from the same documents."""
    names, codes = np.unique(groups.astype(str), return_inverse=True)
    side = np.zeros(len(names), bool)
    side[rng.permutation(len(names))[::parts]] = True
    return np.flatnonzero(side[codes]), np.flatnonzero(~side[codes])


def _looked_at(text: str) -> str:
    """Not too much of it, and nothing that is no Unicode."""
    text = text[:LONGEST]
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")

"""What can become of one answer?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Only `RIGHT` and `WRONG` are judgements of an answer that was understood; the others are counted apart.

    `UNPARSABLE` and `TIMED_OUT` count as not right. `GRADER_ERROR`, our own machinery's failure, and `TOO_LONG`, a
    question beyond the model's context, are no judgement at all: they are left out of the mean, and counted."""

    RIGHT = "right"
    WRONG = "wrong"
    UNPARSABLE = "unparsable"
    TIMED_OUT = "timed_out"
    GRADER_ERROR = "grader_error"
    TOO_LONG = "too_long"

    @property
    def judged(self) -> bool:
        """Whether it belongs in a mean."""
        return self not in (Outcome.GRADER_ERROR, Outcome.TOO_LONG)


@dataclass(frozen=True)
class Grade:
    """One answer judged: what was understood of it, if anything, and why it was judged so."""

    outcome: Outcome
    answer: str | None = None
    detail: str = ""

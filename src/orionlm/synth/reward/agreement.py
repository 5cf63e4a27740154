"""How often does the judge prefer what is verified to be right? Measured on the pairs that a truth labelled."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from orionlm.evals.statistics import mean
from orionlm.synth.rows import Row

LEVEL = 0.95


@dataclass(frozen=True)
class Agreement:
    """The share of the judge's preferences that are for the right answer, with its interval at 95% (by question where
    one was asked more than once); None where it had no preference. Ties, where its word changed with the order or it
    saw no difference, and pairs that it could not be read on are no preference, and are counted apart. `strict` counts
    them as not right."""

    value: float | None
    low: float | None
    high: float | None
    n: int
    right: int
    ties: int
    unread: int
    strict: float | None

    def says(self) -> str:
        if self.value is None:
            return f"no preference on {self.ties + self.unread} verified pairs ({self.ties} ties, {self.unread} unread)"
        return (
            f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}] of {self.n} preferences are for the verified answer; "
            f"{self.ties} ties, {self.unread} unread"
        )


def agreement(rows: Iterable[Row]) -> Agreement:
    """Over the rows' pairs that a truth labelled and somebody judged."""
    words, questions = [], []
    for row in rows:
        pair = row.more.get("pair")
        if pair and pair["by"] == "truth" and pair["judged"]:
            words.append(pair["judged"])
            questions.append(str(pair["prompt"][-1]["content"]))
    decided = [(float(word == "chosen"), asked) for word, asked in zip(words, questions, strict=True) if word in _SAID]
    ties = words.count("tie")
    right = int(sum(score for score, _ in decided))
    strict = right / len(words) if words else None
    if not decided:
        return Agreement(None, None, None, 0, 0, ties, len(words) - ties, strict)
    found = mean([score for score, _ in decided], [asked for _, asked in decided], level=LEVEL)
    return Agreement(
        found.value, found.low, found.high, len(decided), right, ties, len(words) - ties - len(decided), strict
    )


_SAID = ("chosen", "rejected")

"""SimpleBench: its format, how it is asked, and its two scores, AVG@5 and MAJ@5 (simple-bench.com; MIT).

Each question is answered five times. A parse failure is wrong, never a smaller denominator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orionlm.errors import UserError
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.task import Item

SYSTEM = (
    "You are an expert at reasoning and you always pick the most realistic answer. Think step by step and output your "
    "reasoning followed by your final answer using the following format: Final Answer: X where X is one of the letters "
    "A, B, C, D, E, or F."
)
RUNS = 5
MAJORITY = 3
SMOKE = 100  # questions below which the interval of a score is wider than the gaps between published models

SETTINGS: dict[str, Any] = {
    "kind": "generate",
    "chat": True,
    "system": SYSTEM,
    "extract": {"pattern": r"Final Answer:\s*([A-F])", "take": "first", "ignore_case": True, "form": "letter"},
    "sampling": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 2048},
    "samples": RUNS,
    "chance": 1 / 6,
}


@dataclass(frozen=True)
class Scores:
    """Over `questions`, as shares: the mean of the runs, each run, and the share right in at least 3 of 5."""

    average: float
    majority: float
    runs: tuple[float, ...]
    questions: int
    unparsable: int
    note: str


def item(row: Mapping[str, Any], number: int) -> Item:
    """A row of {"question_id", "prompt", "answer"}; the options stand in the prompt. ValueError where it is none."""
    for name in ("question_id", "prompt", "answer"):
        if name not in row:
            raise ValueError(f"no field {name!r}; a SimpleBench row has question_id, prompt and answer")
    prompt, answer = row["prompt"], row["answer"]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError("prompt: empty; give the question with its options")
    if not isinstance(answer, str) or answer.strip().upper() not in tuple("ABCDEF"):
        raise ValueError(f"answer: {answer!r}; give one of the letters A to F")
    return Item(str(row["question_id"]), prompt, (), answer.strip().upper())


def note(questions: int) -> str:
    """The warning that goes with a score on so few questions; empty where there are enough."""
    if questions >= SMOKE:
        return ""
    right = round(0.4 * questions)
    low, high = wilson(right, questions)
    return (
        f"smoke test: {questions} questions cannot rank models ({right} of {questions} right gives an interval of "
        f"{100 * low:.0f}–{100 * high:.0f}%)"
    )


def scores(grades: Mapping[str, Sequence[Grade]]) -> Scores:
    """Question → its five grades. What is not right is wrong, whatever else it is; but a grader's own error raises."""
    if not grades:
        raise UserError("SimpleBench: no questions were answered")
    for name, runs in grades.items():
        if len(runs) != RUNS:
            raise UserError(f"SimpleBench: question {name} has {len(runs)} answers; {RUNS} are needed")
        if any(grade.outcome is Outcome.GRADER_ERROR for grade in runs):
            raise UserError(f"SimpleBench: question {name} was not graded in every run; run it again")
    table = [[grade.outcome is Outcome.RIGHT for grade in runs] for runs in grades.values()]
    each = tuple(sum(run) / len(table) for run in zip(*table, strict=True))
    unparsable = sum(grade.outcome is Outcome.UNPARSABLE for runs in grades.values() for grade in runs)
    majority = sum(sum(runs) >= MAJORITY for runs in table) / len(table)
    return Scores(sum(map(sum, table)) / (RUNS * len(table)), majority, each, len(table), unparsable, note(len(table)))


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, eq. for p given p̂): it does not leave [0, 1], and holds for small n."""
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)

"""SimpleBench: its format, and how it is asked (simple-bench.com; MIT).

Each question is answered five times: AVG@5 is the mean, MAJ@5 the share right in at least three, as of any task with
samples. An answer without a letter is wrong, never a smaller denominator.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from orionlm.tasks.task import Item

SYSTEM = (
    "You are an expert at reasoning and you always pick the most realistic answer. Think step by step and output your "
    "reasoning followed by your final answer using the following format: Final Answer: X where X is one of the letters "
    "A, B, C, D, E, or F."
)
SMOKE = 100  # questions below which the interval of a score is wider than the gaps between published models

SETTINGS: dict[str, Any] = {
    "kind": "generate",
    "chat": True,
    "system": SYSTEM,
    "extract": {"pattern": r"Final Answer:\s*([A-F])", "take": "first", "ignore_case": True, "form": "letter"},
    "sampling": {"temperature": 0.7, "top_p": 0.95, "max_tokens": 2048},
    "samples": 5,
    "chance": 1 / 6,
}


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


def wilson(right: int, n: int, z: float = 1.959964) -> tuple[float, float]:
    """The interval of a share (Wilson 1927, eq. for p given p̂): it does not leave [0, 1], and holds for small n."""
    share = right / n
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return max(0.0, middle - half), min(1.0, middle + half)

"""A model that is a few lines of arithmetic, and suites to ask it: nothing to load."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from orionlm.evals.answerer import Failed, Messages, Pair, Prompt, Rendered, Scored, TooLong, Written
from orionlm.sampling import Sampling
from orionlm.tasks.suite import load_suite
from orionlm.tasks.task import Item, Suite, Task


class Simulated:
    """Knows the answer to a question with chance `skill`, drawn from the text; tells how often it was asked."""

    context: int | None = 1000
    flops_per_token: float | None = 2.0
    device = "cpu"
    paid: tuple[float, str] | None = None

    def __init__(self, name: str = "simulated", skill: float = 0.7, right: str = "yes", failing: int = 0) -> None:
        self.name, self.skill, self.right, self.failing = name, skill, right, failing
        self.digest = hashlib.sha256(name.encode()).hexdigest()
        self.tokens = 0
        self.pairs: list[Pair] = []
        self.prompts: list[tuple[Prompt, Sampling]] = []

    def close(self) -> None:
        pass

    def render(self, messages: Messages) -> Rendered:
        return Rendered("\n".join(message["content"] for message in messages))

    def _knows(self, text: str) -> bool:
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) / 2**32 < self.skill

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Scored | TooLong | Failed]]:
        for index, (context, continuation) in enumerate(pairs):
            self.pairs.append((context, continuation))
            self.tokens += 10
            if len(context) > 500:
                yield index, TooLong("600 tokens, the model's context has 500")
                continue
            likely = (self.right in continuation) == self._knows(context)
            size = len(continuation.encode())
            yield index, Scored(-1.0 if likely else -1.0 - size, likely, max(1, size // 3), size)

    def write(self, asked: Sequence[tuple[Prompt, Sampling]]) -> Iterator[tuple[int, list[Written] | TooLong | Failed]]:
        for index, (prompt, sampling) in enumerate(asked):
            self.prompts.append((prompt, sampling))
            self.tokens += 10
            if self.failing and index % self.failing == 0:
                yield index, Failed("the server is away")
                continue
            text = prompt if isinstance(prompt, str) else prompt[-1]["content"]
            yield index, [Written(self.said(text, sample), "stop", 3) for sample in range(sampling.n)]

    def said(self, prompt: str, sample: int) -> str:
        return "4" if self._knows(f"{prompt} {sample}") else "no idea"


def choices(n: int = 40, name: str = "truth", answer: int = 0) -> Task:
    items = tuple(Item(str(i), f"Question {i}?", ("yes", "no"), answer, cluster=f"p{i // 2}") for i in range(n))
    return Task(name, "choice", items, chance=0.5)


def suite(*tasks: Task, name: str = "test") -> Suite:
    return Suite.of(name, tasks)


def written_suite(folder: Path, tasks: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]]) -> Suite:
    """A suite as a user writes one: task → (settings, rows)."""
    lines = ['name = "written"']
    for name, (settings, rows) in tasks.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        lines += [f"[task.{name}]", f'items = "{name}.jsonl"']
        lines += [f"{key} = {json.dumps(value)}" for key, value in settings.items() if not isinstance(value, dict)]
        for key, table in settings.items():
            if isinstance(table, dict):
                lines += [f"[task.{name}.{key}]", *(f"{inner} = {json.dumps(value)}" for inner, value in table.items())]
    (folder / "suite.toml").write_text("\n".join(lines), encoding="utf-8")
    return load_suite(folder / "suite.toml")

"""Did a model of one task get better by synthetic text? The stage `specialists` as the page shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from orionlm.report.reading import Run

ARMS = {"plain": "without", "specialist": "with synthetic text"}


def specialists(run: Run) -> list[dict[str, Any]]:
    """For each stage `specialists` that is done: {name, suite, told, sign, headline, n, models}, a line of `models` for
    each model and task."""
    views = []
    for stage in run.of_kind("specialists"):
        told = stage.json("specialists.json")
        if told:
            models = [
                {"model": name, "text": ARMS[name.partition("-")[0]], "task": task, "score": score}
                for name, one in told["runs"].items()
                for task, score in one["tasks"].items()
            ]
            seeds = Counter(name.partition("-")[0] for name in told["runs"])
            views.append(
                {"name": stage.name, "suite": stage.table.get("suite"), "told": told, "n": max(seeds.values())}
                | {"models": models, **_headline(told["tasks"])}
            )
    return views


def _headline(tasks: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """What one task says in full; of several how many say what."""
    verdicts = Counter(line["verdict"] for line in tasks)
    sign = "outside" if verdicts["worse"] else "inside" if set(verdicts) == {"better"} else "cannot-tell"
    if len(tasks) == 1:
        return {"sign": sign, "headline": tasks[0]["says"]}
    return {"sign": sign, "headline": f"Tasks: {', '.join(f'{count} {one}' for one, count in verdicts.most_common())}"}

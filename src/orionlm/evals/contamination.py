"""What is a model's score without the questions that stand in the text it was trained on?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orionlm.data.decontamination.overlap import Key, Overlap
from orionlm.evals.results import Results, Row, estimate, plain


def clean(results: Results, overlaps: Mapping[Key, Overlap], level: float = 0.95) -> list[dict[str, Any]]:
    """For each task its score on the items that the corpus does not hold, and how many it holds."""
    lines = []
    for task in results.summary["tasks"]:
        rows = results.of(task["task"])

        def is_dirty(row: Row) -> bool:
            found = overlaps.get((row.task, row.item))
            return found is not None and found.dirty

        dirty = {row.item for row in rows if is_dirty(row)}
        items = {row.item for row in rows}
        short = {item for item in items if (o := overlaps.get((task["task"], item))) and not o.tellable}
        lines.append(
            {
                "task": task["task"],
                "items": len(items),
                "dirty": len(dirty),
                "too_short": len(short),
                "clean": plain(estimate(task["kind"], [row for row in rows if row.item not in dirty], level)),
                "dirty_items": sorted(dirty),
            }
        )
    return lines

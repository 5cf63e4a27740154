"""What was each lever worth? The stage `gain` as the page shows it."""

from __future__ import annotations

from typing import Any

from orionlm.gain.solve import span
from orionlm.report.reading import Run


def lever_views(run: Run) -> list[dict[str, Any]]:
    """For each `gain` stage that is done: {name, level, rows, says, warnings}."""
    views = []
    for stage in run.of_kind("gain"):
        page = stage.json("gain.json")
        if page:
            gains = page["gains"]
            views.append(
                {
                    "name": stage.name,
                    "level": gains[0]["level"],
                    "rows": [_row(gain) for gain in gains],
                    "says": page["recommendation"]["says"],
                    "warnings": list(dict.fromkeys(line for gain in gains for line in gain["warnings"])),
                }
            )
    return views


def _row(gain: dict[str, Any]) -> dict[str, Any]:
    spans = {name: span(gain[name]) for name in ("fresh", "net", "text")}
    return {name: gain[name] for name in ("lever", "verdict", "runs")} | spans | {"stock": gain["stock_says"]}

"""Which tasks does compute pay for, and on which is the ladder blind? The stage `eval` as the page shows it."""

from __future__ import annotations

from typing import Any

from orionlm.evals.chart import generations
from orionlm.report.reading import Run

SAYS = {"yes": "grows with compute", "no": "does not grow", "cannot tell": "cannot tell"}


def task_views(run: Run) -> list[dict[str, Any]]:
    """For each suite of each `eval` stage along a ladder: {name, chart, rows}."""
    from markupsafe import Markup

    views = []
    for stage in run.of_kind("eval"):
        for suite, lines in (stage.json("trend.json") or {}).items():
            drawn = generations(lines) if any(point["estimate"] for line in lines for point in line["points"]) else ""
            views.append(
                {"name": f"{stage.name}: {suite}", "chart": Markup(drawn), "rows": [_row(line) for line in lines]}
            )
    return views


def _row(line: dict[str, Any]) -> dict[str, Any]:
    measured = [point for point in line["points"] if point["estimate"]]
    last = max(measured, key=lambda point: point["flops"])["estimate"] if measured else None
    expected = line.get("expected")
    return {
        "task": line["task"],
        "metric": line["metric"].replace("_", " "),
        "last": _interval(last),
        "expected": _interval(expected[-1] if expected else None),
        "n": None if last is None else last.get("n"),
        "per_decade": _interval(line["per_decade"]),
        "verdict": "blind: at chance all along" if line["blind"] else SAYS[line["verdict"]],
    }


def _interval(estimate: dict[str, Any] | None) -> str:
    if estimate is None or estimate.get("value") is None:
        return "–"
    if estimate["low"] is None or estimate["high"] is None:
        return f"{estimate['value']:.3f}"
    return f"{estimate['value']:.3f} ({estimate['low']:.3f} to {estimate['high']:.3f})"

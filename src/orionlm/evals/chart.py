"""How did each task change from one generation to the next? Small plots with intervals, chance, and what was expected.

Static SVG, in the colours of Okabe & Ito (2008) as the report's charts are.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

INK, MUTED, GRID, BAND, BLUE, VERMILLION = "#1b1f24", "#57606a", "#dde1e6", "#9ecae9", "#0072b2", "#d55e00"
COLUMNS, WIDTH, HEIGHT = 3, 190, 130


def generations(tasks: Sequence[Mapping[str, Any]]) -> str:
    """An SVG with a panel a task, as `trend.json` lists them: {task, metric, chance, blind, points: [{model, flops,
    estimate: {value, low, high}}], expected: [{compute, value, low, high}]}. Without `flops` generations stand side by
    side. What the smaller models promised the largest is drawn as a band.
    """
    import altair as alt

    panels = [_panel(task) for task in tasks if _rows(task)]
    rows = [alt.hconcat(*panels[n : n + COLUMNS]) for n in range(0, len(panels), COLUMNS)]
    chart = alt.vconcat(*rows).configure(
        background="transparent",
        view=alt.ViewConfig(stroke=None),
        axis=alt.AxisConfig(labelColor=MUTED, titleColor=MUTED, gridColor=GRID, domainColor=MUTED, tickColor=MUTED),
        title=alt.TitleConfig(color=INK, anchor="start", fontSize=12),
    )
    buffer = io.StringIO()
    chart.save(buffer, format="svg")
    return buffer.getvalue()


def _rows(task: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Points that were measured; an interval without end is drawn as none."""
    rows = []
    for point in task["points"]:
        found = point["estimate"]
        if found is not None and found["value"] is not None:
            ends = {name: found["value"] if found[name] is None else found[name] for name in ("low", "high")}
            rows.append({"model": point["model"], "flops": point.get("flops"), "value": found["value"], **ends})
    return rows


def _panel(task: Mapping[str, Any]) -> Any:
    import altair as alt

    rows = _rows(task)
    scaled = all(row["flops"] for row in rows)
    x: Any
    if scaled:
        axis = alt.Axis(format="~s", grid=False, tickCount=3, title="training compute (FLOP)")
        x = alt.X("flops:Q", scale=alt.Scale(type="log", nice=False, padding=8), axis=axis)
    else:
        order = list(dict.fromkeys(row["model"] for row in rows))
        x = alt.X("model:N", sort=order, axis=alt.Axis(title=None, labelAngle=0, labelLimit=WIDTH // len(order)))
    y = alt.Y(
        "value:Q",
        scale=alt.Scale(zero=False, padding=6),
        axis=alt.Axis(title=task["metric"].replace("_", " "), tickCount=4),
    )
    base = alt.Chart(alt.Data(values=rows))
    layers: list[Any] = []
    if task.get("expected") and scaled:
        band = alt.Chart(alt.Data(values=[{**point, "flops": point["compute"]} for point in task["expected"]]))
        layers.append(band.mark_area(color=BAND, opacity=0.45).encode(x=x, y="low:Q", y2="high:Q"))
        layers.append(band.mark_line(color=BLUE, strokeWidth=1.5, strokeDash=[6, 4]).encode(x=x, y=y))
    if task["chance"]:
        rule = alt.Chart(alt.Data(values=[{"value": task["chance"]}]))
        layers.append(rule.mark_rule(color=MUTED, strokeDash=[3, 3]).encode(y=y))
    layers.append(base.mark_rule(color=INK).encode(x=x, y="low:Q", y2="high:Q"))
    colour = MUTED if task.get("blind") else VERMILLION
    layers.append(base.mark_point(filled=True, size=50, opacity=1, color=colour).encode(x=x, y=y))
    title = task["task"] + (" (blind: at chance)" if task.get("blind") else "")
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT, title=title)


def of_summaries(summaries: Sequence[tuple[str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The tasks that all of (label, `summary.json`) have, for `generations`."""
    tables = [{line["task"]: line for line in summary["tasks"]} for _, summary in summaries]
    common = [name for name in tables[0] if all(name in table for table in tables)]
    return [
        {
            "task": name,
            "metric": tables[0][name]["metric"],
            "chance": tables[0][name]["chance"],
            "blind": all(table[name]["blind"] for table in tables),
            "points": [
                {"model": label, "estimate": table[name]["estimate"]}
                for (label, _), table in zip(summaries, tables, strict=True)
            ],
        }
        for name in common
    ]

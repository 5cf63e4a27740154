"""Did text collapse where models learnt from models, and did the guard hold it? The stage `drill` on the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from orionlm.report.reading import Run

if TYPE_CHECKING:
    from orionlm.report.charts import Chart

ARMS = {"replaced": ("#d55e00", "square", [6, 4]), "guarded": ("#0072b2", "diamond", [1, 0])}
SIGNS = {"collapse": "outside", "no collapse": "inside"}


def drills(run: Run) -> list[dict[str, Any]]:
    """For each stage `drill` that is done: {name, told, headlines, chart, rows, single}, a row for each generation."""
    views = []
    for number, stage in enumerate(run.of_kind("drill"), start=1):
        told = stage.json("drill.json")
        if told:
            found = [told["arms"][arm] for arm in ARMS]
            views.append(
                {
                    "name": stage.name,
                    "told": told,
                    "headlines": [
                        {"says": one["says"], "sign": SIGNS.get(one["verdict"], "cannot-tell")} for one in found
                    ],
                    "chart": chart(f"drill{number}", told),
                    "rows": [_row(generation) for generation in told["generations"]],
                    "single": all(one["low"] is None for one in found),
                }
            )
    return views


def _row(generation: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float | None]]:
    """Of each arm the mean over its seeds; None where a student wrote nothing that could be measured."""
    return {
        measure: [_mean([told[measure] for line, told in generation.items() if _arm(line) == arm]) for arm in ARMS]
        for measure in ("bits_per_byte", "compression")
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def _arm(line: str) -> str:
    return line.rpartition("-")[0]


def chart(name: str, told: Mapping[str, Any]) -> Chart:
    """Held-out loss of every student by its generation, a line for each arm."""
    import altair as alt

    from orionlm.report import charts

    rows = [
        {"arm": _arm(line), "generation": number, "loss": one["bits_per_byte"]}
        for number, generation in enumerate(told["generations"])
        for line, one in generation.items()
    ]
    data = alt.Data(values=rows)

    def draw(width: int) -> alt.TopLevelMixin:
        arms = list(ARMS)
        colours, marks = (alt.Scale(domain=arms, range=[ARMS[arm][n] for arm in arms]) for n in range(2))
        colour = alt.Color("arm:N", sort=arms, scale=colours, title="genuine text")
        shape = alt.Shape("arm:N", sort=arms, scale=marks, title="genuine text")
        every = -(-len(told["generations"]) // (width // 30))  # labels need room
        ticks = list(range(0, len(told["generations"]), every))
        axis = alt.Axis(values=ticks, format="d", grid=False, title="generation")
        x = alt.X("generation:Q", scale=alt.Scale(nice=False, zero=False, padding=10), axis=axis)
        y = alt.Y("loss:Q", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(title="bits per byte", tickCount=5))
        layers: list[alt.Chart] = []
        for arm, (ink, _, dash) in ARMS.items():  # each by itself: an encoded dash would tear the marks of the key
            own = alt.Data(values=[row for row in rows if row["arm"] == arm])
            line = alt.Chart(own).mark_line(color=ink, strokeWidth=1.5, strokeDash=dash)
            layers.append(line.encode(x=x, y="mean(loss):Q"))
        points = alt.Chart(data).mark_point(filled=True, size=70, opacity=0.8)
        layers.append(points.encode(x=x, y=y, color=colour, shape=shape))
        return alt.layer(*layers).properties(width=width, height=240)

    seeds = max(one["n"] for one in told["arms"].values())
    caption = (
        f"Each mark is one student, {seeds} {'seed' if seeds == 1 else 'seeds'} an arm; lines join their means. Lower "
        "is better. Generation 0 read genuine text alone."
    )
    return charts.render(name, "Held-out loss by generation", caption, draw)

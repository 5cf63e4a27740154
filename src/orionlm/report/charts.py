"""The report's charts: Vega-Lite rendered to static SVG, twice each, for a page and for a phone.

Colours are those of Okabe & Ito (2008), and never the only sign: sizes also differ in mark, lines in stroke. The page's
style sheet recognises each colour below by its attribute and swaps it in the dark.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

import altair as alt
from markupsafe import Markup

from orionlm.report.law import Curve
from orionlm.report.numbers import bits, si

INK, MUTED, GRID, BAND = "#1b1f24", "#57606a", "#dde1e6", "#9ecae9"
BLUE, VERMILLION, GREEN, PURPLE, ORANGE = "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00"
SERIES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, MUTED)
MARKS = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
WIDTHS = {"wide": 620, "narrow": 250}
Draw = Callable[[int], alt.TopLevelMixin]


@dataclass(frozen=True)
class Chart:
    """A drawn chart: SVG for the page, its title and what to see in it."""

    svg: Markup
    title: str
    caption: str


def render(name: str, title: str, caption: str, draw: Draw) -> Chart:
    """Draw at both widths. `name` keeps the identifiers of several charts on one page apart."""
    parts = []
    for size, width in WIDTHS.items():
        chart = draw(width).configure(
            background="transparent",
            view=alt.ViewConfig(stroke=None),
            axis=alt.AxisConfig(
                labelColor=MUTED, titleColor=MUTED, gridColor=GRID, domainColor=MUTED, tickColor=MUTED,
                labelFontSize=12, titleFontSize=12, titleFontWeight="normal", titlePadding=8, labelLimit=0,
            ),
            legend=alt.LegendConfig(
                labelColor=INK, titleColor=MUTED, labelFontSize=12, titleFontSize=12, titleFontWeight="normal",
                orient="top", symbolSize=70, columns=6 if size == "wide" else 3, labelLimit=0,
            ),
            padding={"left": 12, "right": 10, "top": 4, "bottom": 2},
        )  # fmt: skip
        buffer = io.StringIO()
        chart.save(buffer, format="svg")
        parts.append(_inline(buffer.getvalue(), f"{name}-{size}", size, title, caption))
    return Chart(Markup("".join(parts)), title, caption)


def _inline(svg: str, name: str, size: str, title: str, caption: str) -> str:
    """An SVG document as an element of the page: it scales, names itself, and shares no identifier."""
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    box = re.search(r'viewBox="([^"]*)"', svg)
    assert box, "an SVG without a viewBox"
    body = re.sub(r'\bid="([^"]*)"', rf'id="{name}-\1"', body)
    body = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", body)
    body = re.sub(r' (aria-[a-z]+|role)="[^"]*"', "", body)
    width = box.group(1).split()[2]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="chart {size}" viewBox="{box.group(1)}" role="img" '
        f'style="max-width:{float(width):.0f}px" aria-labelledby="{name}-title {name}-desc">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-desc">{escape(caption)}</desc>{body}'
    )


def decades(low: float, high: float, most: int) -> list[float]:
    """Ticks of a logarithmic axis: powers of ten, with 2 and 5 between where there is room."""
    span = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 2, 5), (1, 3), (1,)):
        ticks = [step * 10.0**k for k in span for step in steps if low <= step * 10.0**k <= high]
        if len(ticks) <= most:
            return ticks
    return ticks[:: math.ceil(len(ticks) / most)]


def _compute(values: Sequence[float], width: int, title: str = "training compute (FLOP)") -> alt.X:
    low, high = min(values) / 1.3, max(values) * 1.3
    axis = alt.Axis(values=decades(low, high, width // 55), format="~s", grid=False, title=title)
    return alt.X("flops:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=axis)


def _loss(title: str = "bits per byte", **more: Any) -> alt.Y:
    return alt.Y("loss:Q", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(title=title, tickCount=5, **more))


def _sized(rows: list[dict]) -> tuple[list[dict], alt.Color, alt.Shape]:
    """The ladder's rows with a label of their size, and what tells sizes apart."""
    sizes = list(dict.fromkeys(si(row["params"]) for row in sorted(rows, key=lambda row: row["params"])))
    rows = [row | {"size": si(row["params"])} for row in rows]
    colours = alt.Scale(domain=sizes, range=[SERIES[i % len(SERIES)] for i in range(len(sizes))])
    marks = alt.Scale(domain=sizes, range=[MARKS[i % len(MARKS)] for i in range(len(sizes))])
    title = "parameters"
    return (
        rows,
        alt.Color("size:N", sort=sizes, scale=colours, title=title),
        alt.Shape("size:N", sort=sizes, scale=marks, title=title),
    )


def ladder(name: str, rows: list[dict]) -> Chart:
    """Rows of a run table: run, params, tokens, flops, loss."""
    marked, colour, shape = _sized(rows)
    data = alt.Data(values=marked)

    def draw(width: int) -> alt.TopLevelMixin:
        x, y = _compute([row["flops"] for row in rows], width), _loss()
        line = alt.Chart(data).mark_line(strokeWidth=1.5, opacity=0.7)
        lines = line.encode(x=x, y=y, detail="run:N", order="tokens:Q", color=colour)
        points = alt.Chart(data).mark_point(filled=True, size=70, opacity=1)
        return (lines + points.encode(x=x, y=y, color=colour, shape=shape)).properties(width=width, height=260)

    runs, best = len({row["run"] for row in rows}), min(row["loss"] for row in rows)
    caption = (
        f"{len(rows)} points of {runs} training runs; points joined by a line are decay branches of one run. "
        f"Loss falls with compute, and the best size grows with it. Lowest: {bits(best)} bits per byte."
    )
    return render(name, "The ladder: loss against training compute", caption, draw)


def law(name: str, rows: list[dict], curve: Curve | None, trials: list[dict]) -> Chart:
    """The ladder's points, the law (None: no band), and trials {flops, predicted, low, high, measured}."""
    edge = max(row["flops"] for row in rows)
    marked, colour, shape = _sized(rows)
    band = [] if curve is None else curve.rows
    everything = [row["flops"] for row in [*rows, *band, *trials]]
    said = [t | {"loss": t["predicted"]} for t in trials if t.get("predicted") is not None]
    measured = [t | {"loss": t["measured"]} for t in trials if t.get("measured") is not None]

    def draw(width: int) -> alt.TopLevelMixin:
        x, y = _compute(everything, width), _loss()
        layers: list[alt.Chart] = []
        if band:
            area = alt.Chart(alt.Data(values=band)).mark_area(color=BAND, opacity=0.45)
            layers.append(area.encode(x=x, y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q"))
            for inside, dash in ((True, [1, 0]), (False, [6, 4])):
                part = [row for row in band if (row["flops"] <= edge * 1.001) == inside or row["edge"]]
                line = alt.Chart(alt.Data(values=part)).mark_line(color=BLUE, strokeWidth=2, strokeDash=dash)
                layers.append(line.encode(x=x, y=y))
            fitted = alt.Chart(alt.Data(values=curve.fitted if curve else [])).mark_line(color=MUTED, strokeWidth=1)
            layers.append(fitted.encode(x=x, y=y, detail="run:N", order="flops:Q"))
        points = alt.Chart(alt.Data(values=marked)).mark_point(filled=True, size=50, opacity=1)
        layers.append(points.encode(x=x, y=y, color=colour, shape=shape))
        if said:
            base = alt.Chart(alt.Data(values=said))
            layers.append(base.mark_rule(color=INK, strokeWidth=2).encode(x=x, y="low:Q", y2="high:Q"))
            for end in ("low", "high"):
                tick = base.mark_tick(color=INK, thickness=2, size=12, orient="horizontal")
                layers.append(tick.encode(x=x, y=f"{end}:Q"))
        if measured:
            dots = alt.Chart(alt.Data(values=measured)).mark_point(
                shape="diamond", filled=True, size=80, color=VERMILLION, opacity=1, stroke=INK, strokeWidth=1
            )
            layers.append(dots.encode(x=x, y=y))
        return alt.layer(*layers).properties(width=width, height=280)

    caption = f"Marks: the ladder's {len(rows)} points. "
    if curve is None:
        caption += "No band is drawn: no forecast was made. "
    else:
        caption += (
            "Thin lines: the law at each size. "
            f"Thick line and band: the law and its {curve.level:.0%} interval for one new run at the target's "
            f"{curve.ratio:.3g} tokens per parameter, dashed beyond the ladder. Bar: the forecast. "
        )
    caption += "Large diamond: the measurement." if measured else "The target is not measured yet."
    return render(name, "The law and its band, out to the target and beyond", caption, draw)


def comparison(name: str, trial: dict, baselines: dict[str, float]) -> Chart:
    """A forecast {predicted, low, high, level, measured, verdict} beside its measurement and simple baselines."""
    rows = []
    if trial.get("predicted") is not None:
        label = f"{bits(trial['predicted'])} ({bits(trial['low'])}–{bits(trial['high'])})"
        rows.append({"row": "forecast", "loss": trial["predicted"], "end": trial["high"], "label": label})
    if trial.get("measured") is not None:
        rows.append({"row": "measured", "loss": trial["measured"], "label": bits(trial["measured"])})
    rows += [{"row": key, "loss": value, "label": bits(value)} for key, value in baselines.items()]
    for row in rows:
        row.setdefault("end", row["loss"])
    kinds = [row["row"] for row in rows]
    colours = {"forecast": BLUE, "measured": VERMILLION}
    marks = {"forecast": "circle", "measured": "diamond"}
    others = iter(("triangle-up", "square", "cross", "triangle-down"))

    def draw(width: int) -> alt.TopLevelMixin:
        spread = [value for row in rows for value in (row["loss"], row["end"], trial.get("low") or row["loss"])]
        room = (max(spread) - min(spread)) * (0.45 if width < 400 else 0.25) + 1e-3
        domain = [min(spread) - 0.2 * room, max(spread) + room]
        axis = alt.Axis(title="bits per byte", tickCount=width // 75, grid=True)
        scale = alt.Scale(domain=domain, nice=False, zero=False)
        x, end = (alt.X(field, scale=scale, axis=axis) for field in ("loss:Q", "end:Q"))
        y = alt.Y("row:N", sort=kinds, axis=alt.Axis(title=None, labelColor=INK, ticks=False, domain=False))
        layers: list[alt.Chart] = []
        if trial.get("low") is not None:
            span = [{"row": kind, "loss": trial["low"], "end": trial["high"]} for kind in kinds]
            shade = alt.Chart(alt.Data(values=[span[0]])).mark_rect(color=BAND, opacity=0.3)
            layers.append(shade.encode(x=x, x2="end:Q"))
            bar = alt.Chart(alt.Data(values=[span[0]])).mark_rule(color=BLUE, strokeWidth=4)
            layers.append(bar.encode(x=x, x2="end:Q", y=y))
        for row in rows:
            kind = row["row"]
            point = alt.Chart(alt.Data(values=[row])).mark_point(
                shape=marks.get(kind) or next_mark[kind],
                filled=True,
                size=110,
                color=colours.get(kind, MUTED),
                opacity=1,
            )
            layers.append(point.encode(x=x, y=y))
            text = alt.Chart(alt.Data(values=[row])).mark_text(align="left", dx=10, color=INK, fontSize=12)
            layers.append(text.encode(x=end, y=y, text="label:N"))
        return alt.layer(*layers).properties(width=width - 40, height=34 * len(rows) + 8)

    next_mark = {kind: next(others, "circle") for kind in kinds if kind not in marks}
    if trial.get("predicted") is None:
        caption = "No interval is drawn: no forecast was made. "
    else:
        caption = f"Bar: the {trial.get('level', 0.9):.0%} interval stated before the run began. "
    if trial.get("measured") is not None:
        caption += "Diamond: what the run reached. "
    caption += "Below: what two simple guesses from the same ladder would have said." if baselines else ""
    return render(name, "Forecast beside measurement", caption.strip(), draw)


def wall(name: str, rows: list[dict]) -> Chart:
    """Rows of `plan.forecast.wall` at its usual level: flops, loss, low, high."""

    def draw(width: int) -> alt.TopLevelMixin:
        data = alt.Data(values=rows)
        x = _compute([row["flops"] for row in rows], width, "compute, spent at its best (FLOP)")
        area = alt.Chart(data).mark_area(color=BAND, opacity=0.45)
        band = area.encode(x=x, y=alt.Y("low:Q", scale=alt.Scale(zero=False)), y2="high:Q")
        line = alt.Chart(data).mark_line(color=BLUE, strokeWidth=2, strokeDash=[6, 4]).encode(x=x, y=_loss())
        points = alt.Chart(data).mark_point(filled=True, color=BLUE, size=60, opacity=1).encode(x=x, y=_loss())
        return (band + line + points).properties(width=width, height=180)

    caption = (
        "Each mark is 10 times the compute of the one before; band: the laws' 90% interval. A flattening line "
        "is the wall: the floor that this text and this recipe approach. The band widens with the reach."
    )
    return render(name, "The wall: what each further 10× of compute buys", caption, draw)


def regime(name: str, rows: list[dict], least: float | None) -> Chart:
    """Rows: run, params, tokens, flops, score, the induction score of each point of the ladder."""
    marked, colour, shape = _sized(rows)

    def draw(width: int) -> alt.TopLevelMixin:
        data = alt.Data(values=marked)
        x = _compute([row["flops"] for row in rows], width)
        y = alt.Y("score:Q", axis=alt.Axis(title="induction score", tickCount=4))
        line = alt.Chart(data).mark_line(strokeWidth=1.5, opacity=0.7)
        layers = [line.encode(x=x, y=y, detail="run:N", order="tokens:Q", color=colour)]
        points = alt.Chart(data).mark_point(filled=True, size=60, opacity=1)
        layers.append(points.encode(x=x, y=y, color=colour, shape=shape))
        if least is not None:
            floor = alt.Chart(alt.Data(values=[{"score": least, "label": f"lowest: {least:.2f}"}]))
            layers.append(floor.mark_rule(color=INK, strokeDash=[3, 3]).encode(y=y))
            text = floor.mark_text(align="right", dy=11, color=INK, fontSize=12)
            layers.append(text.encode(x=alt.value(width), y=y, text="label:N"))
        return alt.layer(*layers).properties(width=width, height=180)

    caption = (
        "How much better a model predicts text that it has just seen: in-context copying, which small models learn "
        "abruptly. Only points past that jump, on the plateau, tell where larger models are going."
    )
    return render(name, "The regime: induction score along the ladder", caption, draw)

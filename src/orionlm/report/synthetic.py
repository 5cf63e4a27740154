"""Was synthetic text worth its tokens? What was written, what the gate said of it, and what its students learnt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from importlib import resources
from typing import TYPE_CHECKING, Any

from orionlm.gain.solve import span
from orionlm.report import numbers
from orionlm.report.drill import drills
from orionlm.report.probe import probes
from orionlm.report.reading import Run
from orionlm.report.specialists import specialists
from orionlm.synth.crossover import crossover

if TYPE_CHECKING:
    from markupsafe import Markup

    from orionlm.report.charts import Chart

ARMS = {
    "real": ("#57606a", "circle", [1, 0]),
    "ungated": ("#d55e00", "square", [6, 4]),
    "admitted": ("#0072b2", "diamond", [1, 0]),
}
SIGNS = {"admitted": "inside", "rejected": "outside"}
OVER = {"gross": "gross", "net": "net of writing it", "net_of_teacher": "net of its teacher too"}


def sections(run: Run) -> Markup:
    """The sections of the page about synthetic text; empty where the run wrote none."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= numbers.FILTERS | {"interval": _between, "gap": _interval, "span": span}
    page = resources.files("orionlm.report").joinpath("synthetic.html").read_text(encoding="utf-8")
    return Markup(
        environment.from_string(page).render(
            probes=probes(run),
            written=written(run),
            gates=gates(run),
            guards=guards(run),
            students=students(run),
            specialists=specialists(run),
            drills=drills(run),
        )
    )


def written(run: Run) -> list[dict[str, Any]]:
    """For each stage `generate` that is done: {name, says, methods, teachers, warnings}."""
    views = []
    for stage in run.of_kind("generate"):
        told = stage.json("generation.json")
        if told:
            methods = [
                {"name": name, "why": why(one["rejected"], one["rows"] - one["kept"]), **one}
                for name, one in told["methods"].items()
            ]
            teachers = [
                {"name": name, "revision": ", ".join(one["revisions"]), "terms": one["terms"], "kept": one["kept"]}
                | {cost: one.get(cost) for cost in ("flops", "dollars")}
                for name, one in told["teachers"].items()
            ]
            views.append({"name": stage.name, "told": told, "methods": methods, "teachers": teachers})
    return views


def why(rejected: Mapping[str, int], total: int) -> str:
    """How many rows each check rejected, the most first; what it said of single rows is left out, and so are reasons
    too rare to be listed."""
    checks: Counter[str] = Counter()
    for reason, count in rejected.items():
        checks[reason.partition(":")[0]] += count
    listed = [f"{numbers.si(count)} {check}" for check, count in checks.most_common()]
    rest = total - checks.total()
    return ", ".join([*listed, f"{numbers.si(rest)} for other reasons"] if rest else listed)


def gates(run: Run) -> list[dict[str, Any]]:
    """For each stage `align` that is done: {name} and what `gate_view` says."""
    found = [(stage.name, stage.json("gate.json")) for stage in run.of_kind("align")]
    return [{"name": name} | gate_view(told) for name, told in found if told]


def gate_view(told: Mapping[str, Any]) -> dict[str, Any]:
    """What the gate said, and before mending where there was any: {verdict, faults, note, sign, was, steps, unseen,
    rows, notes}, a row for each measure. `unseen`: judged by real text that nothing was chosen by."""
    mended = bool(told.get("mending"))
    first = told["before"] if mended else {"measures": []}
    before = {one["name"]: one for one in first["measures"]}
    rows = []
    for one in told["measures"]:
        was = before.pop(one["name"], None)
        rows.append(_measured(one) | {"before": _between(was), "before_verdict": was["verdict"] if was else "–"})
    rows += [
        {"name": name, "value": "–", "verdict": "–", "margin": _short(one["margin"]), "against": "–"}
        | {"before": _between(one), "before_verdict": one["verdict"]}
        for name, one in before.items()
    ]
    return {
        "verdict": told["verdict"],
        "sign": SIGNS.get(told["verdict"], "cannot-tell"),
        "faults": told["faults"],
        "note": str(told.get("note") or "").rstrip("."),
        "mended": mended,
        "was": first["verdict"] if mended else "",
        "unseen": mended and first.get("n_real", 0) > told.get("n_real", 0),
        "was_faults": first["faults"] if mended else [],
        "steps": [
            f"{one['name']}: {one['before']:,} → {one['after']:,} rows{'; ' + one['says'] if one['says'] else ''}"
            for one in told.get("mending", ())
        ],
        "rows": rows,
        "notes": [f"{one['name']}: {one['note']}" for one in told["measures"] if one.get("note")],
    }


def _measured(one: Mapping[str, Any]) -> dict[str, str]:
    said = {"name": one["name"], "verdict": one["verdict"], "value": _between(one)}
    return said | {"margin": _short(one["margin"]), "against": _short(one.get("against"))}


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _between(one: Mapping[str, Any] | None) -> str:
    if one is None or one["value"] is None:
        return "–"
    ends = "" if one["low"] is None else f" ({one['low']:.3f} to {one['high']:.3f})"
    return f"{one['value']:.3f}{ends}"


def guards(run: Run) -> list[dict[str, Any]]:
    """For each stage `augment` that is done: what it let in."""
    found = [(stage.name, stage.json("augment.json")) for stage in run.of_kind("augment")]
    return [{"name": name, **told} for name, told in found if told]


def students(run: Run) -> dict[str, Any] | None:
    """All students of the run, by the real text they had: {chart, rows, notes, pays}, `pays`: where it stops to;
    None where there are none."""
    found = [(stage, stage.json("students.json")) for stage in run.of_kind("students")]
    pages = sorted(
        ((stage.name, page) for stage, page in found if page), key=lambda item: item[1]["unique_tokens"]["real"]
    )
    if not pages:
        return None
    rows = [_row(name, page, arm) for name, page in pages for arm in ARMS if arm in page["arms"]]
    notes = [f"{name}: {note}" for name, page in pages for note in _notes(page)]
    return {
        "chart": chart([page for _, page in pages]),
        "rows": rows,
        "notes": list(dict.fromkeys(notes)),
        "priced": any(row["gains"] for row in rows),
        "pays": _pays([page for _, page in pages]),
        "over": list(OVER.values()),
        "saw_more": any(page.get("teacher_saw_more") for _, page in pages),
        "flops": pages[0][1]["flops"],
    }


def _row(name: str, page: Mapping[str, Any], arm: str) -> dict[str, Any]:
    told, gap = page["arms"][arm], page["differences"].get(arm)
    over = page["gains"].get(arm, {}).get("over_real") if arm != "real" else None
    return {
        "stage": name,
        "real": page["unique_tokens"]["real"],
        "arm": arm,
        "bits": told["bits_per_byte"],
        "share": page.get("shares", {}).get(arm),
        "times": max(run["read"]["real"]["epochs"] for run in told["runs"]),
        "gap": _interval(gap),
        "gains": [span(over[key]) if over[key] else "not known" for key in OVER] if over else [],
    }


def _pays(pages: Sequence[Mapping[str, Any]]) -> list[str]:
    """With how much real text each arm stops paying, where students had several amounts of it."""
    if len(pages) < 2:
        return []
    found = [crossover(pages, arm, kind) for arm in ARMS if arm != "real" for kind in OVER]
    return [f"{one['arm']}, {OVER[one['kind']]}: {one['says']}" for one in found if one["n"]]


def _interval(found: Mapping[str, Any] | None) -> str:
    if found is None or found["value"] is None:
        return "–"
    ends = "" if None in (found["low"], found["high"]) else f" ({found['low']:+.3f} to {found['high']:+.3f})"
    return f"{found['value']:+.3f}{ends}"


def _notes(page: Mapping[str, Any]) -> list[str]:
    gate = page.get("gate")
    if not gate:
        return ["no gate stood between what was written and what these students read"]
    if gate["verdict"] != "admitted":
        faults = f": {', '.join(gate['faults'])}" if gate["faults"] else ""
        return [f"the gate said {gate['verdict']}{faults}; no student read it as admitted text"]
    return []


def chart(pages: Sequence[Mapping[str, Any]]) -> Chart:
    """Held-out loss of every student against the real text it had, a line for each arm."""
    import altair as alt

    from orionlm.report import charts

    rows = [
        {"arm": arm, "real": page["unique_tokens"]["real"], "loss": run["bits_per_byte"]}
        for page in pages
        for arm, told in page["arms"].items()
        for run in told["runs"]
    ]
    arms = [arm for arm in ARMS if any(row["arm"] == arm for row in rows)]
    amounts = sorted({row["real"] for row in rows})
    data = alt.Data(values=rows)

    def draw(width: int) -> alt.TopLevelMixin:
        colours, marks = (alt.Scale(domain=arms, range=[ARMS[arm][n] for arm in arms]) for n in range(2))
        colour = alt.Color("arm:N", sort=arms, scale=colours, title="trained on")
        shape = alt.Shape("arm:N", sort=arms, scale=marks, title="trained on")
        low, high = min(amounts) / 1.3, max(amounts) * 1.3
        axis = alt.Axis(values=amounts, format=".3~s", grid=False, title="tokens of real text")
        x = alt.X("real:Q", scale=alt.Scale(type="log", domain=[low, high], nice=False), axis=axis)
        y = alt.Y("loss:Q", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(title="bits per byte", tickCount=5))
        layers: list[alt.Chart] = []
        for arm in arms:  # each by itself: an encoded dash would tear the marks of the key
            own = alt.Data(values=[row for row in rows if row["arm"] == arm])
            ink, _, dash = ARMS[arm]
            line = alt.Chart(own).mark_line(color=ink, strokeWidth=1.5, strokeDash=dash)
            layers.append(line.encode(x=x, y="mean(loss):Q"))
        points = alt.Chart(data).mark_point(filled=True, size=70, opacity=0.8)
        layers.append(points.encode(x=x, y=y, color=colour, shape=shape))
        return alt.layer(*layers).properties(width=width, height=240)

    seeds = max(told["n"] for page in pages for told in page["arms"].values())
    caption = (
        f"Each mark is one student at its best branch, {seeds} seeds an arm; lines join their means. All students "
        "train on equally many tokens. Lower is better: where a line lies below that of real text, synthetic text "
        "pays, before its cost is counted."
    )
    return charts.render("students", "Students with and without synthetic text", caption, draw)

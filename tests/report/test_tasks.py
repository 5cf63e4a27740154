from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from orionlm.report.tasks import task_views


def line(task: str, verdict: str, blind: bool | None, values: list[float | None]) -> dict[str, Any]:
    points = [
        {
            "model": f"d{index}",
            "flops": 1e12 * 2**index,
            "params": 1e6,
            "estimate": None if value is None else {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40},
        }
        for index, value in enumerate(values)
    ]
    change = {"value": 0.2, "low": 0.1, "high": 0.3}
    return {
        "task": task, "metric": "accuracy", "chance": 0.25, "points": points, "per_decade": change,
        "verdict": verdict, "blind": blind, "expected": [{"compute": 2e12, "value": 0.45, "low": 0.3, "high": 0.6}],
    }  # fmt: skip


def views(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    stage = SimpleNamespace(name="eval", json=lambda file: {"sight": lines} if file == "trend.json" else None)
    return task_views(SimpleNamespace(of_kind=lambda kind: [stage] if kind == "eval" else []))  # type: ignore[arg-type]


def test_each_task_says_whether_compute_pays_for_it_or_that_it_is_blind():
    [view] = views([
        line("middle", "yes", False, [0.4, 0.5]),
        line("sums", "cannot tell", True, [0.25, 0.26]),
        line("text", "no", None, [0.5, 0.4]),
    ])  # fmt: skip
    assert [row["verdict"] for row in view["rows"]] == [
        "grows with compute", "blind: at chance all along", "does not grow",
    ]  # fmt: skip
    assert view["rows"][0]["last"] == "0.500 (0.400 to 0.600)"
    assert view["rows"][0]["expected"] == "0.450 (0.300 to 0.600)"
    assert "blind: at chance" in view["chart"]
    assert view["chart"].startswith("<svg")


def test_a_task_nobody_could_be_asked_has_no_score_and_breaks_nothing():
    [view] = views([line("long", "cannot tell", None, [None, None])])
    assert view["rows"][0]["last"] == "–"
    assert view["chart"] == ""


def test_a_run_without_evaluations_has_no_such_section():
    assert task_views(SimpleNamespace(of_kind=lambda kind: [])) == []  # type: ignore[arg-type]

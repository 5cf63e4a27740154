from __future__ import annotations

import re
from html import unescape
from types import SimpleNamespace
from typing import Any

import pytest

from orionlm.report.specialists import specialists
from orionlm.report.synthetic import sections

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def run(told: dict[str, Any] | None, suite: str = "stories.toml") -> Any:
    stage = SimpleNamespace(name="special", json=lambda _: told, table={"suite": suite})
    return SimpleNamespace(of_kind=lambda kind: [stage] if kind == "specialists" else [])


def read(html: str) -> str:
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def estimate(value: float) -> dict[str, Any]:
    return {"value": value, "low": value - 0.03, "high": value + 0.03, "n": 1000, "level": 0.95}


def task(name: str, plain: list[float], specialist: list[float], verdict: str) -> dict[str, Any]:
    means = [sum(scores) / len(scores) for scores in (plain, specialist)]
    gap = means[1] - means[0]
    ends = {"low": gap - 0.14, "high": gap + 0.14} if len(plain) > 1 else {"low": None, "high": None}
    return {
        "task": name, "metric": "accuracy", "verdict": verdict,
        "says": f"{name}: {means[1]:.3f} with synthetic text, {means[0]:.3f} without: {verdict}",
        "plain": {"mean": means[0], "runs": plain}, "specialist": {"mean": means[1], "runs": specialist},
        "over_runs": {"value": gap, "n": len(plain)} | ends,
        "over_questions": {"value": gap, "low": gap - 0.02, "high": gap + 0.02, "n": 1000},
    }  # fmt: skip


def page(*tasks: dict[str, Any]) -> dict[str, Any]:
    seeds = len(tasks[0]["plain"]["runs"])
    runs = {
        f"{kind}-{seed}": {"tasks": {line["task"]: estimate(line[kind]["runs"][seed]) for line in tasks}}
        for kind in ("plain", "specialist")
        for seed in range(seeds)
    }
    return {"runs": runs, "tasks": list(tasks), "level": 0.9}


STORIES = task("stories", [0.413, 0.382, 0.592], [0.611, 0.594, 0.643], "better")


def cells(shown: str) -> list[list[list[str]]]:
    bodies = re.findall(r"<tbody>(.*?)</tbody>", shown, re.S)
    return [[re.findall(r">([^<>]+)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", body)] for body in bodies]


def test_a_task_is_shown_with_both_means_and_how_much_better_over_runs_and_over_questions():
    shown = sections(run(page(STORIES)))
    [[row], _] = cells(shown)
    both = [STORIES["over_runs"], STORIES["over_questions"]]
    gaps = [f"{gap['value']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})" for gap in both]
    assert row == ["stories", "better", "accuracy", "0.462", "0.616", *gaps]
    said = read(shown)
    assert STORIES["says"] in said and "the suite stories.toml. 3 runs of each kind" in said and "(90%)" in said


def test_every_model_is_shown_with_its_own_score_and_interval():
    [_, models] = cells(sections(run(page(STORIES))))
    assert len(models) == 6
    assert models[0] == ["plain-0", "without", "stories", "0.413 (0.383 to 0.443)", "1000"]
    assert models[-1] == ["specialist-2", "with synthetic text", "stories", "0.643 (0.613 to 0.673)", "1000"]


def test_single_runs_have_no_interval_over_runs_and_the_page_says_so():
    shown = sections(run(page(task("stories", [0.4], [0.6], "cannot tell"))))
    [[row], _] = cells(shown)
    assert row[5] == "+0.200" and ">?</span>" in shown
    assert "1 run of each kind" in read(shown) and "Single runs have no interval" in read(shown)


def test_what_was_not_measured_is_a_dash():
    told = page(STORIES)
    told["tasks"][0] |= {"over_questions": None}
    told["runs"]["plain-0"]["tasks"]["stories"] = None
    [[row], models] = cells(sections(run(told)))
    assert row[-1] == "–" and models[0][3:] == ["–", "–"]


@pytest.mark.parametrize(
    "verdicts, sign, headline",
    [
        (["better"], "✓", "t0: 0.600 with synthetic text, 0.400 without: better"),
        (["worse"], "✕", "t0: 0.600 with synthetic text, 0.400 without: worse"),
        (["better", "better"], "✓", "Tasks: 2 better"),
        (["better", "cannot tell", "better"], "?", "Tasks: 2 better, 1 cannot tell"),
        (["better", "worse"], "✕", "Tasks: 1 better, 1 worse"),
    ],
)
def test_the_headline_is_what_the_one_task_says_or_counts_what_several_say(verdicts, sign, headline):
    told = page(*(task(f"t{n}", [0.4], [0.6], verdict) for n, verdict in enumerate(verdicts)))
    shown = sections(run(told))
    assert f">{sign}</span><span>{headline}</span>" in shown


def test_what_strangers_named_stays_text():
    shown = sections(run(page(task(HOSTILE, [0.4], [0.6], "cannot tell")), suite=HOSTILE))
    assert "&lt;script&gt;" in shown and "<script" not in shown and "<img" not in shown


def test_specialists_that_are_not_done_are_not_shown():
    assert specialists(run(None)) == [] and sections(run(None)).strip() == ""

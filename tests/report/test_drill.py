from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from orionlm.report.drill import drills
from orionlm.report.synthetic import sections
from orionlm.synth.drill import GUARDED, REPLACED, judged

FILLS = {REPLACED: "#d55e00", GUARDED: "#0072b2"}


def run(*told: dict[str, Any] | None) -> Any:
    stages = [SimpleNamespace(name=f"drill{n}", json=lambda _, one=one: one) for n, one in enumerate(told)]
    return SimpleNamespace(of_kind=lambda kind: stages if kind == "drill" else [])


def read(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def drill(rise: float, guarded: float, seeds: int, generations: int = 3) -> dict[str, Any]:
    """As the stage writes it: from 3 bits per byte, so much up with each generation."""
    steps = {REPLACED: rise, GUARDED: guarded}
    measured = [
        {
            f"{arm}-{seed}": {
                "bits_per_byte": 3 + 0.01 * seed + n * step + (0.002 * seed if n else 0),
                "standard_error": 0.01,
                "compression": 5.0 + 2 * n + seed,
            }
            for arm, step in steps.items()
            for seed in range(seeds)
        }
        for n in range(generations)
    ]
    return {"generations": measured, "harm": 0.05, "level": 0.9} | judged(measured, 0.05)


def marks(svg: str, arm: str) -> list[tuple[float, float]]:
    """Where an arm's students stand in the wide drawing: (across, down)."""
    wide = svg[: svg.index("chart narrow")]
    drawn = wide[wide.index("mark-symbol role-mark") :].partition("</g>")[0]  # and not the key
    found = re.findall(rf'translate\(([\d.]+),([\d.]+)\)" d="[^"]*" fill="{FILLS[arm]}"', drawn)
    return [(float(x), float(y)) for x, y in found]


def test_each_arm_has_a_headline_with_a_sign_and_what_the_drill_said_of_it():
    told = drill(0.4, 0.0, seeds=3)
    shown = sections(run(told))
    assert told["arms"][REPLACED]["verdict"] == "collapse" and told["arms"][GUARDED]["verdict"] == "no collapse"
    signs = re.findall(r'class="headline"><span[^>]*>(.)</span><span>([^<]*)</span>', shown)
    assert signs == [("✕", told["arms"][REPLACED]["says"]), ("✓", told["arms"][GUARDED]["says"])]
    assert "Intervals (90%) are over seeds" in read(shown) and "more than 0.05 bits per byte" in read(shown)


def test_the_table_holds_the_means_over_seeds_of_every_generation():
    told = drill(0.4, 0.02, seeds=2)
    cells = [re.findall(r">([^<>]+)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", sections(run(told)))][1:]
    expected = []
    for number, generation in enumerate(told["generations"]):
        means = {
            (measure, arm): np.mean([generation[f"{arm}-{seed}"][measure] for seed in range(2)])
            for measure in ("bits_per_byte", "compression")
            for arm in (REPLACED, GUARDED)
        }
        bits = [f"{means['bits_per_byte', arm]:.3f}" for arm in (REPLACED, GUARDED)]
        expected.append([str(number), *bits, *(f"{means['compression', arm]:.3g}×" for arm in (REPLACED, GUARDED))])
    assert cells == expected


def test_the_chart_has_a_mark_for_every_student_at_its_generation_and_its_loss():
    told = drill(0.4, 0.02, seeds=2)
    svg = str(drills(run(told))[0]["chart"].svg)
    assert svg.count("<svg") == 2 and "2 seeds an arm" in svg
    across, down, number, loss = [], [], [], []
    for arm in (REPLACED, GUARDED):
        found = marks(svg, arm)
        students = [
            (n, generation[f"{arm}-{seed}"]["bits_per_byte"])
            for n, generation in enumerate(told["generations"])
            for seed in range(2)
        ]
        assert len(found) == len(students)
        for (x, y), (n, bits) in zip(sorted(found, key=lambda at: (at[0], -at[1])), students, strict=True):
            across.append(x), down.append(y), number.append(n), loss.append(bits)
    assert np.corrcoef(across, number)[0, 1] == pytest.approx(1)
    assert np.corrcoef(down, loss)[0, 1] == pytest.approx(-1)  # a page counts downwards


def test_arms_differ_in_mark_and_stroke_not_in_colour_alone():
    svg = str(drills(run(drill(0.4, 0.02, seeds=1)))[0]["chart"].svg)
    outlines = {
        arm: set(re.findall(rf' d="([^"]*)" fill="{fill}" stroke-width="2" opacity="0.8"', svg))
        for arm, fill in FILLS.items()
    }
    assert all(outlines.values()) and outlines[REPLACED].isdisjoint(outlines[GUARDED])
    assert all(svg.count(f">{arm}</text>") == 2 for arm in FILLS)  # the key, for pages and phones
    lines = {arm: re.search(rf'stroke="{fill}"[^>]*stroke-dasharray="([^"]*)"', svg) for arm, fill in FILLS.items()}
    assert lines[REPLACED] and lines[REPLACED].group(1) == "6,4"
    assert lines[GUARDED] and lines[GUARDED].group(1) != "6,4"


def test_single_seeds_have_no_interval_and_the_page_says_that_nothing_can_be_told():
    told = drill(0.4, 0.0, seeds=1)
    shown = sections(run(told))
    said = read(shown)
    assert shown.count(">?</span>") == 2
    assert "replaced: cannot tell: +0.400 bits per byte" in said and "A single seed of each has no interval" in said
    assert "1 seed an arm" in shown and "Intervals (" not in said


def test_what_a_student_wrote_that_could_not_be_measured_is_a_dash():
    told = drill(0.4, 0.0, seeds=2)
    told["generations"][-1]["replaced-1"]["compression"] = None
    assert drills(run(told))[0]["rows"][-1]["compression"] == [None, 9.5]
    assert "–</td><td" in sections(run(told))


def test_two_drills_share_no_identifier():
    shown = sections(run(drill(0.4, 0.0, seeds=1), drill(0.1, 0.0, seeds=2)))
    names = re.findall(r'\bid="([^"]*)"', shown)
    assert shown.count("<section") == 2 and len(names) == len(set(names))


def test_hostile_lines_are_escaped():
    told = drill(0.4, 0.0, seeds=1)
    told["arms"][REPLACED]["says"] = "<script>alert(1)</script>"
    assert "<script" not in sections(run(told))


def test_a_drill_that_is_not_done_is_not_shown():
    assert sections(run(None)).strip() == ""

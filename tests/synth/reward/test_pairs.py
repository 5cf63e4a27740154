from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.desk import Ask
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.pairs import Choice, choose
from synth.scripted_teacher import Scripted, desk_of

ASKED = [{"role": "user", "content": "Which?"}]


def judge(marks: dict[str, object], likes: str = "") -> Scripted:
    """Scores each answer as `marks` says, and prefers the answer `likes` ("": by its place)."""

    def script(prompt: str, ask: Ask) -> str:
        if "two answers" in prompt:
            if not likes:
                return '{"better": "A"}'
            first = prompt.split("Answer A:")[1].split("Answer B:")[0]
            return '{"better": "A"}' if likes in first else '{"better": "B"}'
        mark = next(mark for name, mark in marks.items() if f"\n{name}\n</answer>" in prompt)
        five = {n: 2 for n in ("correctness", "coherence", "complexity", "verbosity")}
        return str({"helpfulness": mark, **five}).replace("'", '"').replace("nan", "NaN")

    return Scripted(script, "judge")


def chosen(marks: dict[str, object], likes: str = "", truths: Sequence[bool] | None = None) -> Choice:
    return asyncio.run(choose(Reward(repairs=0), desk_of(judge(marks, likes)), ASKED, list(marks), truths))


@pytest.mark.parametrize(
    ("a", "b", "kept"),
    [(2.9, 2.9, False), (0, 0, False), (3.0, 0, True), (0, 3.0, True), (2.9, 3.0, True), (4, 4, True)],
)
def test_a_pair_is_dropped_for_its_scores_only_when_both_are_bad(a: float, b: float, kept: bool) -> None:
    found = chosen({"one": a, "two": b}, likes="one")
    assert (found.rejected is not None) is kept
    assert found.why.startswith("both bad: helpfulness ") is not kept and (found.best is not None) is kept


@given(st.floats(0, 4), st.floats(0, 4))
def test_the_both_bad_rule_is_the_papers(a: float, b: float) -> None:
    assert (chosen({"one": a, "two": b}, likes="two").rejected is None) == (a < 3.0 and b < 3.0)


def test_the_judge_labels_the_pair_where_no_truth_is_known() -> None:
    found = chosen({"one": 4, "two": 3}, likes="two")
    assert (found.best, found.rejected, found.by, found.judged) == (1, 0, "judge", "chosen")
    told = found.more(ASKED, ["one", "two"])["pair"]
    assert told["chosen"] == "two" and told["scores"]["rejected"]["helpfulness"] == 4 and told["prompt"] == ASKED


def test_a_judge_whose_word_changes_with_the_order_makes_no_pair_but_keeps_the_best() -> None:
    found = chosen({"one": 3, "two": 4})
    assert found.best == 1 and found.rejected is None and found.why == "tie: the judge's word changed with the order"


def test_an_unscored_answer_is_never_the_best_and_in_no_pair() -> None:
    found = chosen({"one": float("nan"), "two": 3.5}, likes="one")
    assert found.best == 1 and found.rejected is None and "unscored: the judge: helpfulness = nan" in found.why
    found = chosen({"one": float("nan"), "two": 7}, likes="one")
    assert found.best is None and found.why.startswith("unscored: ")


def test_a_verified_truth_labels_the_pair_against_the_judge_whose_word_is_kept() -> None:
    found = chosen({"wrong": 4, "right": 3}, likes="wrong", truths=[False, True])
    assert (found.best, found.rejected, found.by, found.judged) == (1, 0, "truth", "rejected")
    assert chosen({"wrong": 4, "right": 3}, likes="right", truths=[False, True]).judged == "chosen"
    assert chosen({"wrong": 4, "right": 3}, truths=[False, True]).judged == "tie"


def test_the_both_bad_rule_and_missing_scores_hold_for_verified_pairs_too() -> None:
    assert "both bad" in chosen({"wrong": 2, "right": 2}, truths=[False, True]).why
    found = chosen({"wrong": 4, "right": float("nan")}, truths=[False, True])
    assert found.best is None and "unscored" in found.why
    found = chosen({"wrong": float("nan"), "right": 4}, truths=[False, True])
    assert found.best == 1 and found.rejected is None and "unscored" in found.why


def test_answers_that_are_all_right_or_all_wrong_are_no_pair() -> None:
    found = chosen({"one": 3, "two": 4}, truths=[True, True])
    assert found.best == 1 and found.rejected is None and found.why == "all are right"
    teacher = judge({"one": 3, "two": 4})
    found = asyncio.run(choose(Reward(), desk_of(teacher), ASKED, ["one", "two"], [False, False]))
    assert found.best is None and found.why == "none is right" and not teacher.asked


def test_truth_alone_makes_pairs_where_nobody_scores() -> None:
    found = asyncio.run(choose(Reward(by="none"), desk_of(judge({})), ASKED, ["a", "b", "c"], [False, True, True]))
    assert (found.best, found.rejected, found.by, found.judged) == (1, 0, "truth", "")


def test_of_many_answers_the_best_and_the_worst_make_the_pair() -> None:
    found = chosen({"one": 1, "two": 4, "three": 3, "four": 0}, likes="two")
    assert (found.best, found.rejected) == (1, 3)

from __future__ import annotations

import json
from typing import Any

import pytest

from orionlm.errors import UserError
from orionlm.synth.desk import Ask, Reply, Seed
from orionlm.synth.methods.problems import Settings, write
from orionlm.synth.reward.agreement import agreement
from orionlm.synth.rows import Row
from orionlm.tasks.generators.expression import evaluate
from orionlm.tasks.generators.generate import split_of
from synth.scripted_teacher import Scripted, collected, desk_of, said


def value(prompt: str) -> int:
    return int(evaluate(prompt.split(" =")[0])[0])


def right(prompt: str) -> str:
    return f"First this, then that.\n**Answer: {value(prompt)}.**"


def solved(script: Any, seeds: tuple[Seed, ...] = (), **settings: Any) -> list[Row]:
    settings = {"families": ["arithmetic"], "questions": 8} | settings
    return collected(write(Settings(**settings), seeds, desk_of(Scripted(script), method="problems")))


def test_a_right_trace_is_kept_as_it_was_written() -> None:
    rows = solved(lambda prompt, ask: right(prompt))
    assert len(rows) == 8 and not any(row.error for row in rows)
    for row in rows:
        question, trace = row.text.split("\n\n", 1)
        assert trace.startswith("First this") and row.more["answer"] == value(question)
        assert split_of(question) == "train", "no question that an evaluation could ask"
        assert row.method == "problems/arithmetic" and row.form == "problem" and row.seeds == ()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("Answer: 10000", "answer: wrong: 10000, not "),
        ("It is 10000.", "answer: no answer found"),
        ("Answer: many", "answer: 'many' is no number"),
        ("Answer: 1 or 2", "answer: '1 or 2' is no number"),
        (said("Answer: 3", finish="length"), "cut: "),
        (Reply(error="HTTP 400"), "no answer: HTTP 400"),
        ("", "empty: "),
    ],
)
def test_what_is_not_right_is_rejected_with_its_reason(text: str | Reply, why: str) -> None:
    rows = solved(lambda prompt, ask: text)
    assert all(row.error.startswith(why) for row in rows)


@pytest.mark.parametrize("wrapped", ["Answer: {}", "answer = {}.", "**Answer:** ${}$", "x\nANSWER: **{}**\n\n"])
def test_the_answers_line_is_read_however_it_is_set(wrapped: str) -> None:
    assert not any(row.error for row in solved(lambda prompt, ask: wrapped.format(value(prompt))))


def test_thoughts_stay_apart_from_the_trace() -> None:
    rows = solved(lambda prompt, ask: said(right(prompt), thoughts="Let me see: Answer: 5"))
    assert all(row.thoughts == "Let me see: Answer: 5" and "Let me see" not in row.text for row in rows)


def test_a_right_and_a_wrong_attempt_are_a_pair_and_the_judge_is_measured_on_it() -> None:
    def script(prompt: str, ask: Ask) -> str:
        if "five marks" in prompt:
            five = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
            return json.dumps({name: 3 for name in five})
        if "two answers" in prompt:
            first = prompt.split("Answer A:")[1].split("Answer B:")[0]
            return json.dumps({"better": "B" if "99999" in first else "A"})
        return right(prompt) if ask.sample else "Answer: 99999"

    rows = solved(script, reward={"by": "judge"}, questions=20)
    assert all(row.form == "preference" and not row.error for row in rows)
    pair = rows[0].more["pair"]
    assert pair["by"] == "truth" and "99999" in pair["rejected"] and pair["judged"] == "chosen"
    found = agreement(rows)
    assert found.value == 1 and found.n == 20 and found.low is not None and found.low > 0.8


def own(answers: list[str], **settings: Any) -> list[Row]:
    def script(prompt: str, ask: Ask) -> str:
        return "How many are 40 and 2?" if "Write one problem" in prompt else answers[ask.sample]

    seeds = (Seed("doc", "Forty boats and two more.", "MIT"),)
    rows = solved(script, seeds, own=True, questions=1, **settings)
    return [row for row in rows if row.method == "problems/own"]


def test_a_problem_of_the_teachers_own_is_kept_where_most_attempts_agree() -> None:
    (row,) = own(["Answer: 42", "Answer: 41", "Answer: 42.0", "I do not know.", "Answer: 42"])
    assert not row.error and row.more["votes"] == 3 and row.more["answer"] == "42"
    assert row.text.startswith("How many are 40 and 2?") and row.seeds == ("doc",) and row.licence == "MIT"
    assert row.more["pair"]["by"] == "truth" and row.more["pair"]["rejected"] == "Answer: 41"


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (["42", "41", "42", "40", "39"], "majority: 2 of 5 attempts agree, wanted are 60%"),
        (["42", "42", "41", "41", "x"], "majority: 2 of 5 attempts agree"),
    ],
)
def test_without_a_majority_it_is_rejected(answers: list[str], why: str) -> None:
    (row,) = own([f"Answer: {each}" for each in answers])
    assert row.error.startswith(why)


def test_the_same_seed_asks_the_same_questions_and_each_family_its_own() -> None:
    texts = [[row.text for row in solved(lambda prompt, ask: "Answer: 1", families=["programs"])] for _ in range(2)]
    assert texts[0] == texts[1] and len(set(texts[0])) == 8


def test_what_a_family_cannot_give_is_told_before_any_question_is_asked() -> None:
    asked: list[str] = []

    def script(prompt: str, ask: Ask) -> str:
        asked.append(prompt)
        return "Answer: 1"

    easy = {"arithmetic": {"digits": 1}}
    with pytest.raises(UserError, match="generator arithmetic: n = 1,000, but there are only"):
        solved(script, families=["programs", "arithmetic"], questions=1000, difficulty=easy)
    assert not asked

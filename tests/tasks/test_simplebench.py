from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orionlm.errors import UserError
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.prompts import messages
from orionlm.tasks.score import grade_text
from orionlm.tasks.simplebench import SYSTEM, note, scores, wilson
from orionlm.tasks.suite import load_suite

ANSWERS = "ABCDEFABCD"
SHARED = Path(os.environ.get("ORION_SHARED", Path(__file__).parents[3] / "shared"))
PUBLIC = SHARED / "data" / "simplebench_public.json"


def suite(folder: Path, rows: list[dict] | None = None):
    path = folder / "questions.json"
    rows = rows or [
        {"question_id": n, "prompt": f"Question {n}?\nA. one\nB. two\n", "answer": answer}
        for n, answer in enumerate(ANSWERS, start=1)
    ]
    path.write_text(json.dumps({"eval_data": rows}))
    return load_suite("simplebench", {"questions": path}).tasks[0]


def test_it_is_asked_as_published(tmp_path):
    task = suite(tmp_path)
    assert messages(task, task.items[0]) == [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": "Question 1?\nA. one\nB. two\n"},
    ]
    sampling = task.sampling
    assert (sampling.temperature, sampling.top_p, sampling.max_tokens, task.samples) == (0.7, 0.95, 2048, 5)
    assert task.chance == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Thinking.\nFinal Answer: A", Outcome.RIGHT), ("final answer:\n\n  a", Outcome.RIGHT), ("FINAL ANSWER:A.",
        Outcome.RIGHT),
        ("Final Answer: A. No. Final Answer: B", Outcome.RIGHT), ("Final Answer: B. No. Final Answer: A",
        Outcome.WRONG),
        ("Final Answer: **A**", Outcome.UNPARSABLE), ("Final Answer: G", Outcome.UNPARSABLE), ("The answer is A",
        Outcome.UNPARSABLE),
        ("", Outcome.UNPARSABLE), ("Final Answer:" + " " * 10**6, Outcome.UNPARSABLE),
    ],
)  # fmt: skip
def test_the_first_final_answer_counts_and_all_else_is_unparsable(tmp_path, text, outcome):
    task = suite(tmp_path)
    assert grade_text(task, task.items[0], text).outcome is outcome


def test_a_planted_pattern_gives_the_score_computed_by_hand(tmp_path):
    task = suite(tmp_path)
    #          question: 1  2  3  4  5  6  7  8  9  10      right of five; the rest is wrong or, every second, no answer
    right_of_five = dict(zip(range(1, 11), [5, 4, 3, 2, 1, 0, 3, 5, 2, 3], strict=True))
    grades = {}
    for number, item in enumerate(task.items, start=1):
        wrong = "F" if item.answer != "F" else "A"
        said = [f"Final Answer: {item.answer}"] * right_of_five[number]
        said += [f"Final Answer: {wrong}" if n % 2 else "I do not know." for n in range(5 - right_of_five[number])]
        grades[item.id] = [grade_text(task, item, text) for text in said]
    found = scores(grades)
    # 28 of 50 right; questions 1, 2, 3, 7, 8 and 10 right in at least 3 of 5. Run k is right where right_of_five ≥ k.
    assert found.average == pytest.approx(28 / 50)
    assert found.majority == pytest.approx(6 / 10)
    assert found.runs == pytest.approx((0.9, 0.8, 0.6, 0.3, 0.2))
    assert (
        found.questions == 10 and found.unparsable == 13
    )  # of 1, 2, 3, 4, 5, 2, 3, 2 misses every second, first of them
    assert "cannot rank" in found.note


def test_a_parse_failure_is_wrong_and_never_a_smaller_denominator():
    right, no_answer = Grade(Outcome.RIGHT, "A"), Grade(Outcome.UNPARSABLE)
    found = scores({"1": [right] * 5, "2": [no_answer] * 5, "3": [Grade(Outcome.TOO_LONG)] * 5})
    assert (found.average, found.majority, found.unparsable) == (pytest.approx(1 / 3), pytest.approx(1 / 3), 5)


@pytest.mark.parametrize("runs", [0, 4, 6])
def test_other_than_five_runs_have_no_majority_of_five(runs):
    with pytest.raises(UserError, match=f"question 1 has {runs} answers; 5 are needed"):
        scores({"1": [Grade(Outcome.RIGHT)] * runs})


def test_what_was_not_graded_is_not_scored():
    with pytest.raises(UserError, match="was not graded in every run"):
        scores({"1": [Grade(Outcome.RIGHT)] * 4 + [Grade(Outcome.GRADER_ERROR)]})
    with pytest.raises(UserError, match="no questions"):
        scores({})


def test_ten_questions_are_a_smoke_test_with_the_interval_that_says_why(tmp_path):
    assert wilson(4, 10) == (pytest.approx(0.168, abs=5e-4), pytest.approx(0.687, abs=5e-4))
    assert wilson(0, 10)[0] == 0 and wilson(10, 10)[1] == pytest.approx(1)
    assert suite(tmp_path).note == (
        "smoke test: 10 questions cannot rank models (4 of 10 right gives an interval of 17–69%)"
    )
    assert note(204) == ""


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"question_id": 1, "prompt": "p", "answer": "G"}, "answer: 'G'; give one of the letters A to F"),
        ({"question_id": 1, "prompt": " ", "answer": "A"}, "prompt: empty"),
        ({"question_id": 1, "prompt": "p"}, "no field 'answer'"),
    ],
)
def test_a_row_of_another_shape_is_one_line(tmp_path, row, problem):
    with pytest.raises(UserError, match=problem):
        suite(tmp_path, [row])


def test_the_public_questions_are_read():
    if not PUBLIC.is_file():
        pytest.skip("the published file is not here")
    (task,) = load_suite("simplebench", {"questions": PUBLIC}).tasks
    assert len(task.items) == 10 and task.note.startswith("smoke test")


def test_the_file_of_questions_is_asked_for_by_name(tmp_path):
    with pytest.raises(UserError, match="needs a file for 'questions': give questions=FILE"):
        load_suite("simplebench")
    suite(tmp_path)
    given = dict.fromkeys(("questions", "question"), tmp_path / "questions.json")
    with pytest.raises(UserError, match="takes no file called 'question'; did you mean questions"):
        load_suite("simplebench", given)

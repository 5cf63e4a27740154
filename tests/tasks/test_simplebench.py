from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from orionlm.errors import UserError
from orionlm.tasks.outcome import Outcome
from orionlm.tasks.prompts import messages
from orionlm.tasks.score import grade_text
from orionlm.tasks.simplebench import SYSTEM, note, wilson
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

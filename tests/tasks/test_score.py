from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orionlm.tasks.outcome import Outcome
from orionlm.tasks.score import best, grade_choice, grade_code, grade_text
from orionlm.tasks.task import Extraction, Item, Task

CHOICES = ("no", "certainly", "ümlä")
ITEM = Item("1", "q", CHOICES, 1)
TASK = Task("t", "choice", (ITEM,))


def test_each_normalisation_can_choose_otherwise():
    logs = [-3.0, -9.0, -5.5]
    assert best(CHOICES, logs, "none") == 0
    assert best(CHOICES, logs, "characters") == 1  # −1.5, −1.0, −1.375
    assert best(CHOICES, [-3.0, -9.0, -3.9], "characters") == 2  # −0.975 of 4 characters
    assert best(CHOICES, [-3.0, -9.0, -3.9], "bytes") == 2  # −0.65 of 6 bytes
    assert best(CHOICES, [-3.0, -9.0, -6.3], "bytes") == 1  # −1.0 and −1.05
    assert best(CHOICES, logs, "tokens", [1, 2, 3]) == 2
    assert best(CHOICES, [*logs, -1.0, -9.5, -4.0], "unconditional") == 1  # −2, +0.5, −1.5


def test_of_equals_the_first_is_chosen_and_impossible_ones_never_before_others():
    assert best(CHOICES, [-1.0, -1.0, -1.0], "none") == 0
    assert best(CHOICES, [-math.inf, -1.0, -math.inf], "none") == 1


def test_a_choice_is_graded_by_the_tasks_normalisation_or_the_one_asked_for():
    assert grade_choice(TASK, ITEM, [-3.0, -9.0, -5.5]).outcome is Outcome.WRONG
    grade = grade_choice(replace(TASK, normalisation="characters"), ITEM, [-3.0, -9.0, -5.5])
    assert (grade.outcome, grade.answer) == (Outcome.RIGHT, "B")
    assert grade_choice(TASK, ITEM, [-3.0, -9.0, -5.5], normalisation="characters").outcome is Outcome.RIGHT


def test_letters_are_normalised_by_their_own_length_not_by_what_they_stand_for():
    task = replace(TASK, letters=True, normalisation="characters")
    assert grade_choice(task, ITEM, [-3.0, -9.0, -5.5]).answer == "A"


def test_a_likelihood_that_is_not_a_number_is_the_graders_error_not_a_zero():
    assert grade_choice(TASK, ITEM, [math.nan, -1.0, -2.0]).outcome is Outcome.GRADER_ERROR


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("It is 42.", Outcome.RIGHT), ("42.0", Outcome.RIGHT), ("4.2e1", Outcome.RIGHT), ("41", Outcome.WRONG),
        ("no idea", Outcome.UNPARSABLE),
        ("", Outcome.UNPARSABLE), ("NaN", Outcome.UNPARSABLE), ("99**98**97", Outcome.WRONG), ("1e999999",
        Outcome.UNPARSABLE),
    ],
)  # fmt: skip
def test_unparsable_is_apart_from_wrong(text, outcome):
    task = Task("t", "generate", (), extraction=Extraction(form="number"))
    assert grade_text(task, Item("1", "q", answer=42), text).outcome is outcome


def test_any_of_several_right_answers_is_right_without_regard_to_case_and_space():
    task = Task("t", "generate", ())
    item = Item("1", "q", answer=("New York", "NYC"))
    assert [grade_text(task, item, text).outcome for text in (" new\nyork ", "nyc", "York")] == [
        Outcome.RIGHT, Outcome.RIGHT, Outcome.WRONG,
    ]  # fmt: skip


def test_an_exact_answer_must_be_equal_to_the_last_space():
    task = Task("t", "generate", (), extraction=Extraction(form="exact"))
    item = Item("1", "q", answer="42")
    assert [grade_text(task, item, text).outcome for text in ("42", " 42", "")] == [
        Outcome.RIGHT, Outcome.WRONG, Outcome.UNPARSABLE,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("(10 - 4) * 4", Outcome.RIGHT), ("So:\n4 × (10 − 4) = 24", Outcome.RIGHT), ("4 * 6", Outcome.WRONG), ("24",
        Outcome.WRONG),
        ("10 + 4 + 4", Outcome.WRONG), ("99**98**97", Outcome.UNPARSABLE), ("__import__('os').system('true')",
        Outcome.UNPARSABLE),
        ("10 - 4 - 4 + 22 / 0", Outcome.UNPARSABLE),
    ],
)  # fmt: skip
def test_an_expression_must_reach_its_target_with_the_numbers_given(text, outcome):
    task = Task("t", "generate", (), extraction=Extraction(form="expression"))
    item = Item("1", "q", answer={"numbers": [4, 4, 10], "target": 24})
    assert grade_text(task, item, text).outcome is outcome


def test_a_choice_by_letter_is_right_wrong_or_unparsable():
    task = Task("t", "generate", (ITEM,), extraction=Extraction(form="letter"))
    found = [grade_text(task, ITEM, text) for text in ("The answer is B", "Answer: C", "Answer: Z", "hm")]
    assert [grade.outcome for grade in found] == [Outcome.RIGHT, Outcome.WRONG, Outcome.WRONG, Outcome.UNPARSABLE]


def test_a_pattern_that_runs_out_of_time_is_counted_as_that_and_not_right():
    task = Task("t", "generate", (), extraction=Extraction(r"(a+)+$"))
    grade = grade_text(task, Item("1", "q", answer="a"), "a" * 60_000 + "!")
    assert grade.outcome is Outcome.TIMED_OUT and "took longer than 1 s" in grade.detail


CODE = Item(
    "c", "def twice(x):\n", answer={
        "prompt": "def twice(x):\n", "entry_point": "twice",
        "test": "def check(candidate):\n    assert candidate(2) == 4\n",
    },
)  # fmt: skip


def test_programs_are_graded_by_their_tests_and_an_empty_text_is_no_program():
    from orionlm.errors import UserError

    said = [
        "    return 2 * x\n",
        "   ",
        "    return x\n",
        "```python\ndef twice(x):\n    return x + x\n```",
        "    sys.exit(0)",
    ]
    try:
        found = [grade_code(CODE, text).outcome for text in said]
    except UserError as error:
        pytest.skip(f"no sandbox here: {error}")
    assert found == [Outcome.RIGHT, Outcome.UNPARSABLE, Outcome.WRONG, Outcome.RIGHT, Outcome.WRONG]

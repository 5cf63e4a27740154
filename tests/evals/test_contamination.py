from __future__ import annotations

import random

import pytest

from evals.simulated import Simulated, suite
from orionlm.data.decontamination.overlap import join
from orionlm.evals.contamination import clean
from orionlm.evals.run import evaluate
from orionlm.tasks.task import Item, Task

VOCABULARY = [f"word{n}" for n in range(500)]


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


def asked(*questions: str):
    items = tuple(Item(str(n), text, ("yes", "no"), 0) for n, text in enumerate(questions))
    return suite(Task("task", "choice", items, chance=0.5))


def test_each_score_has_that_of_the_clean_subset_beside_it(tmp_path):
    questions = [words(n, 20) for n in range(100)]
    one = asked(*questions)
    results = evaluate(one, Simulated(skill=0.5), tmp_path)
    right = {row.item for row in results.rows if row.outcome == "right"}
    leaked = sorted(right, key=int)[:30]
    (line,) = clean(results, join(one, [questions[int(item)] for item in leaked]))
    assert (line["dirty"], line["items"]) == (30, 100) and set(line["dirty_items"]) == set(leaked)
    assert line["clean"]["n"] == 70
    assert line["clean"]["value"] == pytest.approx((len(right) - 30) / 70)
    assert line["clean"]["low"] < line["clean"]["value"] < line["clean"]["high"]


def test_a_task_that_is_wholly_in_the_corpus_has_no_clean_score(tmp_path):
    one = asked(words(1, 20))
    (line,) = clean(evaluate(one, Simulated(), tmp_path), join(one, [words(1, 20)]))
    assert line["clean"] is None and line["dirty"] == 1


def test_questions_too_short_to_tell_are_counted(tmp_path):
    one = asked("why", words(1, 20))
    (line,) = clean(evaluate(one, Simulated(), tmp_path), join(one, ["why"]))
    assert (line["dirty"], line["too_short"], line["items"]) == (0, 1, 2)

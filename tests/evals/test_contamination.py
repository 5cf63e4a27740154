from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.simulated import Simulated, suite
from orionlm.evals import contamination
from orionlm.evals.contamination import COMMON, WORDS, clean, join, join_corpus
from orionlm.evals.run import evaluate
from orionlm.tasks.task import Item, Task

VOCABULARY = [f"word{n}" for n in range(500)]


def words(seed: int, count: int) -> str:
    rng = random.Random(seed)
    return " ".join(rng.choice(VOCABULARY) for _ in range(count))


def asked(*questions: str, kind: str = "choice"):
    items = tuple(Item(str(n), text, ("yes", "no") if kind == "choice" else (), 0) for n, text in enumerate(questions))
    if kind == "code":
        answer = {"entry_point": "f", "tests": [{"args": [1], "expected": 2}]}
        items = tuple(Item(item.id, item.question, answer=answer) for item in items)
    return suite(Task("task", kind, items, chance=0.5))


def dirty(found):
    return {item for (_, item), overlap in found.items() if overlap.dirty}


def test_thirteen_words_in_a_row_are_found_whatever_their_case_and_punctuation():
    question = words(1, 40)
    copied = " ".join(question.split()[10 : 10 + WORDS]).upper().replace(" ", ", ")
    assert dirty(join(asked(question, words(2, 40)), [f"before {copied}! after"])) == {"0"}


def test_twelve_words_in_a_row_are_not_enough():
    question = words(1, 40)
    copied = " ".join(question.split()[10 : 10 + WORDS - 1])
    assert not dirty(join(asked(question), [f"before {copied} after"]))


def test_a_short_question_must_stand_there_as_a_whole():
    found = join(asked("how many legs has a spider", "what is it", "how many legs has a beetle"), [
        "Riddle: how many legs has a spider? Eight. What is it?"
    ])  # fmt: skip
    assert dirty(found) == {"0"}
    assert found["task", "1"].grams == 0, "three words cannot be told from chance"


def test_short_code_is_compared_with_its_signs():
    line = "def f(x): return x + 1"
    assert dirty(join(asked(line, kind="code"), ["a = 1\ndef f(x):\n    return x + 1\n"])) == {"0"}
    assert not dirty(join(asked(line, kind="code"), ["def f(x):\n    return x - 1\n"]))


def test_the_right_answer_counts_and_a_wrong_one_does_not():
    right, wrong = words(3, 20), words(4, 20)
    one = suite(Task("task", "choice", (Item("0", words(5, 20), (right, wrong), 0),)))
    assert dirty(join(one, [right])) == {"0"} and not dirty(join(one, [wrong]))


def test_what_stands_everywhere_is_a_common_phrase():
    licence = words(6, 30)
    assert dirty(join(asked(licence), [licence] * COMMON)) == {"0"}
    assert not dirty(join(asked(licence), [f"{licence} {n}" for n in range(COMMON + 1)]))


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


@pytest.mark.slow
def test_a_corpus_on_disk_gives_the_same_by_one_process_and_by_two(tmp_path, monkeypatch):
    monkeypatch.setattr(contamination, "A_PROCESS", 1)
    one = asked(*[words(n, 40) for n in range(20)])
    texts = [words(n, 40) if n < 3 else words(100 + n, 40) for n in range(60)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "train.parquet", row_group_size=10)
    expected = join(one, texts)
    assert dirty(expected) == {"0", "1", "2"}
    assert join_corpus(one, tmp_path / "train.parquet", 1) == expected
    assert join_corpus(one, tmp_path / "train.parquet", 2) == expected


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60), st.integers(1, 20))
def test_equal_sequences_have_equal_numbers_and_others_have_not(letters, n):
    numbers = np.array([3, 5**20, 2**63 + 7, 12345], np.uint64)[letters]
    found = contamination._Sequences(numbers).of(n).tolist()
    assert len(found) == max(0, len(letters) - n + 1)
    for i in range(len(found)):
        for j in range(len(found)):
            assert (found[i] == found[j]) == (letters[i : i + n] == letters[j : j + n])

from __future__ import annotations

from typing import Any

from orionlm.synth.desk import PURPOSES, Desk, Reply, Seed
from orionlm.synth.methods import solved
from orionlm.tasks.generators.generate import split_of
from synth.scripted_teacher import collected

SEEDS = [Seed(f"s{n}", f"Ada has {n} cups. Ada buys 3. How many cups are left? {n + 3}\n", "MIT") for n in range(40)]


class Base:
    """A base model: goes on from a text."""

    name, purposes = "base", PURPOSES

    def __init__(self, said: Any) -> None:
        self.said, self.asked = said, []

    async def reply(self, ask: Any, seed: int) -> Reply:
        self.asked.append(ask)
        return Reply(self.said(len(self.asked)), finish="stop", teacher="base", prompt=ask.text, tokens=9)


def rows_of(said: Any) -> list[Any]:
    teacher = Base(said)
    found = collected(solved.write(solved.Settings(), SEEDS, Desk({"base": teacher}, 1, "solved")))
    assert {ask.prompt for ask in teacher.asked} == {"Ada"} and len({ask.sample for ask in teacher.asked}) > 20
    return found


def test_right_answers_to_new_questions_are_kept_and_wrong_ones_are_not():
    def said(number: int) -> str:
        return f" has {number} eggs. Ada sells 1. How many eggs are left? {number - 1 + number % 2}"

    rows = rows_of(said)
    assert len(rows) == 40
    for row in rows:
        held = split_of(row.more["question"]) != "train"
        right = row.text.split()[-1] == str(row.more["answer"])
        assert row.error == ("answer: a question that is held out" if held else "" if right else "answer: wrong")
    assert {row.error for row in rows} == {"", "answer: wrong", "answer: a question that is held out"}
    kept = next(row for row in rows if not row.error)
    assert kept.text.endswith("\n") and kept.method == "solved/stories" and kept.licence == "MIT" and kept.depth == 1


def test_seeds_and_what_is_no_question_do_not_count_as_new():
    again = rows_of(lambda n: f" has {n - 1} cups. Ada buys 3. How many cups are left? {n + 2}")
    assert {row.error for row in again} <= {
        "answer: a seed's question", "copy: the answer is its seed with a few words around it",
        "copy: the answer stands in its seed, word for word",
    }  # fmt: skip
    assert {row.error for row in rows_of(lambda n: " sings")} == {"answer: no question of the family"}
    assert {row.error for row in rows_of(lambda n: "")} == {"empty: the answer is empty"}

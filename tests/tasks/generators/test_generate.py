from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.tasks.extract import number
from orionlm.tasks.generators import arithmetic, programs
from orionlm.tasks.generators.expression import evaluate
from orionlm.tasks.generators.generate import SHARES, families, generate, split_of
from orionlm.tasks.score import grade_text
from orionlm.tasks.task import Extraction, Task

OURS = ("arithmetic", "programs")


@pytest.mark.parametrize("name", OURS)
def test_items_are_distinct_and_the_same_for_the_same_seed(name):
    items = generate(name, "train", 300, seed=4)
    assert items == generate(name, "train", 300, seed=4)
    assert len({item.question for item in items}) == len({item.id for item in items}) == 300
    assert items != generate(name, "train", 300, seed=5)
    assert items[:50] == generate(name, "train", 50, seed=4)


@pytest.mark.parametrize("name", OURS)
def test_no_seed_and_no_difficulty_brings_a_question_into_two_splits(name):
    difficulties = [{"digits": 1}, {"digits": 2}]
    drawn = {
        split: {
            item.question
            for seed in (0, 1, 42, 43)
            for difficulty in difficulties
            for item in generate(name, split, 15, seed, difficulty)
        }
        for split in SHARES
    }
    assert (
        not drawn["train"] & drawn["test"] | drawn["train"] & drawn["validation"] | drawn["test"] & drawn["validation"]
    )


def test_the_splits_share_out_every_question_there_is():
    every: list[str] = []
    for split in SHARES:
        with pytest.raises(UserError) as error:
            generate("arithmetic", split, 1000, difficulty={"digits": 1})
        count = int(str(error.value).split("only ")[1].split()[0])
        every += [item.question for item in generate("arithmetic", split, count, difficulty={"digits": 1})]
        assert abs(count - 200 * SHARES[split]) < 25
    assert sorted(every) == sorted(f"{a} {sign} {b} =" for a in range(10) for b in range(10) for sign in "+-")


def test_a_split_takes_no_whole_combination_of_digits_away():
    held_out = Counter((a % 10, b % 10) for a in range(100) for b in range(100) if split_of(f"{a} + {b} =") == "test")
    assert len(held_out) == 100 and max(held_out.values()) < 30


@pytest.mark.parametrize("split", SHARES)
def test_more_than_there_are_is_one_line_and_not_an_endless_search(split):
    with pytest.raises(UserError, match=r"n = 1,000, but there are only \d+ distinct \w+ questions") as error:
        generate("arithmetic", split, 1000, difficulty={"digits": 1, "operators": "+"})
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(2, 8), st.sampled_from(["+", "-", "*", "+-", "+-*"]))
def test_sums_have_the_value_that_reading_them_gives(seed, digits, operands, operators):
    difficulty = arithmetic.Difficulty(digits=digits, operands=operands, operators=operators)
    question = arithmetic.begin(difficulty, Random(seed))()
    value, used = evaluate(question.text.removesuffix("="))
    assert value == question.answer and len(used) == operands
    assert all(len(str(n)) <= digits for n in used)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 12), st.integers(1, 4), st.integers(1, 3), st.booleans(), st.booleans())
def test_programs_print_what_is_said(seed, steps, variables, digits, branches, loops):
    difficulty = programs.Difficulty(steps=steps, variables=variables, digits=digits, branches=branches, loops=loops)
    question = programs.begin(difficulty, Random(seed))()
    printed: list[int] = []
    exec(question.text, {"print": printed.append})  # our own generator's program, not a model's
    assert printed == [question.answer] and abs(question.answer) < programs.MOST
    assert ("if " in question.text) <= branches and ("for " in question.text) <= loops


def test_harder_programs_are_longer():
    easy, hard = (generate("programs", "train", 50, difficulty={"steps": steps}) for steps in (1, 10))
    assert max(item.question.count("\n") for item in easy) < min(item.question.count("\n") for item in hard)


@pytest.mark.parametrize("name", OURS)
def test_choices_are_distinct_numbers_with_the_right_one_anywhere(name):
    plain = {item.id: item.answer for item in generate(name, "test", 200)}
    items = generate(name, "test", 200, choices=4)
    for item in items:
        assert len(set(item.choices)) == 4 and item.choices[item.answer] == str(plain[item.id])
        assert all(number(choice) is not None for choice in item.choices)
    assert all(count > 25 for count in Counter(item.answer for item in items).values())
    smallest = sum(min(map(int, item.choices)) == int(item.choices[item.answer]) for item in items)
    assert 20 < smallest < 90  # about a quarter: the size alone does not tell


@pytest.mark.parametrize(
    ("name", "more", "problem"),
    [
        ("sums", {}, "no such family; known: arithmetic"),
        ("arithmetic", {"n": 0}, "n = 0: give between"),
        ("arithmetic", {"n": 10**9}, "n = 1000000000: give between"),
        ("arithmetic", {"split": "tests"}, "split 'tests': did you mean test"),
        ("arithmetic", {"difficulty": {"digit": 3}}, "digit: .*did you mean digits"),
        ("arithmetic", {"difficulty": {"digits": 99}}, "digits: .*less than or equal to 12"),
        ("arithmetic", {"difficulty": {"operators": "**/"}}, "operators: .*one or more"),
        ("arithmetic", {"choices": 1}, "choices = 1: give between 2 and 8"),
        ("reasoning_gym.n_queens", {}, "reasoning_gym.n_queens: its answers are not graded here"),
        ("reasoning_gym.puzzle24", {}, "may run what a model wrote"),
    ],
)
def test_what_cannot_be_generated_is_one_line(name, more, problem):
    with pytest.raises(UserError, match=problem) as error:
        generate(**({"name": name, "split": "train", "n": 5} | more))
    assert "\n" not in str(error.value)


def test_without_its_extra_reasoning_gym_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "reasoning_gym", None)
    with pytest.raises(UserError, match=r"needs the extra tasks: pip install 'orion-lm\[tasks\]'"):
        generate("reasoning_gym.gcd", "train", 5)


@dataclass
class Planted:
    """Two hundred questions behind any seed and index, as its items are behind Random(seed + i)."""

    seed: int

    def __getitem__(self, index: int) -> dict:
        n = Random(self.seed + index).randrange(200)
        return {"question": f"gcd of {n} and {n}", "answer": str(n), "metadata": {}}


def test_reasoning_gyms_repeated_questions_are_dropped_and_its_seeds_kept_apart(monkeypatch):
    module = type(sys)("reasoning_gym")
    seeds = []
    module.create_dataset = lambda name, seed, size: seeds.append(seed) or Planted(seed)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", module)
    items = generate("reasoning_gym.gcd", "train", 100, seed=42)
    assert len({item.question for item in items}) == 100
    generate("reasoning_gym.gcd", "train", 100, seed=43)
    assert abs(seeds[0] - seeds[1]) > 10**6
    with pytest.raises(UserError, match="only 1[4-7][0-9] distinct train questions"):
        generate("reasoning_gym.gcd", "train", 200)


@pytest.mark.parametrize("name", [name for name in families() if name not in OURS])
def test_reasoning_gyms_own_answers_are_right_and_others_wrong_by_our_scorers(name):
    pytest.importorskip("reasoning_gym")
    items = generate(name, "train", 10, seed=3)
    assert items == generate(name, "train", 10, seed=3)
    form = items[0].extra["form"]
    task = Task("t", "generate", tuple(items), extraction=Extraction(form=form))
    for item in items:
        said = str(item.extra.get("shown", item.answer))
        assert grade_text(task, item, said).outcome == "right"
        wrong = said + " + 1" if form == "expression" else said + "7"
        assert grade_text(task, item, wrong).outcome == "wrong"


def test_reasoning_gyms_settings_are_checked_by_it():
    pytest.importorskip("reasoning_gym")
    items = generate("reasoning_gym.chain_sum", "train", 20, difficulty={"min_terms": 3, "max_terms": 3})
    assert all(item.question.count(" + ") + item.question.count(" - ") == 2 for item in items)
    for wrong in ({"terms": 3}, {"min_terms": 9, "max_terms": 2}, {"min_terms": "x"}):
        with pytest.raises(UserError, match="reasoning_gym.chain_sum: difficulty: ") as error:
            generate("reasoning_gym.chain_sum", "train", 5, difficulty=wrong)
        assert "\n" not in str(error.value)

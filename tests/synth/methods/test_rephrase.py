from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from orionlm.synth.desk import Ask, Reply, Seed
from orionlm.synth.methods import template
from orionlm.synth.methods.rephrase import VARIANTS, Settings, Variant, finished, pairs, without_markdown
from orionlm.synth.passages import passage
from synth.methods.writing import written

TEXT = "\n\n".join(f"Paragraph {n} tells of mill {n}, which {'grinds rye ' * 8}by the river." for n in range(40))
SEED = Seed("doc", TEXT, "MIT")


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_has_a_prompt_that_shows_the_passage_and_names_its_prefix(name: str) -> None:
    prefix = VARIANTS[name].prefix
    prompt = template(f"rephrase/{name}.txt").render(passage="THE {{ passage }} ITSELF", prefix=prefix)
    assert prompt.rstrip().endswith("THE {{ passage }} ITSELF")  # what a seed says is never taken for a template
    assert prefix in prompt and "{{ prefix" not in prompt


def test_each_seed_is_rephrased_in_each_variant_in_order() -> None:
    def says(ask: Ask) -> str:
        assert isinstance(ask.prompt, list)
        return "A mill told in other words." if "small child" in ask.prompt[0]["content"] else "- a fact\n- another"

    rows, teacher = written("rephrase", [SEED, Seed("two", "short")], says, variants=["easy", "knowledge_list"])
    assert [(row.seeds[0], row.method) for row in rows] == [
        ("doc", "rephrase/easy"),
        ("doc", "rephrase/knowledge_list"),
        ("two", "rephrase/easy"),
        ("two", "rephrase/knowledge_list"),
    ]
    assert [row.more["format"] for row in rows[:2]] == ["prose", "list"]
    assert not any(row.error for row in rows)
    assert rows[2].seed_text == "short" and rows[0].seed_text in TEXT and len(rows[0].seed_text) <= 2000
    assert len({ask.text for ask in teacher.asked}) == 4


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("Here is a paraphrased version:\nMills.", "Mills."),
        ("**Here is a paraphrased version:** Mills.", "Mills."),
        ("\n\n# Here is a Paraphrased Version\n\nMills.", "Mills."),
        ('Here is a paraphrased version:\n"Mills."', "Mills."),
        ('Here is a paraphrased version: "Mills" and "dams"', '"Mills" and "dams"'),
    ],
)
def test_the_prefix_is_checked_and_removed_and_so_are_quotation_marks_around_it_all(said: str, text: str) -> None:
    assert finished(said, VARIANTS["wikipedia"]) == (text, "")


def test_an_answer_without_its_prefix_is_rejected() -> None:
    rows, _ = written("rephrase", [SEED], lambda ask: "Of course! Mills grind rye.", variants=["wikipedia"])
    assert rows[0].error == "form: it does not begin with 'Here is a paraphrased version:'"
    rows, _ = written("rephrase", [SEED], lambda ask: "Here is a paraphrased version:\n", variants=["wikipedia"])
    assert rows[0].error.startswith("empty")


def test_answers_beyond_the_token_bounds_are_rejected() -> None:
    for tokens, kept in ((49, False), (50, True), (510, True), (511, False)):
        rows, _ = written("rephrase", [SEED], lambda ask, n=tokens: Reply("new words", tokens=n), variants=["easy"])
        assert (rows[0].error == "") is kept, tokens


def test_a_refusal_keeps_its_own_reason() -> None:
    rows, _ = written("rephrase", [SEED], lambda ask: Reply(error="HTTP 400: no"), variants=["diverse_qa"])
    assert rows[0].error == "no answer: HTTP 400: no"


QA = "Here are the questions and answers based on the provided text:\n" + "\n".join(
    f"**Question {n}:** What does mill {n} grind?\n**Answer:** Rye, number {n}." for n in range(12)
)


def test_question_and_answer_pairs_follow_the_passage_they_are_about_or_stand_alone() -> None:
    rows, _ = written("rephrase", [SEED], lambda ask: QA, variants=["diverse_qa"])
    shown = rows[0].seed_text
    assert rows[0].text.startswith(shown + "\n\nQuestion: What does mill ") and rows[0].error == ""
    assert rows[0].text.count("\nAnswer: Rye, number ") == len(shown) // 600
    rows, _ = written("rephrase", [SEED], lambda ask: QA, variants=["diverse_qa"], append=False)
    assert rows[0].text.startswith("Question: What") and shown not in rows[0].text


def test_pairs_are_at_most_eight_in_an_order_of_chance_and_never_torn_apart() -> None:
    body, fault = finished(QA, VARIANTS["diverse_qa"])
    assert fault == ""
    text, fault = pairs(body, 100_000, np.random.default_rng(1))
    found = [pair.split("\n") for pair in text.split("\n\n")]
    assert len(found) == 8 and fault == ""
    numbers = [question.split("mill ")[1].split(" ")[0] for question, _ in found]
    assert [answer for _, answer in found] == [f"Answer: Rye, number {n}." for n in numbers]
    assert numbers != sorted(numbers) and len(set(numbers)) == 8
    assert pairs("Nothing asked here.", 5000, np.random.default_rng(1)) == ("", "no pair of question and answer in it")
    rows, _ = written("rephrase", [SEED], lambda ask: QA.split("\n")[0] + "\nMills.", variants=["diverse_qa"])
    assert rows[0].error.startswith("empty") or rows[0].error == "form: no pair of question and answer in it"


def test_markdown_goes_and_what_only_looks_like_it_stays() -> None:
    text = "## Mills\n\n**Rye** is *ground* at [the mill](http://x.org/a).\n\n"
    text += "> Quoted.\n\n---\n```py\n# 2 *3* 4\n```\n- one\n- two"
    assert without_markdown(text) == "Mills\n\nRye is ground at the mill.\n\nQuoted.\n\n# 2 *3* 4\n- one\n- two"
    plain = "def __init__(self, *args): return a * b ** c  # 5 > 3, snake_case_name, f(*x, **y)"
    assert without_markdown(plain) == plain
    table = Variant("x", plain=False)
    assert finished("| a | b |\n|---|---|\n| **1** | 2 |", table)[0] == "| a | b |\n|---|---|\n| **1** | 2 |"


@given(st.text(alphabet="ab \n.", max_size=400), st.integers(50, 100), st.integers(0, 9))
def test_a_passage_is_a_part_of_its_text_and_no_longer_than_asked(text: str, most: int, seed: int) -> None:
    found = passage(text, most, np.random.default_rng(seed))
    assert found in text and len(found) <= most
    if len(text.strip()) <= most:
        assert found == text.strip()
    else:
        assert len(found) > 0


def test_unknown_variants_and_none_are_refused() -> None:
    with pytest.raises(ValidationError, match="did you mean wikipedia"):
        Settings(variants=("wikipaedia",))
    with pytest.raises(ValidationError):
        Settings(variants=())

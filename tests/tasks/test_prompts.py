from __future__ import annotations

from dataclasses import replace

from orionlm.tasks.prompts import context, fill, messages, pairs, places, split
from orionlm.tasks.task import Item, Task

ITEMS = tuple(Item(str(n), f"q{n}", ("yes", "no"), n % 2) for n in range(4))
TASK = Task("t", "choice", ITEMS, examples=ITEMS, prompt="Question: {question}\nAnswer:")


def test_without_examples_each_choice_follows_the_question_after_the_delimiter():
    assert pairs(TASK, ITEMS[0]) == [("Question: q0\nAnswer:", " yes"), ("Question: q0\nAnswer:", " no")]


def test_examples_are_laid_out_as_lm_eval_does():
    task = replace(TASK, shots=2, description="Yes or no?\n\n")
    assert context(task, ITEMS[2]) == (
        "Yes or no?\n\nQuestion: q0\nAnswer: yes\n\nQuestion: q1\nAnswer: no\n\nQuestion: q2\nAnswer:"
    )


def test_an_example_is_never_the_question_itself_nor_one_of_the_same_words():
    twin = Item("other", "q0", ("yes", "no"), 1)
    task = replace(TASK, shots=2, examples=(twin, *ITEMS))
    for item in ITEMS:
        assert context(task, item).count(f"Question: {item.question}\n") == 1
    assert context(task, ITEMS[0]).startswith("Question: q1\nAnswer: no\n\nQuestion: q2")


def test_white_space_at_the_end_of_a_context_belongs_to_the_continuation():
    assert split("a = \n  ", "b") == ("a =", " \n  b")
    assert split("", " b") == ("", " b")
    task = replace(TASK, prompt="{question}: ", delimiter="")
    assert pairs(task, ITEMS[1])[0] == ("q1:", " yes")


def test_letters_stand_in_the_prompt_with_their_options_and_are_what_is_scored():
    task = replace(TASK, letters=True, shots=1, prompt="{question}\n{options}\nAnswer:")
    assert pairs(task, ITEMS[1]) == [
        ("q0\nA. yes\nB. no\nAnswer: A\n\nq1\nA. yes\nB. no\nAnswer:", letter) for letter in (" A", " B")
    ]


def test_unconditional_choices_are_asked_for_without_their_question():
    asked = pairs(replace(TASK, normalisation="unconditional"), ITEMS[0])
    assert asked[2:] == [("", " yes"), ("", " no")] and len(asked) == 4


def test_a_text_is_scored_from_its_beginning():
    assert pairs(Task("t", "text", ()), Item("1", "Once. ")) == [("", "Once. ")]


def test_a_chat_is_messages_in_turn_and_its_choices_follow_the_template_without_delimiter():
    task = replace(TASK, chat=True, shots=1, system="Be brief.", prompt="{question}?")
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q0?"},
        {"role": "assistant", "content": "yes"},
        {"role": "user", "content": "q1?"},
    ]
    assert messages(task, ITEMS[1]) == said
    render = lambda turns: "".join(f"<{turn['role']}>{turn['content']}" for turn in turns) + "<assistant>"  # noqa: E731
    assert pairs(task, ITEMS[1], render)[1] == ("<system>Be brief.<user>q0?<assistant>yes<user>q1?<assistant>", "no")


def test_what_is_put_into_a_template_is_not_read_as_a_template():
    item = Item("1", "{answer} {question.__class__} {{x}}", extra={"passage": "{question}"})
    task = Task("t", "generate", (item,), prompt="{passage}: {question} {{set}} {} { x }")
    assert context(task, item) == "{question}: {answer} {question.__class__} {{x}} {set} {} { x }"
    assert places(task.prompt) == {"passage", "question"}
    assert fill("{a}{a}", {"a": 1}) == "11"


def test_an_example_shows_its_reasoning_where_it_has_one():
    shown = Item("a", "1 + 1", answer="2", extra={"shown": "One and one.\n#### 2"})
    task = Task("t", "generate", (), examples=(shown,), shots=1)
    assert context(task, Item("b", "2 + 2", answer="4")) == "1 + 1 One and one.\n#### 2\n\n2 + 2"

from __future__ import annotations

import json

import pytest

from orionlm.synth.desk import Ask, Seed
from orionlm.synth.methods.dialogue import STYLES, Settings, user_turn, write
from orionlm.synth.rows import Row
from orionlm.synth.structured import Unreadable
from synth.scripted_teacher import Scripted, collected, desk_of, said

SEED = Seed("doc", "A ferry crosses the lake twice a day and carries grain.", "MIT")


def talk(script=None, seeds: int = 1, **settings) -> tuple[list[Row], Scripted]:
    def good(prompt: str, ask: Ask) -> str:
        if "that person's first message" in prompt:
            return "How does a ferry work?"
        if "You are the user" in prompt:
            return f"Thank you so much! And what then, after {prompt.count('User:')}?"
        return f"Well, that is answer {len(ask.prompt)}."

    teacher = Scripted(script or good)
    given = [Seed(f"doc{n}", SEED.text, "MIT") for n in range(seeds)]
    return collected(write(Settings(**settings), given, desk_of(teacher, method="dialogue"))), teacher


def test_a_model_plays_both_sides_and_politeness_is_taken_out() -> None:
    (row,), teacher = talk(turns=3)
    assert not row.error and row.form == "dialogue" and row.depth == 1
    roles = [message["role"] for message in row.more["messages"]]
    assert roles == ["user", "assistant"] * 3
    assert row.text.startswith(
        "User: How does a ferry work?\n\nAssistant: Well, that is answer 1.\n\nUser: And what then"
    )
    assert "Thank you" not in row.text and len(row.more["keys"]) == 6
    answers = [ask for ask in teacher.asked if "message" not in ask.prompt[-1]["content"]]
    assert answers[-1].prompt == row.more["messages"][:-1], "the assistant sees the conversation as messages"
    assert row.tokens > 20


def test_the_style_is_chance_of_the_seed_and_shapes_what_the_user_is_told() -> None:
    rows, teacher = talk(seeds=30, turns=1)
    styles = {row.more["style"] for row in rows}
    assert styles == set(STYLES)
    again, _ = talk(seeds=30, turns=1)
    assert [row.more["style"] for row in rows] == [row.more["style"] for row in again]
    only, teacher = talk(turns=2, styles=["concise"])
    told = [ask.prompt[0]["content"] for ask in teacher.asked if "Write the" in ask.prompt[0]["content"]]
    assert told and all(STYLES["concise"] in prompt for prompt in told)


@pytest.mark.parametrize(
    ("user", "answer", "why"),
    [
        ("Thanks!", "fine", "user: turn 1: there is no message in it"),
        ("Hm?\nAssistant: So.", "fine", "user: turn 1: it speaks for more than the user"),
        ("Hm?", "So.\n\nUser: And?", "assistant: turn 1: it speaks for the user, too"),
        ("Hm?", "hm", "assistant: turn 1: it repeats an earlier message"),
        ("Hm?", "", "empty: "),
    ],
)
def test_turns_that_are_none_end_the_conversation(user: str, answer: str, why: str) -> None:
    (row,), _ = talk(lambda prompt, ask: user if "message alone" in ask.prompt[0]["content"] else answer)
    assert row.error.startswith(why)


def test_a_user_who_repeats_is_asked_again_and_then_rejected() -> None:
    script = lambda prompt, ask: "Hm?" if "message alone" in ask.prompt[0]["content"] else f"Answer {len(ask.prompt)}."  # noqa: E731
    (row,), _ = talk(script)
    assert row.error == "user: turn 2: it repeats an earlier message"


def test_a_cut_answer_ends_the_conversation() -> None:
    script = lambda prompt, ask: "Hm?" if "message alone" in prompt else said("Well, it", finish="length")  # noqa: E731
    (row,), _ = talk(script)
    assert row.error.startswith("cut: ")


@pytest.mark.parametrize(("mark", "error"), [(3.0, ""), (2.5, "reward: helpfulness 2.5, below 3")])
def test_with_a_reward_the_last_answer_must_not_be_bad(mark: float, error: str) -> None:
    def script(prompt: str, ask: Ask) -> str:
        if "five marks" in prompt:
            five = ("helpfulness", "correctness", "coherence", "complexity", "verbosity")
            return json.dumps({name: mark for name in five})
        return "Why so?" if "message alone" in prompt else "For a reason."

    (row,), _ = talk(script, turns=1, reward={"by": "judge"})
    assert row.error == error and row.scores["helpfulness"] == mark


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Thank you for that. How long is it?", "How long is it?"),
        ("User: Great, thanks! Sure. And then?", "And then?"),
        ("Hi there! What is rust?", "What is rust?"),
        ("Higher is better?", "Higher is better?"),
        ("Suppose it rains. What then?", "Suppose it rains. What then?"),
    ],
)
def test_politeness_alone_is_taken_out(text: str, left: str) -> None:
    assert user_turn(text, []) == left


def test_a_message_that_is_all_politeness_is_none() -> None:
    with pytest.raises(Unreadable):
        user_turn("Thank you, that was very helpful!", [])

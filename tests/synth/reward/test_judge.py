from __future__ import annotations

import asyncio
import json

import pytest

from orionlm.synth.desk import Ask
from orionlm.synth.reward.judge import Preference, prefer, score
from synth.scripted_teacher import Scripted, desk_of

ASKED = [{"role": "user", "content": "What is 2 + 2?"}]
MARKS = {"helpfulness": 3, "correctness": 4, "coherence": 4, "complexity": 1, "verbosity": 0}


def preferred(script) -> Preference:
    return asyncio.run(prefer(desk_of(script), ASKED, "It is 4.", "It is 5."))


def better(word: str) -> str:
    return json.dumps({"better": word})


def test_a_judge_scores_five_attributes_and_is_paid_for_as_reward() -> None:
    judge = Scripted(lambda prompt, ask: f"```json\n{json.dumps(MARKS)}\n```")
    found = asyncio.run(score(desk_of(judge), ASKED, "It is 4."))
    assert found.values == MARKS
    assert judge.asked[0].purpose == "reward" and judge.asked[0].temperature == 0
    assert "What is 2 + 2?" in judge.asked[0].text and "It is 4." in judge.asked[0].text


@pytest.mark.parametrize("mark", ["NaN", "Infinity", "1e999", "5", '"3"', "null"])
def test_a_bad_mark_is_asked_for_again_and_then_the_answer_is_unscored(mark: str) -> None:
    text = json.dumps(MARKS).replace('"helpfulness": 3', f'"helpfulness": {mark}')
    judge = Scripted(lambda prompt, ask: text)
    found = asyncio.run(score(desk_of(judge), ASKED, "It is 4."))
    assert "helpfulness" in found.error and not found.values and len(judge.asked) == 2


def test_a_judge_that_prefers_the_same_answer_in_both_orders_has_a_preference() -> None:
    def script(prompt: str, ask: Ask) -> str:
        return better("A" if prompt.index("It is 4.") < prompt.index("It is 5.") else "B")

    assert preferred(script).winner == "first"
    assert preferred(lambda prompt, ask: better("B" if script(prompt, ask) == better("A") else "A")).winner == "second"


@pytest.mark.parametrize("word", ["A", "B"])
def test_a_judge_that_prefers_a_place_has_none(word: str) -> None:
    found = preferred(lambda prompt, ask: better(word))
    assert found.winner == "tie" and set(found.orders) == {"first", "second"}


def test_a_tie_in_one_order_is_a_tie() -> None:
    script = lambda prompt, ask: better("tie" if prompt.index("It is 4.") < prompt.index("It is 5.") else "B")  # noqa: E731
    assert preferred(script).winner == "tie"


def test_a_judge_that_cannot_be_read_in_one_order_has_said_nothing() -> None:
    def script(prompt: str, ask: Ask) -> str:
        if prompt.startswith("That answer cannot be used"):
            return "hm"
        return better("A") if prompt.index("It is 4.") < prompt.index("It is 5.") else "hm"

    found = preferred(script)
    assert found.winner is None and "the judge: " in found.error


def test_equal_answers_are_a_tie_that_nobody_is_asked_about() -> None:
    judge = Scripted(lambda prompt, ask: better("A"))
    assert asyncio.run(prefer(desk_of(judge), ASKED, "4", "4")).winner == "tie" and not judge.asked

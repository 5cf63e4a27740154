from __future__ import annotations

import asyncio

import pytest

from orionlm.synth.desk import Reply
from orionlm.synth.reward.best_of_n import Reward
from orionlm.synth.reward.endpoint import preferred, score
from orionlm.synth.reward.scores import Scored
from synth.scripted_teacher import Scripted, desk_of

ASKED = [{"role": "user", "content": "hello"}]
NEMOTRON = "helpfulness:3.1,correctness:2.5,coherence:3.9,complexity:0.5,verbosity:1e-1"


def scored(text: str | Reply, **more) -> Scored:
    return asyncio.run(score(desk_of(lambda prompt, ask: text), ASKED, "hi", **more))


def test_a_reward_model_is_sent_the_whole_conversation() -> None:
    model = Scripted(lambda prompt, ask: NEMOTRON, "reward", ("reward",))
    other = Scripted(lambda prompt, ask: "no", "other", ("teacher",))
    found = asyncio.run(Reward(by="endpoint").score(desk_of(other, model), ASKED, "hi"))
    assert found.values["helpfulness"] == 3.1 and found.values["verbosity"] == 0.1
    assert model.asked[0].prompt == [*ASKED, {"role": "assistant", "content": "hi"}] and not other.asked


def test_json_and_a_bare_number_of_a_single_attribute_are_read() -> None:
    assert scored('{"helpfulness": 2.5}', names=("helpfulness",)).helpfulness == 2.5
    assert scored(" -1.5\n", names=("helpfulness",), low=-4, high=4).helpfulness == 1.25


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (NEMOTRON.replace("3.1", "nan"), "helpfulness = nan is not finite"),
        (NEMOTRON.replace("3.1", "-inf"), "helpfulness = -inf is not finite"),
        (NEMOTRON.replace("3.1", "9"), "helpfulness = 9 is outside 0 to 4"),
        (NEMOTRON.replace("helpfulness:3.1,", ""), "helpfulness is missing"),
        (NEMOTRON + ",helpfulness:2", "helpfulness is missing"),
        (NEMOTRON.replace("3.1", "3.1.2"), "helpfulness is missing"),
        ("3.5", "helpfulness is missing"),
        ("", "helpfulness is missing"),
        (Reply(error="HTTP 500"), "HTTP 500"),
    ],
)
def test_what_is_no_score_leaves_the_answer_unscored(text: str | Reply, why: str) -> None:
    found = scored(text)
    assert found.error == f"the reward endpoint: {why}" and not found.values


def test_the_more_helpful_is_preferred_and_equals_tie() -> None:
    three, two = Scored({"helpfulness": 3.0}), Scored({"helpfulness": 2.0})
    assert preferred(three, two).winner == "first" and preferred(two, three).winner == "second"
    assert preferred(two, two).winner == "tie" and preferred(two, Scored(error="nan")).winner is None

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.synth.desk import SAMPLES, Ask, Desk, Reply, Seed, copied, joined

LONG = "The mill by the river was built in 1742 and has ground rye for nine villages ever since, but for two winters."
ASKED = "Write the text below as questions and answers that a person of twelve understands, one a line, ten in all."


class Scripted:
    def __init__(self, name: str, purposes: tuple[str, ...] = ("teacher", "verify", "reward")) -> None:
        self.name, self.purposes = name, purposes
        self.asked: list[Ask] = []

    async def reply(self, ask: Ask, seed: int) -> Reply:
        self.asked.append(ask)
        return Reply("new words about it", teacher=self.name, terms="allowed", depth=2, prompt=ask.text)


def desk(*names: str, **more: int) -> Desk:
    return Desk({name: Scripted(name) for name in names or ("a",)}, 7, "rephrase", **more)


def test_teachers_take_turns_by_what_is_asked_whoever_is_asked_first() -> None:
    async def whom(prompts: list[str]) -> dict[str, str]:
        at = desk("a", "b", "c")
        return {prompt: (await at.ask(Ask(prompt))).teacher for prompt in prompts}

    prompts = [f"prompt {number}" for number in range(60)]
    there, back = asyncio.run(whom(prompts)), asyncio.run(whom(prompts[::-1]))
    assert there == back
    assert set(there.values()) == {"a", "b", "c"}


def test_who_does_not_serve_a_purpose_is_not_asked_for_it_and_one_named_is() -> None:
    judge, writer = Scripted("judge", ("reward",)), Scripted("writer", ("teacher",))
    at = Desk({"judge": judge, "writer": writer}, 7)
    for number in range(20):
        asyncio.run(at.ask(Ask(f"write {number}")))
        asyncio.run(at.ask(Ask(f"judge {number}", purpose="reward")))
    assert {ask.purpose for ask in judge.asked} == {"reward"} and len(judge.asked) == 20
    asyncio.run(at.ask(Ask("you"), "judge"))
    assert judge.asked[-1].prompt == "you"
    with pytest.raises(UserError, match="none serves 'verify'"):
        asyncio.run(at.ask(Ask("check", purpose="verify")))
    with pytest.raises(UserError, match="no such teacher; there are judge, writer"):
        asyncio.run(at.ask(Ask("x"), "nobody"))


def test_each_round_asks_for_samples_of_its_own() -> None:
    first, third = desk("a"), desk("a", round=2)
    asyncio.run(first.ask(Ask("x", sample=3)))
    asyncio.run(third.ask(Ask("x", sample=3)))
    assert [at.teachers["a"].asked[0].sample for at in (first, third)] == [3, 2 * SAMPLES + 3]  # type: ignore[attr-defined]
    assert first.random("x").integers(1 << 40) != third.random("x").integers(1 << 40)


def test_chance_is_the_same_for_the_same_names_and_differs_for_others() -> None:
    def draw(at: Desk, *names: str) -> int:
        return int(at.random(*names).integers(1 << 60))

    assert draw(desk(), "doc", "1") == draw(desk(), "doc", "1")
    assert (
        len({draw(desk(), "doc"), draw(desk(), "doc1"), draw(desk(), "d", "oc"), draw(Desk({}, 8, "rephrase"), "doc")})
        == 4
    )


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 9))
def test_work_is_done_side_by_side_and_comes_in_order(naps: list[int], at_once: int) -> None:
    now = most = 0

    async def work(item: tuple[int, int]) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        for _ in range(item[1]):
            await asyncio.sleep(0)
        now -= 1
        return item[0]

    async def all_of_them() -> list[int]:
        at = Desk({}, 1, at_once=at_once)
        return [number async for number in at.each(work, enumerate(naps))]

    assert asyncio.run(all_of_them()) == list(range(len(naps)))
    assert most <= at_once


def test_who_stops_listening_ends_what_is_under_way() -> None:
    ended: list[int] = []

    async def work(item: int) -> int:
        try:
            await asyncio.sleep(0 if item == 0 else 60)
        except asyncio.CancelledError:
            ended.append(item)
            raise
        return item

    async def first() -> None:
        found = Desk({}, 1, at_once=4).each(work, range(100))
        async for _ in found:
            break
        await found.aclose()  # type: ignore[attr-defined]

    asyncio.run(asyncio.wait_for(first(), 5))
    assert ended == [1, 2, 3]


def test_a_row_has_its_lineage() -> None:
    one, two = Seed("1", LONG, "MIT", depth=0), Seed("2", "another", "GPL-2.0 OR MIT", depth=3)
    reply = asyncio.run(desk("a").ask(Ask([{"role": "user", "content": "say it"}])))
    row = desk().row(replace(reply, licence="LicenseRef-T", tokens=4, thoughts="hm"), [one, two], "faq")
    assert (row.method, row.licence, row.depth) == ("rephrase/faq", "(GPL-2.0 OR MIT) AND LicenseRef-T AND MIT", 4)
    assert (row.seeds, row.seed_text) == (("1", "2"), f"{LONG}\n\nanother")
    assert (row.teacher, row.terms, row.thoughts, row.error) == ("a", "allowed", "hm", "")
    assert row.prompt == '[{"role": "user", "content": "say it"}]'
    assert joined(["MIT", "unknown"]) == "unknown" and joined([]) == "unknown" and joined(["MIT"]) == "MIT"


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (Reply("", error="HTTP 400: no"), "no answer: HTTP 400: no"),
        (Reply(" \n"), "empty: the answer is empty"),
        (Reply(" \u200b\ufeff"), "empty: the answer is empty"),
        (
            Reply(f"Sure: {ASKED}", prompt=json.dumps([{"role": "user", "content": ASKED}])),
            "copy: the answer is its prompt",
        ),
        (Reply("", thoughts="so much to say"), "empty: the answer is empty: all of it was thoughts"),
        (Reply("half a senten", finish="length"), "cut: the answer was cut at its longest"),
        (Reply(LONG.upper() + "\n"), "copy: the answer is its seed, word for word"),
        (Reply(f"Sure! {LONG}"), "copy: the answer is its seed with a few words around it"),
        (Reply("**" + LONG[10:95] + "**"), "copy: the answer stands in its seed, word for word"),
    ],
)
def test_what_nobody_should_read_is_a_rejected_row_that_says_why(reply: Reply, why: str) -> None:
    row = desk().row(reply, [Seed("1", LONG, "MIT")])
    assert row.error == why and row.verdicts


def test_a_short_answer_and_a_text_of_its_own_are_no_copies() -> None:
    assert copied("in 1742", [LONG]) == ""
    assert (
        copied(
            "Rye was ground there from 1742 on, for nine villages, in all winters but two that nobody names.", [LONG]
        )
        == ""
    )
    row = desk().row(Reply("half a senten", finish="length"), [Seed("1", LONG)], cut=True)
    assert row.error == ""

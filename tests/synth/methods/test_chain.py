from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from inference.client.scripted_server import completion
from orionlm.synth.desk import Ask, Desk, Seed
from orionlm.synth.methods.chain import Settings, write
from orionlm.synth.methods.topics import sentences
from orionlm.synth.rows import Row
from orionlm.synth.teachers import asked
from synth.scripted_teacher import Scripted, collected, desk_of
from synth.teaching import Teaching

LISTS = {
    "broad topics": ["Cooking", "Astronomy", "cooking"],
    "sub-topics of": ["Bread", "Soups"],
    "questions about": ["Why does dough rise?"],
    "tasks, each to write": ["Describe a kitchen in the morning."],
    "concepts that belong to mathematics": ["Prime number", "Violin"],
    "concepts that belong to programming": ["Generator", "Teapot"],
    "mathematics problems": ["Find the smallest prime above 90."],
    "programming problems": ["Return the first n squares."],
    "from this document": ["What does the ferry carry?"],
}
DOCUMENT = "The ferry crosses the lake twice a day. It carries grain and letters, and no cars."
ANSWERS = ("It is so, for a good reason.", "Nobody can say, and nobody asks.")


def chat(prompt: str, extra: dict[str, float] | None = None) -> str:
    """A teacher and judge that answers every request of the chain well."""
    if "JSON list of strings" in prompt:
        items = [re.sub(r"^\d+\. ", "", line) for line in prompt.split("Text:\n")[1].splitlines()]
        return json.dumps(items + ["Invented by the parser"])
    for words, items in LISTS.items():
        if words in prompt.split("\n")[0] or (words == "from this document" and words in prompt):
            return "\n".join(f"{n}. {item}" for n, item in enumerate(items, start=1))
    if "Answer with one word" in prompt:
        return "No." if "Violin" in prompt or "Teapot" in prompt else "Yes."
    if "Below is a request" in prompt:
        request = prompt.split("Request:\n")[1]
        return f"{request} Write for a child of ten. Use at most eighty words."
    if "five marks" in prompt:
        helpful = 3.5 if ANSWERS[0] in prompt.split("<answer>")[1] else 1.0
        helpful = 2.0 if "kitchen" in prompt else helpful
        return json.dumps(
            {"helpfulness": helpful, **{n: 2 for n in ("correctness", "coherence", "complexity", "verbosity")}}
        )
    if "two answers" in prompt:
        if "Generator" in prompt or "squares" in prompt:
            return '{"better": "A"}'
        return '{"better": "A"}' if ANSWERS[0] in prompt.split("Answer B:")[0] else '{"better": "B"}'
    raise AssertionError(prompt)


def scripted(prompt: str, sample: int) -> str:
    try:
        return chat(prompt)
    except AssertionError:
        return ANSWERS[sample % 2]


def kept(rows: list[Row]) -> list[Row]:
    return [row for row in rows if not row.error]


def run(teacher: Scripted | None = None, seeds: list[Seed] | None = None, **settings: Any) -> list[Row]:
    teacher = teacher or Scripted(lambda prompt, ask: scripted(prompt, ask.sample))
    seeds = [Seed("doc", DOCUMENT, "MIT")] if seeds is None else seeds
    return collected(write(Settings(**settings), seeds, desk_of(teacher, method="chain")))


def test_the_chain_end_to_end_against_an_endpoint(tmp_path: Path) -> None:
    told: Counter[str] = Counter()

    def script(prompt: str, body: dict[str, Any]) -> dict[str, Any]:
        told[prompt] += 1
        return completion(scripted(prompt, told[prompt] - 1))

    async def once(server: Teaching) -> list[Row]:
        async with asked([server.settings(name="big")], tmp_path / "store") as ready:
            desk = Desk(ready, seed=3, method="chain")
            return [row async for row in write(Settings(), [Seed("doc", DOCUMENT, "MIT")], desk)]

    async def main() -> tuple[list[Row], list[Row], int, int]:
        async with Teaching(script) as server:
            rows = await once(server)
            bought = sum(server.bought.values())
            return rows, await once(server), bought, sum(server.bought.values())

    rows, again, bought, in_all = asyncio.run(main())
    assert again == rows and in_all == bought > 40, "a second run asks nothing again"

    by_kind = Counter(row.method for row in kept(rows))
    assert by_kind == {"chain/open_qa": 1, "chain/closed_qa": 1, "chain/mathematics": 1, "chain/code": 1}
    closed = next(row for row in kept(rows) if row.method == "chain/closed_qa")
    assert closed.text == f"{DOCUMENT}\n\nWhat does the ferry carry?\n\n{ANSWERS[0]}"
    assert closed.seeds == ("doc",) and closed.licence == "MIT" and closed.depth == 1 and closed.seed_text == DOCUMENT
    assert closed.teacher == "big" and closed.terms == "allowed" and len(closed.key) == 64 and closed.revision
    assert json.loads(closed.prompt)[0]["content"] == f"{DOCUMENT}\n\nWhat does the ferry carry?"

    open_qa = next(row for row in kept(rows) if row.method == "chain/open_qa")
    request = "Why does dough rise? Write for a child of ten. Use at most eighty words."
    assert open_qa.more["request"] == request and sentences(request) == 3
    assert open_qa.form == "preference" and open_qa.scores["helpfulness"] == 3.5
    pair = open_qa.more["pair"]
    assert (pair["chosen"], pair["rejected"], pair["by"]) == (*ANSWERS, "judge")
    assert pair["scores"]["rejected"]["helpfulness"] == 1.0 and pair["prompt"][0]["content"] == request

    code = next(row for row in kept(rows) if row.method == "chain/code")
    assert code.form == "instruction" and code.more["no_pair"].startswith("tie: the judge's word changed")

    errors = Counter((row.method, row.error.split(":")[0]) for row in rows if row.error)
    assert errors["chain/mathematics_keywords", "classifier"] == errors["chain/code_keywords", "classifier"] == 1
    assert errors["chain/macro_topics", "duplicate"] == 1 and errors["chain/macro_topics", "hallucinated"] == 1
    assert errors["chain/writing", "reward"] == 1 and errors["chain/open_qa", "duplicate"] == 1
    writing = next(row for row in rows if row.method == "chain/writing" and row.error.startswith("reward"))
    assert writing.error == "reward: both bad: helpfulness 2 and 2, both below 3" and writing.text
    assert not any("Invented by the parser" in row.text for row in kept(rows))
    assert not any("Violin" in prompt and "problems" in prompt for prompt in told), "no problem of a refused keyword"


def test_sub_topics_and_prompts_come_once_though_several_topics_bring_them() -> None:
    rows = run(kinds=["open_qa"])
    assert [row.text for row in rows if row.error.startswith("duplicate") and row.method == "chain/sub_topics"]
    requests = [row.more["request"] for row in kept(rows)]
    assert len(requests) == len(set(requests)) == 1


@pytest.mark.parametrize(
    ("answers", "kept_too"), [(["One. Two."], 1), (["Only one.", "One. Two. Three."], 1), (["No."], 0)]
)
def test_a_revision_has_two_to_four_sentences_or_the_prompt_goes(answers: list[str], kept_too: int) -> None:
    left = list(answers)

    def script(prompt: str, ask: Ask) -> str:
        if "Below is a request" in ask.prompt[0]["content"]:
            return left.pop(0) if len(left) > 1 else left[0]
        return scripted(prompt, ask.sample)

    rows = run(Scripted(script), kinds=["open_qa"], topics=["Cooking"], sub_topics=1)
    assert len(kept(rows)) == kept_too
    if not kept_too:
        assert [row.error for row in rows if row.error.startswith("revision")] == [
            "revision: it has 1 sentence, not 2 to 4"
        ]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("One. Two.", 2),
        ("Use e.g. this one", 1),
        ("Is it 3.5? Yes!", 2),
        ("“So.” He said. 3 came.", 3),
        ("一。二。", 2),
        ("", 0),
    ],
)
def test_sentences_are_counted_by_their_ends(text: str, count: int) -> None:
    assert sentences(text) == count


def test_later_generations_start_from_what_was_kept_with_their_own_teacher_and_depth() -> None:
    weak = Scripted(lambda prompt, ask: scripted(prompt, ask.sample), "weak", depth=1)
    strong = Scripted(lambda prompt, ask: scripted(prompt, ask.sample), "strong", depth=2)
    desk = desk_of(weak, strong, method="chain")
    settings = Settings(
        generations=2, teachers=["weak", "strong"], kinds=["open_qa", "closed_qa"], reward={"teacher": "weak"},
        topics=["Cooking"], sub_topics=1,
    )  # fmt: skip
    rows = kept(collected(write(settings, [Seed("doc", DOCUMENT, "MIT")], desk)))
    first = [row for row in rows if row.more["generation"] == 1]
    second = [row for row in rows if row.more["generation"] == 2]
    assert {row.teacher for row in first} == {"weak"} and {row.teacher for row in second} == {"strong"}
    assert {row.depth for row in first} == {2} and {row.depth for row in second} == {3}
    assert second and all(set(row.seeds) <= {one.id for one in first} for row in second)
    revised = [row for row in second if row.method == "chain/open_qa"]
    assert not revised, "a request that comes back four sentences too long goes"
    assert {row.method for row in second} == {"chain/closed_qa"}


def test_a_prompt_by_a_model_trained_on_models_counts_though_another_answers() -> None:
    answer = lambda prompt, ask: scripted(prompt, ask.sample)  # noqa: E731
    shallow, deep = Scripted(answer, "shallow"), Scripted(answer, "deep", depth=5)
    seeds = [Seed(f"doc{n}", f"{DOCUMENT} It was built in {1900 + n}.") for n in range(20)]
    rows = kept(collected(write(Settings(kinds=["closed_qa"]), seeds, desk_of(shallow, deep))))
    assert {row.depth for row in rows if row.teacher == "shallow"} == {1, 6}
    assert {row.depth for row in rows if row.teacher == "deep"} == {6}


def test_the_licence_of_a_seed_goes_on_through_the_generations() -> None:
    rows = kept(run(kinds=["closed_qa"], generations=3))
    assert [row.depth for row in rows] == [1, 2] and {row.licence for row in rows} == {"MIT"}
    assert rows[1].more["request"] == "What does the ferry carry?" and rows[1].seed_text == ANSWERS[0]


def test_an_answer_that_is_none_is_a_row_of_its_own_and_the_other_is_kept_without_a_pair() -> None:
    def script(prompt: str, ask: Ask) -> str:
        text = scripted(prompt, ask.sample)
        return "" if text == ANSWERS[1] else text

    rows = run(Scripted(script), kinds=["closed_qa"])
    assert [row.error.split(":")[0] for row in rows if row.method == "chain/closed_qa"][-2:] == ["empty", ""]
    assert rows[-1].more["no_pair"] == "only one answer" and rows[-1].form == "instruction"


@pytest.mark.parametrize("mark", ["NaN", "Infinity", "5", "-1", "null", '"4"'])
def test_rows_whose_reward_is_no_score_never_pass(mark: str) -> None:
    def script(prompt: str, ask: Ask) -> str:
        text = scripted(ask.prompt[0]["content"], ask.sample)
        return re.sub(r'"helpfulness": [\d.]+', f'"helpfulness": {mark}', text)

    rows = run(Scripted(script), kinds=["closed_qa"])
    assert not kept(rows)
    assert any(row.error.startswith("reward: unscored: the judge: ") for row in rows)


def test_a_reward_endpoint_may_take_the_judges_place() -> None:
    model = Scripted(lambda prompt, ask: "4.5" if prompt == ANSWERS[1] else "-2", "reward", ("reward",))
    teacher = Scripted(lambda prompt, ask: scripted(prompt, ask.sample), "t", ("teacher", "verify"))
    settings = Settings(
        kinds=["closed_qa"], reward={"by": "endpoint", "attributes": ["helpfulness"], "low": -5, "high": 5}
    )
    rows = collected(write(settings, [Seed("doc", DOCUMENT)], desk_of(teacher, model, method="chain")))
    pair = kept(rows)[0].more["pair"]
    assert (pair["chosen"], pair["rejected"], pair["by"]) == (ANSWERS[1], ANSWERS[0], "endpoint")
    assert pair["scores"]["chosen"]["helpfulness"] == pytest.approx(3.8)


def test_an_answer_about_a_document_may_quote_it() -> None:
    def script(prompt: str, ask: Ask) -> str:
        text = scripted(prompt, ask.sample)
        return DOCUMENT if text in ANSWERS else text

    rows = run(Scripted(script), kinds=["closed_qa"])
    assert not [row for row in rows if row.error.startswith("copy")]


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="name one for each"):
        Settings(generations=3, teachers=["a", "b"])
    with pytest.raises(ValidationError, match="leaves nothing to choose by"):
        Settings(reward={"by": "none"})
    with pytest.raises(ValidationError):
        Settings(responses=1)

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from evals.simulated import Simulated, choices, suite
from orionlm.errors import UserError
from orionlm.evals.compare import compare, document
from orionlm.evals.run import evaluate
from orionlm.tasks.task import Item, Task

TEXT = Task("text", "text", tuple(Item(str(i), f"text number {i} with some bytes") for i in range(30)))


@pytest.fixture
def asked(tmp_path):
    def ask(model, *tasks):
        return evaluate(suite(*tasks), model, tmp_path / model.name)

    return ask


def test_a_better_model_is_found_better_and_the_other_way_round_is_not(asked):
    strong, weak = asked(Simulated("strong", 0.95), choices(300)), asked(Simulated("weak", 0.6), choices(300))
    (line,) = compare(strong, weak)
    assert line.verdict == "yes" and line.difference.low > 0 and line.p < 0.05
    assert line.difference.value == pytest.approx(line.first - line.second)
    (back,) = compare(weak, strong)
    assert back.verdict == "no" and back.difference.high < 0


def test_a_model_against_itself_cannot_be_told_apart(asked):
    found = asked(Simulated("one"), choices(100))
    (line,) = compare(found, found)
    assert line.verdict == "cannot tell" and line.difference.value == 0 and line.needed is None


def test_a_small_gain_says_how_many_questions_it_would_take(asked):
    one, other = asked(Simulated("one", 0.62), choices(60)), asked(Simulated("other", 0.58), choices(60))
    (line,) = compare(one, other)
    assert line.verdict == "cannot tell"
    if line.difference.value:
        assert line.needed > 60
    assert line.detectable > abs(line.difference.value)


def test_fewer_bits_are_better(asked):
    one, other = asked(Simulated("one", 0.9, right="bytes"), TEXT), asked(Simulated("other", 0.0, right="bytes"), TEXT)
    (line,) = compare(one, other)
    assert line.metric == "bits_per_byte" and line.first < line.second
    assert line.difference.value == pytest.approx(line.second - line.first)
    assert line.verdict == "yes"


def test_verdicts_are_corrected_for_the_number_of_tasks(asked):
    many = [choices(40, f"task{n}") for n in range(12)]
    one, other = asked(Simulated("one", 0.8), *many), asked(Simulated("other", 0.6), *many)
    lines = compare(one, other)
    alone = [compare(_only(one, line.task), _only(other, line.task))[0] for line in lines]
    assert all(line.p >= single.p for line, single in zip(lines, alone, strict=True))
    assert [line.p for line in lines] != [single.p for single in alone]
    assert all(line.p <= 0.05 for line in lines if line.verdict != "cannot tell")


def test_different_questions_are_refused_unless_asked_for(asked):
    one = asked(Simulated("one", 0.9), choices(40))
    other = asked(Simulated("other", 0.6), Task("truth", "choice", choices(60).items[20:], chance=0.5))
    with pytest.raises(UserError, match="truth: the two were not asked the same questions"):
        compare(one, other)
    (line,) = compare(one, other, allow_different=True)
    assert not line.difference.paired


def test_another_prompt_is_another_question(asked):
    task = choices(10)
    one = asked(Simulated("one"), task)
    other = asked(Simulated("other"), replace(task, prompt="Say: {question}"))
    with pytest.raises(UserError, match="in the same way"):
        compare(one, other)


def test_a_task_that_only_one_was_asked_is_named(asked):
    one, other = asked(Simulated("one"), choices(10), TEXT), asked(Simulated("other"), choices(10))
    with pytest.raises(UserError, match="text: only one of the two"):
        compare(one, other)
    assert [line.task for line in compare(one, other, allow_different=True)] == ["truth"]
    with pytest.raises(UserError, match="no task in common"):
        compare(_only(one, "text"), other)


def test_a_comparison_is_json(asked):
    one, other = asked(Simulated("one", 0.9), choices(2), TEXT), asked(Simulated("other", 0.6), choices(2), TEXT)
    json.dumps(document(compare(one, other)), allow_nan=False)


def _only(results, task):
    lines = [line for line in results.summary["tasks"] if line["task"] == task]
    rows = tuple(row for row in results.rows if row.task == task)
    return replace(results, summary=results.summary | {"tasks": lines}, rows=rows)

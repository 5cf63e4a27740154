from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from evals.simulated import Simulated, choices, suite, written_suite
from orionlm.errors import UserError
from orionlm.evals.results import RESULTS, SUMMARY, bits, estimate, read
from orionlm.evals.run import evaluate, limited, own_seed
from orionlm.sampling import Sampling
from orionlm.tasks.outcome import Grade, Outcome
from orionlm.tasks.sandbox import Sandbox
from orionlm.tasks.task import Extraction, Item, Task

WORDS = Task(
    "words", "generate", tuple(Item(str(i), f"2 + 2 = ({i})", answer="4") for i in range(30)),
    extraction=Extraction(form="number"), sampling=Sampling(max_tokens=5, temperature=0.0),
)  # fmt: skip
CODE = Task(
    "code", "code",
    tuple(Item(str(i), "", answer={"entry_point": "f", "tests": [{"args": [i], "expected": i + 1}]}) for i in range(4)),
    sampling=Sampling(max_tokens=50, temperature=0.0),
)  # fmt: skip
TEXT = Task("text", "text", (Item("a", "twelve bytes"), Item("b", "four and twenty bytes, é")))


def line(results, task):
    return next(line for line in results.summary["tasks"] if line["task"] == task)


def test_every_task_has_a_score_with_an_interval_and_every_row_is_written(tmp_path):
    results = evaluate(suite(choices(), WORDS, TEXT), Simulated(), tmp_path)
    truth = line(results, "truth")["estimate"]
    assert truth["low"] < truth["value"] < truth["high"] and truth["n"] == 40 and truth["clusters"] == 20
    assert truth["value"] == sum(row.outcome == "right" for row in results.of("truth")) / 40
    assert len((tmp_path / RESULTS).read_text().splitlines()) == 40 + 30 + 2
    assert read(tmp_path) == results
    assert json.loads((tmp_path / SUMMARY).read_text()) == results.summary


def test_a_second_run_asks_nothing_and_finds_the_same(tmp_path):
    first = evaluate(suite(choices(), WORDS, TEXT), Simulated(), tmp_path)
    again = Simulated()
    assert evaluate(suite(choices(), WORDS, TEXT), again, tmp_path) == first
    assert not again.pairs and not again.prompts


def test_another_model_is_asked_again(tmp_path):
    evaluate(suite(choices()), Simulated("one"), tmp_path)
    other = Simulated("other")
    evaluate(suite(choices()), other, tmp_path)
    assert len(other.pairs) == 80


def test_equal_requests_are_asked_once(tmp_path):
    model = Simulated()
    task = choices(10)
    results = evaluate(suite(task, Task("twin", "choice", task.items)), model, tmp_path)
    assert len(model.pairs) == 20
    assert [r.outcome for r in results.of("truth")] == [r.outcome for r in results.of("twin")]


def test_what_cannot_be_read_is_counted_apart_and_is_not_right(tmp_path):
    results = evaluate(suite(WORDS), Simulated(skill=0.5), tmp_path)
    counted = line(results, "words")
    assert set(counted["outcomes"]) == {"right", "unparsable"}
    assert sum(counted["outcomes"].values()) == 30
    assert counted["estimate"]["value"] == pytest.approx(counted["outcomes"]["right"] / 30)


def test_a_question_beyond_the_context_is_named_and_left_out(tmp_path):
    items = (*choices(10).items, Item("long", "x" * 600, ("yes", "no"), 0))
    results = evaluate(suite(Task("truth", "choice", items)), Simulated(), tmp_path)
    found = line(results, "truth")
    assert found["outcomes"]["too_long"] == 1
    assert (found["estimate"]["n"], found["estimate"]["left_out"]) == (10, 1)
    assert "500" in next(row.detail for row in results.rows if row.item == "long")


def test_a_grader_error_is_no_zero(tmp_path, monkeypatch):
    from orionlm.tasks import score

    outcomes = iter([Outcome.RIGHT, Outcome.RIGHT, Outcome.GRADER_ERROR, Outcome.TIMED_OUT])
    monkeypatch.setattr(score, "grade_code", lambda item, text: Grade(next(outcomes)))
    monkeypatch.setattr("orionlm.evals.run.GRADERS", 1)
    found = line(evaluate(suite(CODE), Simulated(), tmp_path), "code")
    assert found["outcomes"] == {"grader_error": 1, "right": 2, "timed_out": 1}
    assert found["estimate"]["value"] == pytest.approx(2 / 3)
    assert found["estimate"]["errors"] == 1


def test_a_grader_that_dies_is_a_grader_error(tmp_path, monkeypatch):
    from orionlm.tasks import score

    def dies(item, text):
        raise OSError("no pipes left")

    monkeypatch.setattr(score, "grade_code", dies)
    results = evaluate(suite(CODE), Simulated(), tmp_path)
    assert line(results, "code")["outcomes"] == {"grader_error": 4}
    assert line(results, "code")["estimate"] is None
    assert "no pipes left" in results.rows[0].detail


def test_a_machine_without_a_sandbox_says_so_before_anything_is_asked(tmp_path, monkeypatch):
    monkeypatch.setattr("orionlm.evals.run.shared", lambda process: Sandbox(kinds=()))
    model = Simulated()
    with pytest.raises(UserError, match="sandbox: this machine refuses .* programs are not run without"):
        evaluate(suite(WORDS, CODE), model, tmp_path)
    assert not model.prompts
    assert evaluate(suite(WORDS), model, tmp_path).rows, "without programs there is no need of one"


def test_programs_are_graded_by_their_tests(tmp_path):
    class Programmer(Simulated):
        def said(self, prompt, sample):
            return "def f(x):\n    return x + 1 if x != 2 else 0\n"

    results = evaluate(suite(CODE), Programmer(), tmp_path)
    assert [row.outcome for row in results.rows] == ["right", "right", "wrong", "right"]


def test_an_endpoint_that_fails_half_way_leaves_no_results_and_is_asked_only_the_rest(tmp_path):
    with pytest.raises(UserError, match=r"10 of 30 questions have no answer yet \(the server is away\); run it again"):
        evaluate(suite(WORDS), Simulated(failing=3), tmp_path)
    assert not (tmp_path / SUMMARY).exists()
    well = Simulated()
    results = evaluate(suite(WORDS), well, tmp_path)
    assert len(well.prompts) == 10 and len(results.rows) == 30


def test_several_samples_give_pass_at_k_and_a_majority(tmp_path):
    task = Task(
        "words", "generate", WORDS.items, extraction=WORDS.extraction, sampling=Sampling(5, temperature=1.0, n=5)
    )
    results = evaluate(suite(task), Simulated(skill=0.6), tmp_path)
    right = Counter(row.item for row in results.rows if row.outcome == "right")
    found = line(results, "words")
    assert len(results.rows) == 150 and found["estimate"]["n"] == 30
    assert found["pass_at"]["1"]["value"] == pytest.approx(sum(right.values()) / 150)
    assert found["pass_at"]["5"]["value"] == pytest.approx(len(right) / 30)
    assert found["majority"]["value"] == pytest.approx(sum(count >= 3 for count in right.values()) / 30)


def test_items_draw_their_samples_from_seeds_of_their_own_and_the_same_each_time():
    task = Task("words", "generate", WORDS.items, sampling=Sampling(5, temperature=1.0))
    seeds = [own_seed(task.sampling, task, item) for item in task.items]
    assert len(set(seeds)) == len(seeds)
    assert seeds == [own_seed(task.sampling, task, item) for item in task.items]


def test_a_task_at_chance_is_blind_and_one_above_is_not(tmp_path):
    results = evaluate(suite(choices(200, "known")), Simulated(skill=0.9), tmp_path / "a")
    assert line(results, "known")["blind"] is False
    results = evaluate(suite(choices(200, "guessed")), Simulated(skill=0.5), tmp_path / "b")
    assert line(results, "guessed")["blind"] is True


def test_bits_per_byte_are_those_of_all_texts_together(tmp_path):
    results = evaluate(suite(TEXT), Simulated(right="bytes", skill=1.0), tmp_path)
    rows = results.of("text")
    nats = -sum(sum(row.log_probabilities) for row in rows)
    whole = nats / 0.6931471805599453 / sum(len(item.question.encode()) for item in TEXT.items)
    assert line(results, "text")["estimate"]["value"] == pytest.approx(whole)
    assert estimate("text", rows).value == pytest.approx(sum(bits(rows).values()) / 2)


def test_a_limit_makes_another_suite(tmp_path):
    whole = suite(choices())
    assert len(limited(whole, 7).tasks[0].items) == 7
    assert limited(whole, 7).digest != whole.digest
    assert limited(whole, None) is whole


def test_what_was_spent_is_told_once(tmp_path):
    told = []
    evaluate(suite(choices()), Simulated(), tmp_path, record=lambda purpose, **spent: told.append((purpose, spent)))
    assert [purpose for purpose, _ in told] == ["eval"]
    assert told[0][1]["tokens"] == 800 and told[0][1]["flops"] == 1600
    evaluate(suite(choices()), Simulated(), tmp_path, record=lambda purpose, **spent: told.append((purpose, spent)))
    assert len(told) == 1


def test_a_users_own_suite_runs(tmp_path):
    found = written_suite(
        tmp_path,
        {
            "capital": ({"kind": "choice"}, [{"question": "Q?", "choices": ["yes", "no"], "answer": 0}]),
            "sum": ({"kind": "generate", "extract": {"form": "number"}}, [{"question": "2 + 2 =", "answer": "4"}]),
        },
    )
    results = evaluate(found, Simulated(skill=1.0), tmp_path / "out")
    assert [row.outcome for row in results.rows] == ["right", "right"]


KILLED = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from evals.simulated import Simulated, choices, suite
from orionlm.evals.run import evaluate
class Slow(Simulated):
    def score(self, pairs):
        for answer in super().score(pairs):
            time.sleep(0.005)
            yield answer
model = Slow()
evaluate(suite(choices(300)), model, Path(sys.argv[1]))
print(len(model.pairs))
"""


def test_a_run_killed_by_force_goes_on_where_it_was(tmp_path):
    tests = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", KILLED, str(tmp_path), tests]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "1"})
    deadline = time.monotonic() + 60
    while not _kept(tmp_path) > 50:
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = _kept(tmp_path)
    assert before < 600 and not (tmp_path / SUMMARY).exists()
    model = Simulated()
    results = evaluate(suite(choices(300)), model, tmp_path)
    assert len(model.pairs) == 600 - before
    assert results.rows == evaluate(suite(choices(300)), Simulated(), tmp_path / "whole").rows


def _kept(folder: Path) -> int:
    import sqlite3

    path = folder / "answers.sqlite"
    if not path.exists():
        return 0
    try:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT count(*) FROM answers").fetchone()[0]
        finally:
            connection.close()
    except sqlite3.OperationalError:
        return 0

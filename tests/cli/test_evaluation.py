from __future__ import annotations

import json
import re

import pytest
import typer
from typer.testing import CliRunner

from evals.simulated import Simulated
from evals.test_endpoint import scripted
from evals.test_sight import corpus
from inference.client.scripted_server import completion, refusal
from inference.server import tiny
from orionlm.artifact import publish
from orionlm.cli import evaluation as command
from orionlm.evals.chart import generations
from orionlm.evals.results import read
from orionlm.evals.run import evaluate
from orionlm.tasks.suite import load_suite

app = typer.Typer()
app.command("eval")(command.evaluate)
runner = CliRunner()
SUITE = """
name = "mine"
[task.fox]
kind = "choice"
items = "fox.jsonl"
[task.prose]
kind = "text"
items = [{ text = "The quick brown fox jumps over the lazy dog." }]
"""


def run(*arguments: object, code: int = 0):
    result = runner.invoke(app, [str(argument) for argument in arguments])
    assert result.exit_code == code, (result.output, result.exception)
    return result


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return tiny.make_checkpoint(tmp_path_factory.mktemp("eval") / "tiny")


@pytest.fixture
def suite(tmp_path):
    rows = [{"question": f"The {n} quick brown", "choices": [" fox", " dog"], "answer": 0} for n in range(20)]
    (tmp_path / "fox.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "mine.toml").write_text(SUITE)
    return tmp_path / "mine.toml"


def test_a_checkpoint_on_a_suite_prints_scores_with_intervals_and_n(checkpoint, suite, tmp_path):
    text = run(checkpoint, suite, "--out", tmp_path / "out", "-q").output
    assert re.search(r"fox +\d+\.\d% +\d+\.\d% to \d+\.\d% +20 +50%", text)
    assert re.search(r"prose +\d+\.\d{4}", text)
    assert "right" in text or "wrong" in text
    assert len(read(tmp_path / "out").rows) == 21
    entries = (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()
    assert json.loads(entries[0])["purpose"] == "eval"


def test_json_holds_the_summary_and_a_second_run_spends_nothing(checkpoint, suite, tmp_path):
    first = json.loads(run(checkpoint, suite, "--out", tmp_path / "out", "-q", "--json").output)
    spent = (tmp_path / "out" / "ledger.jsonl").read_text()
    assert json.loads(run(checkpoint, suite, "--out", tmp_path / "out", "-q", "--json").output) == first
    assert (tmp_path / "out" / "ledger.jsonl").read_text() == spent
    assert first["tasks"][0]["estimate"]["n"] == 20


def test_a_limit_keeps_the_first_items(checkpoint, suite, tmp_path):
    found = json.loads(run(checkpoint, suite, "--limit", 5, "--out", tmp_path / "out", "-q", "--json").output)
    assert found["tasks"][0]["items"] == 5


def test_two_models_are_compared_on_the_same_questions(checkpoint, suite, tmp_path):
    questions = load_suite(suite)
    evaluate(questions, Simulated("other", 0.5, right="fox"), tmp_path / "other")
    result = run(checkpoint, suite, "--out", tmp_path / "out", "--against", tmp_path / "other", "-q")
    assert "is tiny better than other?" in result.output and "Holm" in result.output
    assert re.search(r"fox +(yes|no|cannot tell)", result.output)
    assert "<svg" in (tmp_path / "out" / "comparison.svg").read_text()
    document = json.loads(
        run(checkpoint, suite, "--out", tmp_path / "out", "--against", tmp_path / "other", "-q", "--json").output
    )
    assert {line["task"] for line in document["comparison"]} == {"fox", "prose"}
    assert document["against"]["name"] == "other"


def test_results_of_other_questions_are_refused(checkpoint, suite, tmp_path):
    evaluate(load_suite(suite), Simulated("other"), tmp_path / "other")
    arguments = (checkpoint, suite, "--limit", 5, "--out", tmp_path / "out", "--against", tmp_path / "other", "-q")
    assert "not asked the same questions" in str(run(*arguments, code=1).exception)
    assert "cannot tell" in run(*arguments, "--allow-different").output


def test_a_corpus_gives_the_clean_score_and_the_suite_called_sight(checkpoint, suite, tmp_path):
    partial = tmp_path / "corpus.partial"
    partial.mkdir()
    corpus(partial / "validation.parquet")
    corpus(partial / "train.parquet", ("three",))
    publish(partial, tmp_path / "corpus", kind="corpus", settings={}, inputs={}, seed=0, fingerprint="f")
    text = run(checkpoint, suite, "--corpus", tmp_path / "corpus", "--out", tmp_path / "out", "-q").output
    assert re.search(r"in the corpus: \d+ of 21 questions", text)
    found = json.loads(
        run(
            checkpoint, "sight", "--corpus", tmp_path / "corpus", "--limit", 5, "--out", tmp_path / "s", "-q", "--json"
        ).output
    )
    assert {line["kind"] for line in found["tasks"]} == {"text", "choice"} and len(found["clean"]) == len(
        found["tasks"]
    )


def test_simplebench_end_to_end_gives_the_score_computed_by_hand(tmp_path):
    letters = "ABCDEF"
    rows = [{"question_id": n, "prompt": f"({n}) Which?", "answer": letters[n % 6]} for n in range(6)]
    (tmp_path / "questions.json").write_text(json.dumps({"eval_data": rows}))
    planted = {0: "11111", 1: "11100", 2: "11000", 3: "00000", 4: "1-1-1", 5: "-----"}  # runs: right, wrong, unreadable
    asked: dict[int, int] = {}

    def says(body, n):
        number = int(body["messages"][-1]["content"].split(")")[0][1:])
        turn = asked.get(number, 0)
        asked[number] = turn + 1
        mark = planted[number][turn]
        wrong = letters[(number + 1) % 6]
        return completion({"1": f"so… Final Answer: {letters[number]}", "0": f"final answer: {wrong}", "-": "hm"}[mark])

    with scripted(says) as server:
        arguments = ("simplebench", "--given", f"questions={tmp_path / 'questions.json'}", "--out", tmp_path / "out")
        found = json.loads(run(server.url, *arguments, "-q", "--json").output)
        text = run(server.url, *arguments, "-q").output
    (line,) = found["tasks"]
    right = sum(marks.count("1") for marks in planted.values())
    assert line["estimate"]["value"] == pytest.approx(right / 30)
    assert line["majority"]["value"] == pytest.approx(3 / 6)
    assert line["outcomes"] == {"right": right, "unparsable": 7, "wrong": 30 - 7 - right}
    assert "smoke test" in line["note"] and "smoke test" in text
    assert re.search(rf"simplebench AVG@5 +{100 * right / 30:.1f}% .* 6 +17%", text)
    assert re.search(r"simplebench MAJ@5 +50\.0% .* 6", text)


def test_simplebench_names_questions_beyond_the_context_and_leaves_them_out_of_both_scores(tmp_path):
    rows = [{"question_id": f"q{n}", "prompt": f"({n}) Which?", "answer": "A"} for n in range(4)]
    (tmp_path / "questions.json").write_text(json.dumps({"eval_data": rows}))

    def says(body, n):
        if "(3)" in body["messages"][-1]["content"]:
            return refusal(400, "This model's maximum context length is 8 tokens", code="context_length_exceeded")
        return completion("Final Answer: A" if "(0)" in body["messages"][-1]["content"] else "no idea")

    with scripted(says) as server:
        arguments = ("simplebench", "--given", f"questions={tmp_path / 'questions.json'}", "--out", tmp_path / "out")
        text = run(server.url, *arguments, "-q").output
        (line,) = json.loads(run(server.url, *arguments, "-q", "--json").output)["tasks"]
    for score in (line["estimate"], line["majority"]):
        assert (score["value"], score["n"]) == (pytest.approx(1 / 3), 3)
    assert line["outcomes"] == {"right": 5, "too_long": 5, "unparsable": 10}
    assert "1 of 4 questions (q3) do not fit the model's context and are in no score" in text


PRICES = """
[[price]]
model = "m"
prompt = 1000.0
completion = 1000.0
source = "a test"
date = "2026-01-01"
"""


def test_a_budget_in_dollars_is_held_and_says_what_covers_the_rest(tmp_path):
    rows = [{"question": f"{n} + 1 =", "answer": str(n + 1)} for n in range(20)]
    (tmp_path / "sums.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "sums.toml").write_text(
        'name = "sums"\n[task.sums]\nkind = "generate"\nitems = "sums.jsonl"\nchat = true\n'
        "[task.sums.sampling]\nmax_tokens = 10\ntemperature = 0.0\n"
    )
    (tmp_path / "prices.toml").write_text(PRICES)
    with scripted(lambda body, n: completion("4")) as server:
        arguments = (server.url, tmp_path / "sums.toml", "--out", tmp_path / "out", "-q")
        refused = run(*arguments, "--max-dollars", 1, code=1)
        assert "no price is known for model 'm'" in str(refused.exception) and not server.bodies
        priced = (*arguments, "--prices", tmp_path / "prices.toml")
        short = str(run(*priced, "--max-dollars", 0.3, code=1).exception)
        some = len(server.bodies)
        assert 0 < some < 20 and "requests unasked" in short and "what was answered is kept" in short
        enough = float(re.search(r"a limit of dollars ([\d.]+) surely covers them", short)[1])
        found = json.loads(run(*priced, "--max-dollars", enough, "--json").output)
        assert len(server.bodies) == 20 and found["tasks"][0]["estimate"]["n"] == 20
    entries = [json.loads(line) for line in (tmp_path / "out" / "ledger.jsonl").read_text().splitlines()]
    assert sum(entry["dollars"] for entry in entries) == pytest.approx(sum(entry["tokens"] for entry in entries) / 1000)
    assert sum(entry["tokens"] for entry in entries) == 20 * 12 and len(entries) == 2, "what was broken off counts"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere", "demo"), "nowhere: no such directory"),
        (("CHECKPOINT", "nothing"), "no published suite of that name"),
        (("CHECKPOINT", "sight"), "name the run that has it with --corpus"),
        (("CHECKPOINT", "SUITE", "--given", "texts"), "write NAME=FILE"),
        (("CHECKPOINT", "SUITE", "--given", "texts=a"), "takes no file called 'texts'"),
        (("CHECKPOINT", "SUITE", "--device", "tpu"), "give cpu or cuda"),
        (("CHECKPOINT", "SUITE", "--corpus", "nowhere"), "no artifact here"),
        (("http://127.0.0.1:9/v1", "SUITE"), "no server at"),
        (("CHECKPOINT", "SUITE", "--max-dollars", 2), "a checkpoint is paid nothing"),
    ],
)
def test_mistakes_are_one_line(checkpoint, suite, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    places = {"CHECKPOINT": checkpoint, "SUITE": suite}
    result = run(*[places.get(argument, argument) for argument in arguments], "-q", code=1)
    assert message in str(result.exception) and "\n" not in str(result.exception)


def test_help_has_examples():
    text = run("--help").output
    assert "orion eval runs/quickstart sight" in text and "--against" in text


def test_generations_are_drawn_with_their_intervals_and_expectation():
    points = [
        {
            "model": f"m{n}",
            "flops": 10.0**n,
            "estimate": {"value": 0.2 + n / 10, "low": 0.1 + n / 10, "high": 0.3 + n / 10},
        }
        for n in range(1, 5)
    ]
    task = {"task": "sums", "metric": "accuracy", "chance": 0.25, "blind": False, "points": points}
    expected = [{"compute": 10.0**n, "value": 0.2, "low": 0.1, "high": 0.3} for n in (1, 4)]
    plain, with_law = generations([task]), generations([task | {"expected": expected}])
    assert plain.startswith("<svg") and "sums" in plain and with_law.count("<path") > plain.count("<path")
    blind = generations([task | {"blind": True}])
    assert "at chance" in blind

from __future__ import annotations

import json

import pytest
import torch

from data.conftest import FakeContext, as_artifact
from evals.simulated import Simulated, choices, suite
from evals.test_sight import code, corpus
from orionlm.artifact import write_json
from orionlm.data.tokenizer import END_OF_TEXT, train_tokenizer
from orionlm.errors import UserError
from orionlm.evals import stage
from orionlm.evals.results import read
from orionlm.evals.run import evaluate
from orionlm.evals.sight import SightSettings
from orionlm.evals.statistics import mean
from orionlm.evals.trend import expectation, trend
from orionlm.model.checkpoint import save
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

SETTINGS = stage.Settings(sight=SightSettings(items=10, domain_bytes=1000, domains=1, document_bytes=300))


def write_model(folder, seed):
    tokenizer = train_tokenizer([code(n) for n in range(5)], 300)
    shape = Shape.from_width(32, vocabulary=300, context=256)
    torch.manual_seed(seed)
    folder.mkdir(parents=True)
    save(folder, dict(Transformer(shape).named_parameters()), shape, tokenizer.token_to_id(END_OF_TEXT))
    tokenizer.save(str(folder / "tokenizer.json"))
    return shape


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A corpus, a trained run, and a ladder that kept three models."""
    root = tmp_path_factory.mktemp("stage")
    (root / "corpus").mkdir()
    corpus(root / "corpus" / "validation.parquet")
    corpus(root / "corpus" / "train.parquet", ("three",))
    shape = write_model(root / "train", 0)
    write_json(root / "train" / "result.json", {"flops": 1e10, "params": shape.parameters})
    branches = []
    for n in range(3):
        write_model(root / "ladder" / "models" / f"d32-{n}", n)
        branches.append({"steps": n, "tokens": n, "flops": 10.0 ** (7 + n), "model": f"models/d32-{n}"})
    rungs = [{"run": "d32", "width": 32, "params": shape.parameters, "branches": branches}]
    write_json(root / "ladder" / "ladder.json", {"rungs": rungs})
    return {"corpus": as_artifact(root / "corpus"), "run": as_artifact(root / "train"),
            "ladder": as_artifact(root / "ladder")}  # fmt: skip


class Context(FakeContext):
    stage = "eval"


def test_every_model_is_evaluated_and_the_trend_along_compute_is_written(inputs, tmp_path):
    from orionlm.progress import Progress

    context = Context()
    context.progress = Progress(quiet=True)
    (tmp_path / "out").mkdir()
    stage.run(SETTINGS, inputs, tmp_path / "out", context)
    found = json.loads((tmp_path / "out" / "eval.json").read_text())["models"]
    assert [model["model"] for model in found] == ["d32-0", "d32-1", "d32-2", "run"]
    assert [model["flops"] for model in found] == [1e7, 1e8, 1e9, 1e10]
    trends = json.loads((tmp_path / "out" / "trend.json").read_text())["sight"]
    assert [line["task"] for line in trends] == ["text-one", "real-next-line", "real-middle"]
    for line in trends:
        assert line["verdict"] in ("yes", "no", "cannot tell") and len(line["points"]) == 4
        assert line["per_decade"]["low"] <= line["per_decade"]["value"] <= line["per_decade"]["high"]
    assert trends[1]["blind"] is not None and trends[0]["blind"] is None
    assert trends[0]["expected"] == [], "a text has no chance to rise from"
    for line in trends[1:]:
        assert [point["compute"] for point in line["expected"]][:: len(line["expected"]) - 1] == [1e7, 1e10]
        assert all(0 <= point["low"] <= point["value"] <= point["high"] <= 1 for point in line["expected"])
    assert {purpose["purpose"] for purpose in context.recorded} == {"eval"}
    assert read(tmp_path / "out" / "results" / "run" / "sight").rows
    assert found[0]["suites"][0]["clean"][0]["dirty"] >= 0
    asked = sum(entry["tokens"] for entry in context.recorded)
    again = Context()
    again.progress = context.progress
    stage.run(SETTINGS, inputs, tmp_path / "out", again)
    assert asked > 0 and not again.recorded, "what was answered is kept"


def test_one_run_has_scores_and_no_trend(inputs, tmp_path):
    from orionlm.progress import Progress

    context = Context()
    context.progress = Progress(quiet=True)
    (tmp_path / "out").mkdir()
    stage.run(SETTINGS, {name: inputs[name] for name in ("corpus", "run")}, tmp_path / "out", context)
    assert not (tmp_path / "out" / "trend.json").exists()
    assert len(json.loads((tmp_path / "out" / "eval.json").read_text())["models"]) == 1


def test_a_ladder_that_kept_no_models_says_what_to_set(tmp_path):
    (tmp_path / "ladder").mkdir()
    write_json(tmp_path / "ladder" / "ladder.json", {"rungs": [{"params": 1, "branches": [{"flops": 1.0}]}]})
    with pytest.raises(UserError, match="keep_models = true"):
        stage.found_models({"ladder": as_artifact(tmp_path / "ladder")})


def test_nothing_to_evaluate_and_nothing_to_ask_are_one_line(inputs):
    with pytest.raises(UserError, match="give run, a train stage, or ladder"):
        stage.found_models({"corpus": inputs["corpus"]})
    with pytest.raises(UserError, match="nothing to ask"):
        stage.suites(stage.Settings(sight=None), inputs["corpus"], 0)


def test_what_grows_with_compute_is_found_to_grow_and_what_does_not_is_not(tmp_path):
    task = choices(200)
    skills = {"growing": (0.5, 0.65, 0.8, 0.95), "flat": (0.7, 0.7, 0.7, 0.7), "falling": (0.95, 0.8, 0.65, 0.5)}
    found = {}
    for name, levels in skills.items():
        rows = [
            evaluate(suite(task), Simulated(f"{name}{n}", level), tmp_path / f"{name}{n}").rows
            for n, level in enumerate(levels)
        ]
        found[name] = trend([10.0**n for n in range(4)], rows, "choice")
    assert found["growing"].verdict == "yes"
    assert found["growing"].per_decade.value == pytest.approx(0.15, abs=0.04)
    assert found["flat"].per_decade.value == pytest.approx(0, abs=1e-9) and found["flat"].verdict != "yes"
    assert found["falling"].verdict == "no"


def test_what_is_expected_of_the_largest_does_not_know_its_score():
    def at(value):
        return mean([1.0] * round(200 * value) + [0.0] * round(200 * (1 - value)))

    flops, before = [1e9, 1e10, 1e11, 1e12], [at(value) for value in (0.3, 0.42, 0.58)]
    one, other = (expectation(flops, [*before, at(last)], 0.25) for last in (0.3, 0.7))
    assert one[-1].compute == 1e12 and 0.6 < one[-1].value < 0.8
    assert one[-1] == other[-1], "the largest model's error alone is used, and it is the same at 0.3 and 0.7"
    assert expectation(flops[1:], [*before[1:], at(0.7)], 0.25) == [], "two models promise nothing"


def test_one_amount_of_compute_has_no_trend(tmp_path):
    rows = evaluate(suite(choices(20)), Simulated(), tmp_path).rows
    assert trend([1.0, 1.0, 1.0], [rows, rows, rows], "choice") is None

from __future__ import annotations

import json

import pytest

from orionlm.errors import UserError
from orionlm.report.summary import summarize

NOTHING = dict.fromkeys(("predicted", "low", "high", "measured", "flops_ratio", "verdict"))


def test_a_finished_run_has_its_forecast_and_totals(whole, told):
    found = json.loads(json.dumps(summarize(whole), allow_nan=False))
    out = told["outcome"]["outcome.json"]
    assert found["forecast"] == {name: out[name] for name in NOTHING}
    assert found["forecast"]["verdict"] in ("inside", "outside")
    total = found["ledger"]["total"]
    assert (total["flops"], total["tokens"], total["seconds"]) == (3.005e14, 50_400_000, 256)
    assert total["dollars"] == pytest.approx(0.005) and total["utilization"] == pytest.approx(
        (150 * 0.31 + 90 * 0.35) / 240
    )
    assert list(found["ledger"]["by_purpose"]) == ["train", "eval", "data"]
    assert found["ledger"]["by_purpose"]["data"]["dollars"] is None
    assert {stage["state"] for stage in found["stages"]} == {"done"} and len(found["stages"]) == 5
    assert (found["run"], found["recipe"], found["seed"], found["drift"]) == ("whole", "small", 7, [])
    assert found["models"][0]["stage"] == "large"


def test_stages_are_done_unfinished_or_to_do(make, told):
    made = make()
    made.stage("corpus", "corpus", {})
    (made.path / "artifacts" / "ladder.partial").mkdir()
    found = summarize(made.path)
    assert [stage["state"] for stage in found["stages"]] == ["done", "unfinished", "to do", "to do", "to do"]
    assert found["forecast"] == NOTHING
    assert found["ledger"]["total"]["flops"] == 0 and found["ledger"]["by_purpose"] == {}


def test_a_forecast_without_its_run_has_no_verdict_yet(make, told):
    made = make()
    made.stage("ladder", "ladder", told["ladder"])
    made.stage("forecast", "forecast", told["forecast"])
    found = summarize(made.path)["forecast"]
    assert found["predicted"] == told["forecast"]["forecast.json"]["predicted"]
    assert found["measured"] is None and found["verdict"] is None


def test_a_refused_forecast_cannot_tell(make, told):
    made = make()
    said = {
        "verdict": "cannot tell",
        "why": "too small",
        "predicted": None,
        "low": None,
        "high": None,
        "flops_ratio": 4.0,
    }
    made.stage("forecast", "forecast", {"forecast.json": said})
    found = summarize(made.path)["forecast"]
    assert found == NOTHING | {"verdict": "cannot tell", "flops_ratio": 4.0}


def test_another_recipe_without_a_forecast_is_summed_up(make):
    made = make('name = "other"\n[stage.a]\nkind = "mystery"\n')
    made.stage("a", "mystery", {"x.json": {}})
    found = summarize(made.path)
    assert found["forecast"] == NOTHING and found["stages"] == [{"name": "a", "kind": "mystery", "state": "done"}]


def test_a_directory_that_is_no_run_is_one_line(tmp_path):
    with pytest.raises(UserError, match="not a run directory") as refused:
        summarize(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_damaged_drift_record_is_named(copied):
    (copied / "drift.jsonl").write_text("{}\n")
    with pytest.raises(UserError, match=r"drift\.jsonl: not a record"):
        summarize(copied)

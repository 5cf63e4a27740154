from __future__ import annotations

import json

import pytest

from orionlm.errors import UserError
from orionlm.gain.importers import import_runs


def test_a_trackers_history_becomes_one_row_a_run_at_its_last_step_with_a_loss(tmp_path):
    path = tmp_path / "wandb.csv"
    path.write_text(
        "Name,_step,config.params,train/tokens,eval/loss,Notes,acc\n"
        "a,10,1e6,1000,4.0,first,0.1\na,20,1e6,2000,3.5,first,0.2\na,30,1e6,3000,,first,\nb,20,2e6,2000,3.4,second,0.3\n"
    )
    table = import_runs(path)
    assert table["run"].tolist() == ["a", "b"] and table["loss"].tolist() == [3.5, 3.4]
    assert table["tokens"].tolist() == [2000, 2000] and table["acc"].tolist() == [0.2, 0.3]
    assert set(table["validation"]) == {"validation"} and "Notes" not in table.columns


def test_columns_of_any_name_are_mapped_and_facts_fill_what_is_missing(tmp_path):
    path = tmp_path / "export.csv"
    path.write_text("id,size,nll,global_step\nr1,1e6,3.0,100\nr2,2e6,2.9,100\n")
    table = import_runs(path, {"loss": "nll", "params": "size"}, {"tokens_per_step": "512", "lever": "muon"})
    assert table["tokens"].tolist() == [51200, 51200] and set(table["lever"]) == {"muon"}


def test_a_validation_loss_goes_before_a_training_loss_which_is_marked(tmp_path):
    path = tmp_path / "both.csv"
    path.write_text("Name,params,tokens,train/loss,val/loss\na,1e6,1e6,3.0,3.2\n")
    assert import_runs(path)["loss"].tolist() == [3.2]
    path.write_text("Name,params,tokens,train/loss\na,1e6,1e6,3.0\n")
    assert import_runs(path)["validation"].tolist() == ["training text"]


TITAN = """\x1b[32m[titan] 2025-01-01 00:00:00,123 - root - INFO - Training starts at step 1\x1b[39m
[rank0]:[titan] - root - INFO - \x1b[31mstep:  1  \x1b[32mloss: 12.2345  \x1b[33mmemory:  9.91GiB(10.4%)  tps: 1,234
[rank0]:[titan] - root - INFO - step: 1,000  loss:  4.1234  grad_norm:  1.2  memory: 9GiB  tps: 9,876  mfu: 38%
"""


def test_a_torchtitan_log_gives_its_last_step_and_prefers_its_validation(tmp_path):
    path = tmp_path / "muon.log"
    path.write_text(TITAN)
    facts = {"params": "1e8", "tokens_per_step": "65536", "lever": "muon"}
    row = import_runs(path, facts=facts).rows()[0]
    assert (row["run"], row["loss"], row["tokens"], row["lever"]) == ("muon", 4.1234, 65_536_000, "muon")
    assert row["validation"] == "training text"
    path.write_text(TITAN + "[titan] validate step:  900  loss:  4.2  memory: 9GiB  tps: 9\n")
    row = import_runs(path, facts=facts).rows()[0]
    assert (row["loss"], row["validation"]) == (4.2, "validation")


def test_a_trainer_state_gives_its_last_evaluation(tmp_path):
    path = tmp_path / "sft-7b" / "trainer_state.json"
    path.parent.mkdir()
    history = [
        {"step": 10, "loss": 2.0, "num_tokens": 4000},
        {"step": 20, "eval_loss": 1.9, "num_tokens": 8000},
        {"step": 20, "train_loss": 1.95, "train_runtime": 5.0},
    ]
    path.write_text(json.dumps({"global_step": 20, "log_history": history}))
    row = import_runs(path, facts={"params": "7e9"}).rows()[0]
    assert (row["run"], row["loss"], row["tokens"]) == ("sft-7b", 1.9, 8000)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.log", "nothing here", "no line like"),
        ("a.log", TITAN, "neither tokens nor flops"),
        ("a.json", "[]", "not a trainer_state"),
        ("a.json", "{", "not a trainer_state"),
        ("a.json", '{"log_history": []}', "neither eval_loss nor loss"),
        ("a.csv", "Name,params\n", "no rows"),
        ("a.csv", "Name,params,tokens\na,1,1\n", "no column of losses"),
        ("a.csv", "Name,tokens,loss\na,1,1\n", "says no params"),
        ("a.csv", "Name,params,tokens,loss\na,1,1,\n", "empty in every row"),
        ("a.csv", "Name,params,tokens,loss\na,-1,1,2\n", "positive, finite"),
    ],
)
def test_files_that_say_too_little_are_refused_in_one_line(tmp_path, name, text, words):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UserError, match=words) as failure:
        import_runs(path)
    assert "\n" not in str(failure.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path):
    with pytest.raises(UserError, match="no such file"):
        import_runs(tmp_path / "none.csv")
    (tmp_path / "bad.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not UTF-8"):
        import_runs(tmp_path / "bad.csv")
    (tmp_path / "a.csv").write_text("Name,loss\na,1\n")
    with pytest.raises(UserError, match="no column 'nll'"):
        import_runs(tmp_path / "a.csv", {"loss": "nll"})

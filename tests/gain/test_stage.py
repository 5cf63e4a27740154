"""Two ladders of one recipe, priced against each other."""

import json
from types import SimpleNamespace

import pytest

from gain.worlds import WIDTHS, ladder, table
from orionlm.artifact import Artifact
from orionlm.errors import UserError
from orionlm.gain import stage
from orionlm.gain.runs import join, read_runs, write_runs
from orionlm.report.levers import lever_views


def as_ladder(path, rows):
    path.mkdir()
    write_runs(path / "runs.csv", table([row | {"run": f"d{row['scale']}"} for row in rows]))
    return Artifact(path, "ladder", {"files": {"runs.csv": ""}}, path.name)


@pytest.fixture
def inputs(tmp_path):
    return {
        "baseline": as_ladder(tmp_path / "plain", ladder(noise=0.003)),
        "lever": as_ladder(tmp_path / "curated", ladder("curated", 2.0, noise=0.003)),
    }


def go(inputs, out, **settings):
    out.mkdir()
    lines = []
    context = SimpleNamespace(stage="gain", seed=0, progress=SimpleNamespace(say=lines.append))
    stage.run(stage.Settings(**settings), inputs, out, context)
    return json.loads((out / "gain.json").read_text()), lines


def test_the_lever_is_priced_against_the_other_ladder_and_said(inputs, tmp_path):
    page, [line] = go(inputs, tmp_path / "out")
    [gain] = page["gains"]
    assert gain["lever"] == "curated" and gain["runs"] == len(WIDTHS)
    assert gain["net"]["low"] < 2.0 < gain["net"]["high"] < 3.0
    assert line.startswith("gain: curated: helps, ×") and line.endswith("of the plain recipe's compute")
    assert page["recommendation"]["step"] == "curated"
    joined = read_runs(tmp_path / "out" / "runs.csv")
    assert len(joined) == 2 * len(read_runs(inputs["baseline"].file("runs.csv")))
    assert len(set(joined["run"])) == 2 * len(WIDTHS)


def test_what_the_lever_itself_cost_is_taken_off(inputs, tmp_path):
    [free] = go(inputs, tmp_path / "free")[0]["gains"]
    [dear] = go(inputs, tmp_path / "dear", own_flops=4e12)[0]["gains"]
    assert dear["net"]["value"] == pytest.approx(free["net"]["value"] / 2, rel=0.01)
    assert dear["fresh"] == free["fresh"]


def test_ladders_that_do_not_say_what_they_are_are_named(inputs, tmp_path):
    with pytest.raises(UserError, match="inputs.baseline: its ladder has lever = 'curated'"):
        go(inputs | {"baseline": inputs["lever"]}, tmp_path / "one")
    with pytest.raises(UserError, match="inputs.lever: its ladder does not say what was changed; .* lever = 'NAME'"):
        go(inputs | {"lever": inputs["baseline"]}, tmp_path / "two")


def test_runs_of_one_name_in_two_tables_stay_two_runs():
    part = table(ladder(widths=WIDTHS[:2]))
    joined = join([part, part, part])
    assert len(joined) == 3 * len(part) and len(set(joined["run"])) == 3 * 2
    assert (joined["bits_per_byte"][: len(part)] == part["bits_per_byte"]).all()


def test_the_report_has_a_row_a_lever(inputs, tmp_path):
    page, _ = go(inputs, tmp_path / "out")
    done = SimpleNamespace(name="gain", json=lambda file: page)
    ahead = SimpleNamespace(name="later", json=lambda file: None)
    [view] = lever_views(SimpleNamespace(of_kind=lambda kind: [done, ahead] if kind == "gain" else []))
    [row] = view["rows"]
    assert row["lever"] == "curated" and row["verdict"] == "helps" and row["net"].startswith("×")
    assert view["says"].startswith("pull 'curated'")

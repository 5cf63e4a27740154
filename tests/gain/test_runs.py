from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable, read_runs, write_runs

ROWS = [
    {
        "run": "a",
        "lever": "",
        "scale": "d48",
        "params": 2e5,
        "tokens": 1e6,
        "bits_per_byte": 2.1,
        "seed": 0,
        "induction": 0.4,
    },
    {
        "run": "a",
        "lever": "",
        "scale": "d48",
        "params": 2e5,
        "tokens": 2e6,
        "bits_per_byte": 2.0,
        "seed": 0,
        "induction": None,
    },
]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_survives_being_written_and_read(tmp_path, ending):
    table = RunTable.from_rows(ROWS)
    write_runs(tmp_path / f"runs.{ending}", table)
    again = read_runs(tmp_path / f"runs.{ending}")
    assert again.rows() == table.rows() and again.metric == "bits_per_byte"
    assert again["flops"].tolist() == [1.2e12, 2.4e12] and np.isnan(again["induction"][1])


def test_a_minimal_table_of_params_flops_and_loss_is_enough(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("\ufeffparams, flops ,loss\n1e9,6e19,2.5\n2e9,6e19,2.4\n", encoding="utf-8")
    points = read_runs(path).points()
    assert points.tokens.tolist() == [1e10, 5e9] and points.unit == "loss"
    assert len(set(points.run)) == 2


def test_active_parameters_are_what_laws_see():
    table = RunTable.from_rows([{"params": 8e9, "active_params": 1e9, "tokens": 1e10, "loss": 2.0}])
    assert table.points().params.tolist() == [1e9] and table["flops"].tolist() == [6e19]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("params,loss\n1e9,2\n", "tokens or flops"),
        ("tokens,loss\n1e9,2\n", "needs a column params"),
        ("params,tokens\n1e9,2\n", "loss or bits_per_byte"),
        ("params,tokens,loss\n", "no runs"),
        ("", "needs a column params"),
        ("params,tokens,loss\n1e9,many,2\n", "row 1, tokens = 'many' is not a number"),
        ("params,tokens,loss\n1e9,1e9,2\n1e9,-5,2\n", "row 2, tokens = -5 must be a positive"),
        ("params,tokens,loss\n1e9,0,2\n", "must be a positive"),
        ("params,tokens,loss\n1e9,inf,2\n", "must be a positive"),
        ("params,tokens,loss\n,1e9,2\n", "row 1 has no params"),
        ("params,tokens,loss\n1e9,,2\n", "neither tokens nor flops"),
        ("params,tokens,loss\n1e9,1e9,2,7\n", "more fields"),
        ("params,params,tokens,loss\n1,2,3,4\n", "stands twice"),
        ("params,active_params,tokens,loss\n1e9,2e9,3,4\n", "more active_params"),
    ],
)
def test_a_table_amiss_is_one_clear_line(tmp_path, text, words):
    path = tmp_path / "runs.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words) as caught:
        read_runs(path)
    assert "\n" not in str(caught.value)


def test_files_that_are_no_tables_are_named(tmp_path):
    for name, content in (("runs.parquet", b"PAR1 not so"), ("runs.csv", b"\xff\xfe\x00params")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            read_runs(tmp_path / name)
    with pytest.raises(UserError, match="no such file"):
        read_runs(tmp_path / "none.csv")


def test_losses_at_mixed_vocabularies_need_bits_per_byte():
    rows = [{"params": 1e6, "tokens": 1e7, "loss": 3.0, "vocabulary": v} for v in (1024, 2048)]
    with pytest.raises(UserError, match="mixes vocabularies"):
        RunTable.from_rows(rows).points()
    filled = [row | {"bits_per_byte": 2.0} for row in rows]
    assert RunTable.from_rows(filled).points().unit == "bits_per_byte"


def test_a_loss_missing_in_one_row_is_not_passed_over():
    with pytest.raises(UserError, match="neither bits_per_byte nor loss"):
        RunTable.from_rows([{"params": 1e6, "tokens": 1e7, "loss": v} for v in (3.0, None)]).points()


def test_columns_of_text_beside_the_schema_are_left_out():
    table = RunTable.from_rows([ROWS[0] | {"note": "good", "accuracy": 0.5}])
    assert "note" not in table.columns and table["accuracy"].tolist() == [0.5]
    with pytest.raises(UserError, match="no column 'note'"):
        table["note"]


@given(st.lists(st.tuples(st.floats(1, 1e15), st.floats(1, 1e15), st.floats(1e-3, 50)), min_size=1, max_size=8))
def test_flops_tokens_and_params_always_agree(rows):
    table = RunTable.from_rows([{"params": n, "tokens": d, "loss": y} for n, d, y in rows])
    again = RunTable.from_rows([{"params": r["params"], "flops": r["flops"], "loss": r["loss"]} for r in table.rows()])
    np.testing.assert_allclose(again["tokens"], table["tokens"], rtol=1e-12)


def test_losses_on_different_validation_data_do_not_compare():
    rows = [{"params": 1e6, "tokens": 1e7, "loss": 3.0, "validation": name} for name in ("wiki", "code")]
    with pytest.raises(UserError, match=r"different data do not compare \(code, wiki\)"):
        RunTable.from_rows(rows).points()

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.synth.rows import Row, read_rows, row_files, write_rows

TEXT = st.text(st.characters(codec="utf-8"), max_size=30)
ROWS = st.builds(
    Row, text=TEXT, method=TEXT, seeds=st.lists(TEXT, max_size=3).map(tuple), depth=st.integers(0, 9), prompt=TEXT,
    scores=st.dictionaries(TEXT, st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    verdicts=st.dictionaries(TEXT, TEXT, max_size=3),
    more=st.dictionaries(TEXT, st.recursive(TEXT | st.integers(), st.lists), max_size=2),
)  # fmt: skip


@given(rows=st.lists(ROWS, max_size=5))
def test_rows_come_back_as_they_were(rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    assert write_rows(folder, rows) == len(rows)
    assert list(read_rows(row_files(folder))) == rows


def test_the_id_changes_with_what_a_row_came_from_and_not_with_what_was_found_of_it():
    row = Row("text", "method", seeds=("a",), teacher="t", revision="1")
    assert row.judged("length", "too short", words=3.0).id == row.id
    others = [Row("text", "method", seeds=("b",), teacher="t", revision="1"), Row("text", "method", seeds=("a",))]
    assert len({row.id, *(other.id for other in others)}) == 3


def test_the_first_check_that_fails_is_why_a_row_goes():
    row = Row("text", "m").judged("one").judged("two", "bad", x=1.0).judged("three", "worse")
    assert row.error == "two: bad" and dict(row.verdicts) == {"one": "", "two": "bad", "three": "worse"}
    assert dict(row.scores) == {"x": 1.0}


def test_the_same_rows_are_the_same_bytes(tmp_path):
    rows = [Row(f"text {n}", "m", scores={"b": 1.0, "a": 2.0}) for n in range(100)]
    for name in ("one", "two"):
        write_rows(tmp_path / name, rows)
    files = [row_files(tmp_path / name)[0].read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]


@pytest.mark.parametrize(
    ("column", "value"),
    [("text", None), ("verdicts", "{"), ("scores", "[1]"), ("more", "null"), ("seeds", '{"a": 1}'), ("depth", "deep")],
)
def test_rows_that_somebody_else_wrote_are_one_line_and_no_guess(tmp_path, column, value):
    write_rows(tmp_path, [Row("text", "m")])
    (file,) = row_files(tmp_path)
    table = pq.read_table(file)
    pq.write_table(table.set_column(table.column_names.index(column), column, pa.array([value], pa.string())), file)
    with pytest.raises(
        UserError, match=f"rows-00000.parquet: not rows as Orion writes them: see its column '{column}'"
    ):
        list(read_rows([file]))
    pq.write_table(table.drop_columns(column), file)
    with pytest.raises(UserError, match=f"no column '{column}'"):
        list(read_rows([file]))

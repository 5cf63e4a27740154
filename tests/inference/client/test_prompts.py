from __future__ import annotations

import gzip
import json

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.inference.client.prompts import (
    Columns,
    Form,
    check_writable,
    read_prompts,
    write_responses,
)
from orionlm.sampling import Sampling

ROWS = [
    {"prompt": "one", "topic": "a", "n": 1},
    {"id": "x", "messages": [{"role": "user", "content": "two"}], "max_tokens": 5, "seed": 2},
]


@pytest.mark.parametrize("ending", ["jsonl", "jsonl.gz", "json", "parquet"])
def test_each_form_of_file_gives_the_same_rows(tmp_path, ending):
    path = tmp_path / f"p.{ending}"
    lines = "\n".join(map(json.dumps, ROWS)).encode()
    if ending == "parquet":
        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), path)
        columns = set(ROWS[0]) | set(ROWS[1])
        pyarrow.parquet.write_table(
            pyarrow.Table.from_pylist([{name: row.get(name) for name in sorted(columns)} for row in ROWS]), path
        )
    else:
        path.write_bytes({"jsonl": lines, "jsonl.gz": gzip.compress(lines), "json": json.dumps(ROWS).encode()}[ending])
    one, two = read_prompts(path)
    assert (one.id, one.prompt, dict(one.carried), one.error) == (1, "one", {"topic": "a", "n": 1}, "")
    assert two.id == "x" and two.messages[0]["content"] == "two" and two.sampling == {"max_tokens": 5, "seed": 2}


def test_a_text_file_is_a_prompt_a_line(tmp_path):
    (tmp_path / "p.txt").write_bytes("\ufeffGrüße\r\n\nx \xe9\n".encode() + b"\xff\n")
    rows = list(read_prompts(tmp_path / "p.txt"))
    assert [row.prompt for row in rows if not row.error] == ["Grüße", "x é"]
    assert [row.error for row in rows if row.error] == ["row 2: prompt is empty", rows[3].error]
    assert "UTF-8" in rows[3].error


BAD = [
    "not json",
    "[1, 2]",
    "null",
    "{}",
    '{"prompt": ""}',
    '{"prompt": 3}',
    '{"prompt": "a", "messages": []}',
    '{"messages": "hello"}',
    '{"messages": []}',
    '{"messages": [{"role": "user"}]}',
    '{"prompt": "a", "temperature": "hot"}',
    '{"prompt": "a", "max_tokens": -1}',
    '{"prompt": "a", "seed": 1.5}',
    '{"prompt": "\\ud800"}',
    "[" * 100_000,
    '{"prompt": NaN}',
]


def test_a_bad_row_is_named_and_stops_no_other(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text("\n".join(line + '\n{"prompt": "good"}' for line in BAD))
    rows = list(read_prompts(path))
    assert [row.prompt for row in rows[1::2]] == ["good"] * len(BAD)
    for number, row in enumerate(rows[::2]):
        assert row.error.startswith(f"row {2 * number + 1}: ") and "\n" not in row.error, BAD[number]


@pytest.mark.parametrize(
    "name, content, said",
    [
        ("p.csv", b"prompt\n", ".jsonl"),
        ("p.jsonl.gz", b"not gzip", "gzip"),
        ("p.jsonl.gz", gzip.compress(b"{}" * 1000)[:20], "gzip"),
        ("p.parquet", b"PAR1 nonsense", "Parquet"),
        ("p.json", b"{}", "list"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_line(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said) as refused:
        list(read_prompts(tmp_path / name))
    assert "\n" not in str(refused.value)


def test_a_row_goes_before_the_command_line(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "a", "temperature": 0}\n{"prompt": "a"}')
    form = Form("m", Sampling(max_tokens=9, temperature=0.7), system="Be kind.")
    one, two = (form.request(row, 0) for row in read_prompts(tmp_path / "p.jsonl"))
    assert one.sampling.temperature == 0 and two.sampling.temperature == 0.7 and one.max_tokens == 9
    assert [message["role"] for message in one.messages] == ["system", "user"]
    raw = Form("m", Sampling(), raw=True).request(next(read_prompts(tmp_path / "p.jsonl")), 0)
    assert raw.prompt == "a" and raw.messages is None


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_what_is_carried_keeps_its_type(tmp_path, ending):
    carried = [
        {"prompt": "a", "whole": 1, "mixed": 1, "real": 1, "yes": True, "list": [1], "model": "theirs", "huge": 2**70},
        {"prompt": "b", "whole": 2, "mixed": "x", "real": 1.5, "id": "second"},
    ]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, carried)))
    rows, columns = list(read_prompts(tmp_path / "p.jsonl")), Columns()
    for row in rows:
        columns.see(row)
    out = tmp_path / f"o.{ending}"
    written = [columns.carry(row) | {"sample": 0, "response": "r", "model": "m"} for row in rows]
    assert write_responses(out, columns, iter(written)) == 2
    if ending == "parquet":
        table = pyarrow.parquet.read_table(out)
        kinds = {name: str(table.schema.field(name).type) for name in table.schema.names}
        assert kinds["whole"] == "int64" and kinds["real"] == "double" and kinds["yes"] == "bool"
        first, second = table.to_pylist()
        assert (first["mixed"], second["mixed"], first["list"]) == ("1", "x", "[1]")
        assert (first["id"], second["id"], first["huge"]) == ("1", "second", str(2**70))
        assert second["yes"] is None
    else:
        first, second = (json.loads(line) for line in out.read_text().splitlines())
        assert (first["mixed"], second["mixed"], first["list"]) == (1, "x", [1])
        assert (first["id"], second["id"]) == (1, "second")
    assert first["model"] == "m" and first["input_model"] == "theirs" and first["whole"] == 1


def test_a_write_that_fails_leaves_the_old_file(tmp_path):
    out, columns = tmp_path / "o.parquet", Columns()
    write_responses(out, columns, [{"id": "1"}])
    before = out.read_bytes()

    def rows():
        yield {"id": "1"}
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_responses(out, columns, rows())
    assert out.read_bytes() == before and [path.name for path in tmp_path.iterdir()] == ["o.parquet"]


@pytest.mark.parametrize(
    "name, said", [("o.csv", ".parquet"), ("none/o.jsonl", "no directory"), ("d.jsonl", "directory")]
)
def test_where_nothing_can_be_written_is_said_first(tmp_path, name, said):
    (tmp_path / "d.jsonl").mkdir()
    with pytest.raises(UserError, match=said):
        check_writable(tmp_path / name)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["prompt", "messages", "id", "seed", "a", "key"]), JSON), max_size=8)
)
def test_any_rows_can_be_read_and_written(tmp_path_factory, rows):
    directory = tmp_path_factory.mktemp("any")
    text = "\n".join(json.dumps(row) for row in rows)
    (directory / "p.jsonl").write_text(text)
    found, columns = list(read_prompts(directory / "p.jsonl")), Columns()
    assert len(found) == len(rows)
    for row in found:
        columns.see(row)
    for name in ("o.parquet", "o.jsonl"):
        assert write_responses(directory / name, columns, (columns.carry(row) for row in found)) == len(rows)
    assert pyarrow.parquet.read_table(directory / "o.parquet").num_rows == len(rows)


def test_a_gzip_file_with_a_damaged_middle_is_one_line(tmp_path):
    whole = bytearray(gzip.compress("".join(json.dumps({"prompt": str(n**5)}) + "\n" for n in range(5000)).encode()))
    whole[12:40] = b"\xff" * 28
    (tmp_path / "p.jsonl.gz").write_bytes(whole)
    with pytest.raises(UserError, match="not a whole gzip file"):
        list(read_prompts(tmp_path / "p.jsonl.gz"))

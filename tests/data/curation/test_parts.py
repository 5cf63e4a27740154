"""A part is small in text and in documents."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from orionlm.data.curation import parts as module
from orionlm.data.curation.parts import parts, read


def test_many_short_documents_are_cut_too_and_none_is_lost(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "PART_ROWS", 100)
    texts = [f"t{n}" for n in range(1000)]
    pq.write_table(pa.table({"text": texts}), tmp_path / "rows.parquet", row_group_size=40)
    found = parts([tmp_path / "rows.parquet"])
    assert [len(part.row_groups) for part in found] == [3] * 8 + [1]
    tables = [table for part in found for table in read(part)]
    assert [text for table in tables for text in table.column("text").to_pylist()] == texts
    assert tables[-1].column("id").to_pylist()[-1].endswith(":1000")

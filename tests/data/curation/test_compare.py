"""What stays in the stead of a copy."""

from __future__ import annotations

import random

import pyarrow as pa
import pyarrow.parquet as pq

from orionlm.data.curation.curate import Settings, curate
from orionlm.data.curation.parts import parts


def test_the_copy_of_a_copy_names_what_really_stays(tmp_path):
    draw = random.Random(1)
    short = " ".join(f"w{draw.randrange(9999)}" for _ in range(200))
    rows = {"id": ["short", "again", "long"], "text": [short, short, short + " x"], "domain": ["web", "code", "web"]}
    pq.write_table(pa.table(rows), tmp_path / "rows.parquet")
    settings = Settings.model_validate({"near_copies": {"domains": ["web"], "keep": "longest"}})
    curate(parts([tmp_path / "rows.parquet"]), settings.steps(), tmp_path / "out")
    told = pq.read_table(tmp_path / "out/verdicts-00000.parquet").to_pydict()
    assert dict(zip(told["id"], told["copy_of"], strict=True)) == {"short": "long", "again": "long", "long": None}

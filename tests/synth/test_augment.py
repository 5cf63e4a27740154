import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.artifact import Artifact
from orionlm.data.documents import Document
from orionlm.data.subset import write_corpus
from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.recipe.context import Context
from orionlm.synth.augment import Settings, guard, run
from orionlm.synth.rows import Row, write_rows

ROWS = st.lists(
    st.builds(Row, text=st.text("ab", min_size=1, max_size=50), method=st.just("m"), depth=st.integers(1, 4),
              key=st.integers().map(str), error=st.sampled_from(["", "", "too short"])),
    max_size=30, unique_by=lambda row: row.id,
)  # fmt: skip


@given(ROWS, st.integers(0, 500), st.floats(0.1, 0.9), st.integers(1, 3), st.integers(0, 200))
def test_the_real_share_the_depth_and_every_row_are_accounted_for(rows, real, share, depth, earlier):
    kept, left_out = guard(rows, real, Settings(real_share=share, max_depth=depth), earlier)
    written = sum(len(row.text.encode()) for row in kept)
    assert not kept or real >= share * (real + earlier + written) - 1e-6
    assert all(row.depth <= depth and not row.error for row in kept)
    assert len(kept) + left_out.total() == len(rows)
    assert kept == [row for row in rows if row in kept]


def test_what_is_left_out_does_not_depend_on_the_order_of_the_rows():
    rows = [Row(f"text {n}", "m") for n in range(50)]
    some, why = guard(rows, 200, Settings())
    others, _ = guard(rows[::-1], 200, Settings())
    assert {row.id for row in some} == {row.id for row in others} and 0 < len(some) < 50
    assert why == Counter({"past real_share = 0.5": 50 - len(some)})


def test_what_an_earlier_round_added_does_not_count_as_real(tmp_path):
    """Two rounds, each with as much synthetic text as there is real: half of it may stay, whatever the rounds."""

    def folder(name, *files):
        (tmp_path / name).mkdir(exist_ok=True)
        return Artifact(tmp_path / name, "corpus", {"files": dict.fromkeys(files)}, "")

    def admitted(name):
        rows = folder(name, "gate.json")
        write_rows(rows.path, [Row(f"{name} row {n:02}", "m", key=f"{n}") for n in range(10)])
        (rows.path / "gate.json").write_text(json.dumps({"verdict": "admitted", "faults": []}))
        return rows

    context = Context("augment", 1, tmp_path, Progress(quiet=True))
    corpus = folder("corpus", "corpus.json")
    real = [Document("x" * 100, "s", "g", "d")]
    write_corpus(corpus.path, real, corpus, {"validation": {"documents": 0, "bytes": 0}})
    once = folder("once", "corpus.json")
    run(Settings(real_share=0.5), {"corpus": corpus, "rows": admitted("first")}, once.path, context)
    assert json.loads((once.path / "augment.json").read_text())["real_share"] >= 0.5
    twice = folder("twice")
    with pytest.raises(UserError, match="none may enter"):
        run(Settings(real_share=0.5), {"corpus": once, "rows": admitted("other")}, twice.path, context)
    run(Settings(real_share=0.4), {"corpus": once, "rows": admitted("other")}, twice.path, context)
    page = json.loads((twice.path / "augment.json").read_text())
    assert page["real_bytes"] == 100 and page["earlier_bytes"] > 80 and 0.4 <= page["real_share"] < 0.5

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.augment import Settings, guard
from orionlm.synth.rows import Row

ROWS = st.lists(
    st.builds(Row, text=st.text("ab", min_size=1, max_size=50), method=st.just("m"), depth=st.integers(1, 4),
              key=st.integers().map(str), error=st.sampled_from(["", "", "too short"])),
    max_size=30, unique_by=lambda row: row.id,
)  # fmt: skip


@given(ROWS, st.integers(0, 500), st.floats(0.1, 0.9), st.integers(1, 3))
def test_the_real_share_the_depth_and_every_row_are_accounted_for(rows, real, share, depth):
    kept, left_out = guard(rows, real, Settings(real_share=share, max_depth=depth))
    written = sum(len(row.text.encode()) for row in kept)
    assert real >= share * (real + written) - 1e-6
    assert all(row.depth <= depth and not row.error for row in kept)
    assert len(kept) + left_out.total() == len(rows)
    assert kept == [row for row in rows if row in kept]


def test_what_is_left_out_does_not_depend_on_the_order_of_the_rows():
    rows = [Row(f"text {n}", "m") for n in range(50)]
    some, why = guard(rows, 200, Settings())
    others, _ = guard(rows[::-1], 200, Settings())
    assert {row.id for row in some} == {row.id for row in others} and 0 < len(some) < 50
    assert why == Counter({"past real_share = 0.5": 50 - len(some)})

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.ledger import FLOPS_KINDS, PURPOSES, Entry, Ledger, totals


def test_entries_read_back_as_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    assert ledger.entries() == []
    written = [
        ledger.record("ladder", "train", flops=1e12, tokens=1000, seconds=2.5, utilization=0.3),
        ledger.record("ladder", "teacher", flops_kind="unknown", dollars=0.02, dollars_source="price list"),
    ]
    assert ledger.entries() == written


@pytest.mark.parametrize("cut", [1, 5, 60])
def test_a_torn_last_line_is_passed_over_and_repaired_by_the_next_entry(tmp_path, cut):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    first = ledger.record("a", "train", flops=1.0)
    ledger.record("a", "train", flops=2.0)
    os.truncate(ledger.path, ledger.path.stat().st_size - cut)
    if cut > 1:
        assert ledger.entries() == [first]
    third = ledger.record("a", "eval", flops=3.0)
    assert ledger.entries()[0] == first
    assert ledger.entries()[-1] == third
    assert len(ledger.entries()) == (3 if cut == 1 else 2)


def test_damage_before_the_end_is_named_by_line(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    ledger.record("a", "train")
    with open(ledger.path, "a") as file:
        file.write("rubbish\n")
    ledger.record("a", "train")
    with pytest.raises(UserError, match=r"ledger.jsonl:2: not a ledger entry"):
        ledger.entries()


def test_a_full_disk_leaves_the_entries_before_it_whole(tmp_path, monkeypatch):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    first = ledger.record("a", "train")
    genuine = os.pwrite

    def half(descriptor, line, offset):
        genuine(descriptor, line[: len(line) // 2], offset)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", half)
        with pytest.raises(OSError, match="No space left"):
            ledger.record("a", "train")
    assert ledger.path.read_bytes().endswith(b"\n")
    assert ledger.entries() == [first]


def test_writers_at_the_same_time_lose_nothing(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: ledger.record("a", "train", tokens=n), range(100)))
    assert sorted(entry.tokens for entry in ledger.entries()) == list(range(100))


def test_dollars_need_a_source_and_purposes_are_known_ones(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl")
    with pytest.raises(AssertionError):
        ledger.record("a", "train", dollars=1.0)
    with pytest.raises(AssertionError):
        ledger.record("a", "fun")
    assert not ledger.path.exists()


numbers = st.floats(0, 1e20)
entries = st.builds(
    Entry,
    time=st.just("2026-01-01T00:00:00.000+00:00"),
    stage=st.sampled_from("abc"),
    purpose=st.sampled_from(PURPOSES),
    flops=numbers,
    flops_kind=st.sampled_from(FLOPS_KINDS),
    tokens=st.integers(0, 10**15),
    seconds=numbers,
    utilization=st.none() | st.floats(0, 1),
    dollars=st.none() | numbers,
    dollars_source=st.just("list"),
)


@given(st.lists(entries, max_size=20))
def test_totals_spend_neither_more_nor_less_than_the_entries(found):
    for by in [("purpose",), ("stage", "purpose"), ()]:
        rows = totals(found, by)
        for field in ("flops", "tokens", "seconds"):
            spent = sum(getattr(entry, field) for entry in found)
            assert sum(row[field] for row in rows) == pytest.approx(spent)
        assert sum(row["entries"] for row in rows) == len(found)
        assert sum(row["dollars"] or 0 for row in rows) == pytest.approx(sum(entry.dollars or 0 for entry in found))
        assert all(row["utilization"] is None or -1e-9 <= row["utilization"] <= 1 + 1e-9 for row in rows)


def test_totals_say_when_flops_are_uncertain_or_dollars_unknown():
    counted = Entry("t", "a", "train", flops=2.0, seconds=1.0, utilization=0.2)
    guessed = Entry("t", "a", "train", flops=1.0, flops_kind="estimated", seconds=3.0, utilization=0.4)
    (row,) = totals([counted, guessed])
    assert (row["flops"], row["flops_kind"], row["dollars"]) == (3.0, "estimated", None)
    assert row["utilization"] == pytest.approx(0.35)

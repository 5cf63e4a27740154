from __future__ import annotations

import datetime

import pytest

from orionlm.errors import UserError
from orionlm.plan.accelerators import find, load, year

ROW = """
[[accelerator]]
name = "{name}"
released = 2026-03-01
bf16 = {bf16}
memory = 100e9
bandwidth = 4e12
power = 800
{more}
source = "a datasheet, 2026"
"""


def test_the_built_in_table_has_every_chip_and_its_peaks():
    table = load()
    peaks = {"A100": 312, "H100": 989, "H200": 989, "B200": 2250, "GB200": 2500, "TPU v4": 275, "TPU v5e": 197,
             "TPU v5p": 459, "TPU v6e": 918, "Ironwood": 2307,
             "MI300X": 1307, "MI355X": 2500, "Trainium2": 667}  # fmt: skip
    assert {name: round(table[name].bf16 / 1e12) for name in peaks} == peaks
    assert table["H100"].fp8 == 1979e12 and table["A100"].fp8 is None and table["H100"].rent.median == 2.35
    for row in table.values():
        assert 2016 < row.released < 2027 and any(ch.isdigit() for ch in row.source) and row.power < 2000


@pytest.mark.parametrize(("said", "meant"), [
    ("h100", "H100"), ("H100-SXM", "H100"), ("NVIDIA A100", "A100"),
    ("tpu V5P", "TPU v5p"), ("TPU v7", "Ironwood"), ("trillium", "TPU v6e"),
])  # fmt: skip
def test_names_are_found_whatever_their_case_and_hyphens(said, meant):
    assert find(said, load()).name == meant


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(UserError, match="did you mean H100"):
        find("H10", load())
    with pytest.raises(UserError, match="known: A100"):
        find("abacus of wood", load())


def test_a_users_file_adds_and_replaces(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(
        ROW.format(name="h100", bf16="900e12", more='rent = "$1.5"') + ROW.format(name="X1", bf16="5e15", more="")
    )
    table = load(path)
    assert find("H100", table).bf16 == 900e12 and find("H100", table).rent.median == 1.5 and "X1" in table
    assert len(table) == len(load()) + 1 and load()["H100"].bf16 == 989e12


@pytest.mark.parametrize(("bf16", "more", "said"), [
    ("989", "", "at least"), ("989e12", 'rent = "2"', "unit is missing"), ("-1", "", "bf16"),
    ("1e15", "fp16 = 1", "fp16"),
    ("1e15", 'estimated = ["powr"]', "did you mean power"), ("1e15", 'rent = "$-3"', "positive"),
])  # fmt: skip
def test_mistakes_name_line_and_field(tmp_path, bf16, more, said):
    path = tmp_path / "own.toml"
    path.write_text(ROW.format(name="X1", bf16=bf16, more=more))
    with pytest.raises(UserError, match=said) as caught:
        load(path)
    assert "own.toml:" in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_twice_in_one_file_is_a_mistake(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(ROW.format(name="X1", bf16="1e15", more="") + ROW.format(name="x-1", bf16="1e15", more=""))
    with pytest.raises(UserError, match="twice"):
        load(path)


def test_fp8_where_there_is_none():
    assert load()["H100"].peak("fp8") == 1979e12
    with pytest.raises(UserError, match="no fp8"):
        load()["A100"].peak("fp8")


def test_dates_become_decimal_years():
    assert year(datetime.date(2024, 1, 1)) == 2024 and year(datetime.date(2024, 12, 31)) == pytest.approx(
        2024 + 365 / 366
    )

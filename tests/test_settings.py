from __future__ import annotations

import time
import tomllib
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.errors import UserError
from orionlm.settings import dotted, parse_toml, read_toml, to_toml, validate


class Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Strict):
    glob: str
    weight: float = Field(1.0, gt=0)


class Ladder(Strict):
    largest_flops: float = Field(4e12, gt=0)
    widths: tuple[int, ...] = (48, 64)
    optimizer: Literal["muon", "adamw"] = "muon"
    sources: list[Source] = []
    share: float | None = None
    threads: int | Literal["auto"] = "auto"
    resume: bool = True
    names: list[str] = Field([], max_length=2)

    @field_validator("widths")
    @classmethod
    def _even(cls, widths):
        if any(width % 2 for width in widths):
            raise ValueError("widths must be even")
        return widths


def check(body: str) -> Ladder:
    document = parse_toml(f"# a comment\n[stage.ladder]\n{body}\n", "r.toml")
    return validate(Ladder, document.values["stage"]["ladder"], document, ("stage", "ladder"))


def refusal(body: str) -> str:
    with pytest.raises(UserError) as error:
        check(body)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_good_settings_are_read_with_lists_for_tuples_and_whole_numbers_for_fractions():
    ladder = check('largest_flops = 4\nwidths = [2, 4]\nthreads = 3\nsources = [{ glob = "x", weight = 2 }]')
    assert (ladder.largest_flops, ladder.widths, ladder.threads) == (4.0, (2, 4), 3)
    assert ladder.sources == [Source(glob="x", weight=2.0)]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "\nlargest_flop = 1e12",
            "r.toml:4: stage.ladder.largest_flop: unknown key, did you mean largest_flops?",
        ),
        (
            'largest_flops = "1e12"',
            'r.toml:3: stage.ladder.largest_flops: "1e12": expected a number: remove the quotes',
        ),
        ("largest_flops = true", "r.toml:3: stage.ladder.largest_flops: true: expected a number"),
        ("largest_flops = -1.0", "r.toml:3: stage.ladder.largest_flops: -1.0: expected more than 0"),
        (
            "largest_flops = nan",
            "r.toml:3: stage.ladder.largest_flops: nan is no usable number: write a finite one",
        ),
        (
            "largest_flops = inf",
            "r.toml:3: stage.ladder.largest_flops: inf is no usable number: write a finite one",
        ),
        (
            "widths = [\n  48,\n  64.0,\n]",
            "r.toml:5: stage.ladder.widths[1]: 64.0: expected a whole number: write 64",
        ),
        ("widths = 48", "r.toml:3: stage.ladder.widths: 48: expected a list"),
        ("widths = [3]", "r.toml:3: stage.ladder.widths: widths must be even"),
        (
            'optimizer = "moun"',
            "r.toml:3: stage.ladder.optimizer: \"moun\": expected 'muon' or 'adamw', did you mean 'muon'?",
        ),
        ('resume = "true"', 'r.toml:3: stage.ladder.resume: "true": expected true or false: remove the quotes'),
        ("threads = 1.5", "r.toml:3: stage.ladder.threads: 1.5: expected a whole number or 'auto'"),
        ('names = ["a", "b", "c"]', 'r.toml:3: stage.ladder.names: ["a", "b", "c"]: expected at most 2 items'),
        (
            '[[stage.ladder.sources]]\nglob = "a"\n[[stage.ladder.sources]]\nglob = "b"\nwieght = 1',
            "r.toml:7: stage.ladder.sources[1].wieght: unknown key, did you mean weight?",
        ),
        (
            "sources = [\n  { weight = 1.0 },\n]",
            "r.toml:4: stage.ladder.sources[0].glob: missing: it has no default, set it",
        ),
        (
            "xyzzy = 1",
            "r.toml:3: stage.ladder.xyzzy: unknown key, known: largest_flops, names, optimizer, resume, share, "
            "sources, threads, widths",
        ),
    ],
)
def test_a_mistake_names_its_file_line_field_and_mend(body, message):
    assert refusal(body) == message


def test_of_several_mistakes_the_first_in_the_file_is_told_and_the_rest_are_counted():
    message = refusal('threads = "x"\nlargest_flop = 1.0\nresume = 3')
    assert message.startswith("r.toml:3: stage.ladder.threads:")
    assert message.endswith("(and 2 more)")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = 1\nb = = 2\n", "r.toml:2: not TOML: invalid value"),
        ("a = 1\na = 2\n", "r.toml:2: not TOML: cannot overwrite a value"),
        ("[x]\n[x]\n", "r.toml:2: not TOML: cannot declare ('x',) twice"),
        ("a = 'x", "r.toml:1: not TOML: "),
        ("\n\na = [1,\n", "r.toml:"),
        ("a = 1 b = 2", "r.toml:1: not TOML: expected newline or end of document after a statement"),
        ("a = " + "[" * 5000, "r.toml: not TOML: nested too deeply"),
    ],
)
def test_what_is_not_toml_is_one_line_with_its_place(text, message):
    with pytest.raises(UserError) as error:
        parse_toml(text, "r.toml")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_files_that_cannot_be_read_are_one_line(tmp_path):
    with pytest.raises(UserError, match="none.toml: no such file or directory"):
        read_toml(tmp_path / "none.toml")
    with pytest.raises(UserError, match="is a directory"):
        read_toml(tmp_path)
    latin = tmp_path / "latin.toml"
    latin.write_bytes("a = 1\nname = 'caf\xe9'\n".encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.toml:2: not UTF-8 text"):
        read_toml(latin)


HARD = '''
# a = "not a key"
title = """
b = 1 # still text
[not.a.table]
ends with quotes""\\""""
'single quoted' . "double\\"quoted" = { x = [1, { y = "}" }], "z" = 'it # is' }
lit = \'\'\'
c = 2\'\'\'
dates = [1979-05-27T07:32:00Z, 07:32:00,
  # comment ] in a list
  1e3]
[ "a b" . c ]
d.e = true
[[array]]
n = 1
[array.inner]
m = 2
[[array]]
n = 3
'''


def test_keys_are_found_on_their_lines_whatever_stands_around_them():
    lines = parse_toml(HARD, "hard").lines
    assert lines[("title",)] == 3
    assert lines[("single quoted", 'double"quoted')] == 7
    assert lines[("single quoted", 'double"quoted', "x", 1, "y")] == 7
    assert lines[("single quoted", 'double"quoted', "z")] == 7
    assert (lines[("lit",)], lines[("dates",)], lines[("dates", 2)]) == (8, 10, 12)
    assert (lines[("a b", "c")], lines[("a b", "c", "d", "e")]) == (13, 14)
    assert (lines[("array", 0, "n")], lines[("array", 0, "inner", "m")], lines[("array", 1, "n")]) == (16, 18, 20)
    assert ("b",) not in lines and ("a",) not in lines and ("c",) not in lines


key = st.text("ab-_", min_size=1, max_size=3)
scalar = st.integers(-99, 99) | st.booleans() | st.text('ab"\\#[]{}=\n', max_size=6) | st.floats(-9, 9)
value = st.recursive(scalar, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=3))


def written(item) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, str):
        return '"' + item.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
    if isinstance(item, list):
        return "[" + ", ".join("\n  " + written(inner) for inner in item) + "]"
    if isinstance(item, dict):
        return "{ " + ", ".join(f"{name} = {written(inner)}" for name, inner in item.items()) + " }"
    return repr(item)


@given(st.dictionaries(key, st.dictionaries(key, value, max_size=4), max_size=4))
def test_every_key_of_any_toml_has_the_line_it_is_written_on(tables):
    text = "".join(
        f"[{table}]\n" + "".join(f"{name} = {written(item)}\n" for name, item in body.items())
        for table, body in tables.items()
    )
    document = parse_toml(text, "any")
    assert document.values == tomllib.loads(text) == tables
    source = text.split("\n")

    def look(at, item):
        if isinstance(item, dict):
            for name, inner in item.items():
                assert name in source[document.lines[(*at, name)] - 1]
                look((*at, name), inner)
        elif isinstance(item, list):
            for n, inner in enumerate(item):
                assert (*at, n) in document.lines
                look((*at, n), inner)

    look((), tables)


def test_a_byte_order_mark_is_read_over():
    assert parse_toml("\ufeffa = 1\n", "x.toml").values == {"a": 1}


def test_a_number_of_thousands_of_digits_is_refused_in_one_line():
    with pytest.raises(UserError, match="thousands of digits"):
        parse_toml("a = " + "1" * 5000 + "\n", "x.toml")


def test_lines_of_a_long_file_are_found_quickly():
    text = "".join(f"[t{i}]\na = 1\n" for i in range(20_000))
    begin = time.perf_counter()
    assert parse_toml(text, "x.toml").line(("t19999", "a")) == 40_000
    assert time.perf_counter() - begin < 5


@pytest.mark.parametrize(
    "text", ["x = 0x" + "f" * 5_000, ".".join(["a"] * 2_000) + " = 1", "a = " + "[" * 90 + "]" * 90]
)
def test_numbers_and_nesting_beyond_all_use_are_one_line(text):
    with pytest.raises(UserError, match="whole number|nested too deeply") as failure:
        parse_toml(text, "wild.toml")
    assert "\n" not in str(failure.value)


def test_a_key_that_holds_a_line_end_makes_no_message_of_two_lines():
    assert dotted(("stage", "a\nb", 0)) == 'stage."a\\nb"[0]'


PLAIN = st.recursive(
    st.text(max_size=8) | st.integers(-(2**53), 2**53) | st.booleans() | st.floats(allow_nan=False),
    lambda held: st.lists(held, max_size=3) | st.dictionaries(st.text(max_size=5), held, max_size=3),
    max_leaves=8,
)


@given(PLAIN)
def test_what_is_written_as_toml_is_read_back_as_it_was(value):
    assert tomllib.loads(f"value = {to_toml(value)}")["value"] == value


def test_nothing_is_left_out_of_its_table():
    assert tomllib.loads(f"value = {to_toml({'a': 1, 'b': None})}")["value"] == {"a": 1}

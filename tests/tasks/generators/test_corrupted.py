from __future__ import annotations

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.tasks.generators.corrupted import AFTER, CONTEXT, corruptions, items

CODE = '''
import os

def total(values, start):
    """Sums values.

    The sum of a == b and others.
    """
    # a comment with an operator: a + b
    result = start
    for value in values:
        if value > start and value != 3:
            result += value * 2
        else:
            result = result - value
    name = "a + b" + os.sep
    return result, name

def mean(values):
    count = len(values)
    return total(values, 0)[0] / count
'''
TEXTS = [(f"file{n}.py", CODE.replace("total", f"total{n}")) for n in range(12)]


@pytest.mark.parametrize("make", ["next_line", "middle"])
def test_the_real_lines_stand_in_their_document_and_the_others_do_not(make):
    texts = dict(TEXTS)
    found = items(TEXTS, make, 24, wrong=3)
    assert len(found) == len({item.id for item in found}) == 24
    for item in found:
        text = texts[item.cluster]
        assert len(set(item.choices)) == 4
        real = [item.question + choice in text for choice in item.choices]
        assert real == [n == item.answer for n in range(4)]
        assert item.extra["corruptions"][item.answer] == "real"
        assert len(item.question) <= CONTEXT and item.question.endswith("\n")


def test_what_follows_a_middle_is_rendered_after_every_candidate():
    for item in items(TEXTS, "middle", 30):
        ends = [choice.split("\n", 3)[3] for choice in item.choices]
        assert len(set(ends)) == 1 and ends[0].strip() and len(ends[0]) <= AFTER + 1


def test_items_are_the_same_for_a_seed_spread_over_documents_and_placed_anywhere():
    found = items(TEXTS, "next_line", 24, seed=2)
    assert found == items(reversed(TEXTS), "next_line", 24, seed=2) != items(TEXTS, "next_line", 24, seed=3)
    assert set(Counter(item.cluster for item in found).values()) == {2}
    many = Counter(item.answer for item in items(TEXTS, "next_line", 90))
    assert min(many.values()) > 8 and len(many) == 4


def test_prose_is_not_asked_about_and_strings_keep_their_operators():
    for item in items(TEXTS, "next_line", 90):
        real = item.choices[item.answer]
        assert '"""' not in real and not real.lstrip().startswith("#") and "Sums" not in real
        if "os.sep" in real:
            for choice, kind in zip(item.choices, item.extra["corruptions"], strict=True):
                assert kind != "operator" or '"a + b"' in choice


@pytest.mark.parametrize(
    ("line", "kind", "expected"),
    [
        ("    if a == b:", "operator", {"    if a != b:"}),
        ("x = not y", "operator", {"x = y"}),
        ("if a is b:", "operator", {"if a is not b:"}),
        ("a -> b ** c", "operator", set()),
        ("total = count", "identifier", {"other = count", "total = other"}),
        ("    pass", "indentation", {"pass", "        pass"}),
        ("f(a, b)", "order", {"f(b, a)", "a(f, b)", "b(a, f)"}),
        ("return", "identifier", set()),
    ],
)
def test_each_corruption_does_what_its_name_says(line, kind, expected):
    seen = set()
    for seed in range(60):
        for changed, name in corruptions([line], ["other"], 1, Random(seed)) or ():
            if name == kind:
                seen.add(changed[0])
    assert seen == expected


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="ab =+\"'#(\t\\é", max_size=15), min_size=1, max_size=4), st.integers(0, 99))
def test_a_corruption_is_never_what_was_written_and_never_stands_twice(lines, seed):
    found = corruptions(lines, ["x", "y"], 3, Random(seed))
    if found is not None:
        made = [tuple(changed) for changed, _ in found]
        assert len({*made, tuple(lines)}) == 4


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ([], "0 texts give only 0 items"),
        ([("a", ""), ("b", "\n\n\n")], "2 texts give only 0"),
        (TEXTS[:1], "only 8 items"),
    ],
)
def test_too_little_code_is_one_line(texts, problem):
    with pytest.raises(UserError, match=problem):
        items(texts, "next_line", 50)
    with pytest.raises(UserError, match="wrong = 0"):
        items(TEXTS, "next_line", 5, wrong=0)


def test_hostile_texts_take_no_time():
    texts = [
        ("a", '"' * 100_000 + "\n" * 5),
        ("b", "x = " + "(" * 100_000 + "\ny\nz = 1\n"),
        ("c", "'\\" * 50_000 + "\n\n1 + 1\n"),
    ]
    with pytest.raises(UserError):
        items(texts, "middle", 50)

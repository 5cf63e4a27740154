from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .asked import reason, verdict, verdicts


def prose(count: int, length: int = 5) -> list[str]:
    """Words of one length that differ, with two stop words among them."""
    words = [f"{number:x}".replace("-", "").rjust(length, "g")[:length] for number in range(count)]
    return [*words[: count - 2], *["the", "that"]] if count > 2 else words


def test_running_text_is_kept():
    assert verdict("gopher", " ".join(prose(60))).reason == ""


@pytest.mark.parametrize(("count", "expected"), [(49, "too few words"), (50, ""), (51, "")])
def test_fifty_words_are_enough(count, expected):
    assert reason("gopher", " ".join(prose(count))) == expected


@pytest.mark.parametrize(("count", "expected"), [(100_000, ""), (100_001, "too many words")])
def test_a_hundred_thousand_words_are_not_too_many(count, expected):
    assert reason("gopher", " ".join(prose(count, 9))) == expected


@pytest.mark.parametrize(
    ("length", "expected"), [(2.98, "words too short"), (3, ""), (10, ""), (10.02, "words too long")]
)
def test_words_have_three_to_ten_characters_on_the_mean(length, expected):
    words = ["the", "of", *(f"{number:03d}" for number in range(98))]
    words = [word.translate(str.maketrans("0123456789", "abcdefghij")) for word in words]
    missing = round(length * len(words)) - sum(map(len, words))
    if missing < 0:
        words = [word[:-1] if 2 <= at < 2 - missing else word for at, word in enumerate(words)]
    else:
        words = [word + "x" * (missing // 100 + (at < missing % 100)) for at, word in enumerate(words)]
    loose = {"min_stop_words": 0, "max_duplicate_ngrams": (1.0,) * 6, "max_top_ngram": (1.0,) * 3}
    assert reason("gopher", " ".join(words), **loose) == expected


@pytest.mark.parametrize(("symbol", "symbols"), [("#", 10), ("...", 10), ("…", 10)])
def test_a_symbol_for_every_ten_words_is_allowed_and_not_more(symbol, symbols):
    words = prose(100)
    for at in range(symbols):
        words[at] += symbol
    assert reason("gopher", " ".join(words)) == ""
    words[symbols] += symbol
    assert reason("gopher", " ".join(words)) == "too many symbols"


def test_hashes_and_ellipses_are_counted_apart():
    words = prose(100)
    words = [word + ("#" if at < 8 else "..." if at < 16 else "") for at, word in enumerate(words)]
    assert reason("gopher", " ".join(words)) == ""


@pytest.mark.parametrize("bullet", ["-", "*", "•"])
def test_nine_lines_in_ten_may_be_bullets(bullet):
    words = prose(100)
    lines = [f"{bullet} " + " ".join(words[at : at + 10]) for at in range(0, 100, 10)]
    assert reason("gopher", "\n".join(lines)) == "mostly bullets"
    lines[0] = lines[0][2:]
    assert reason("gopher", "\n".join(lines)) == ""


def test_three_lines_in_ten_may_end_in_an_ellipsis():
    words = prose(100)
    lines = [" ".join(words[at : at + 10]) for at in range(0, 100, 10)]
    lines[:3] = [line + "..." for line in lines[:3]]
    assert reason("gopher", "\n".join(lines)) == ""
    lines[9] += "…"
    assert reason("gopher", "\n".join(lines)) == "lines end in ellipses"


def test_four_words_in_five_need_a_letter():
    words = prose(100)
    numbers = [str(10_000 + at) for at in range(21)]
    assert reason("gopher", " ".join(numbers[:20] + words[20:])) == ""
    assert reason("gopher", " ".join(numbers + words[21:])) == "too few words with letters"


@pytest.mark.parametrize(("last", "expected"), [("of", ""), ("Of", ""), ("of.", ""), ("xy", "too few stop words")])
def test_two_different_stop_words_are_needed(last, expected):
    words = [*prose(60)[:-2], "the", "the", last]
    assert reason("gopher", " ".join(words)) == expected


def test_three_lines_in_ten_may_come_again():
    lines = [" ".join(prose(70)[at : at + 10]) for at in range(0, 70, 10)]
    assert reason("gopher", "\n".join([*lines[1:], *["so be it"] * 4])) == ""
    found = verdict("gopher", "\n".join([*lines[2:], *["so be it"] * 5]))
    assert found.reason == "duplicate lines"
    assert found.detail == "0.400 of 10 lines, 0.096 of characters; 5 × 'so be it'"


def test_a_fifth_of_the_characters_may_not_stand_in_lines_that_came_before():
    lines = [" ".join(prose(90)[at : at + 10]) for at in range(0, 90, 10)]
    long = " ".join(prose(200)[100:130])
    assert reason("gopher", "\n".join([*lines, long])) == ""
    assert reason("gopher", "\n".join([*lines, long, long])) == "duplicate line characters"


def test_paragraphs_are_compared_as_lines_are():
    loose = {"max_duplicate_lines": 1.0, "max_duplicate_line_characters": 1.0, "max_duplicate_ngrams": (1.0,) * 6}
    words = prose(80)
    paragraphs = [" ".join(words[at : at + 8]) + "\nalso so" for at in range(0, 80, 8)]
    assert reason("gopher", "\n\n".join(paragraphs), **loose) == ""
    loose["max_duplicate_paragraph_characters"] = 1.0
    assert reason("gopher", "\n\n".join([*paragraphs, *paragraphs[:2] * 2]), **loose) == ""
    assert reason("gopher", "\n\n".join([*paragraphs, *paragraphs[:2] * 3]), **loose) == "duplicate paragraphs"


def test_a_phrase_that_returns_too_often_is_named():
    words = prose(60)
    for at in range(0, 40, 4):
        words[at : at + 2] = ["wonderful", "bargain"]
    found = verdict("gopher", " ".join(words))
    assert found.reason == "one 2-gram too often"
    assert "wonderful bargain" in found.detail


def test_a_passage_that_comes_again_is_named():
    words = prose(120)
    found = verdict("gopher", " ".join([*words, *words[20:60]]))
    assert found.reason == "duplicate 5-grams"


def test_code_is_left_alone_unless_asked():
    assert reason("gopher", "x", domain="code") == ""
    assert reason("gopher", "x", domain="code", exempt=()) == "too few words"


def test_one_verdict_for_each_document_in_order_across_batches():
    kept, repeated = " ".join(prose(3000)), " ".join(prose(1500) * 2)
    texts = [kept, "short", repeated] * 40
    found = [one.reason for one in verdicts("gopher", texts)]
    assert found == ["", "too few words", "duplicate 5-grams"] * 40


@given(st.text(), st.integers(0, 3))
def test_any_text_gets_a_verdict(text, times):
    loose = {"min_words": 0, "min_stop_words": 0, "min_word_length": 0.0, "min_words_with_letter": 0.0}
    for found in (verdict("gopher", text * 3**times), verdict("gopher", text * 3**times, **loose)):
        assert found.text is None and (found.reason == "") == (found.detail == "")

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.quality import c4
from orionlm.errors import UserError

from .asked import reason, verdict

LINES = ["This line is a whole sentence.", "Is this one a question too?", "What a fine day it is!"]
PAGE = "\n".join(LINES)


def test_lines_that_end_sentences_stay_as_they_are():
    found = verdict("c4", PAGE)
    assert (found.reason, found.text) == ("", None)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("A menu entry without an end", "no terminal punctuation"),
        ("It goes on and on and ...", "no terminal punctuation"),
        ("Only four words here.", "too few words"),
        ("Please turn on your JavaScript to go on.", "javascript"),
        ("We make good use of cookies on this page.", "policy notice"),
    ],
)
def test_lines_that_are_no_prose_go_and_are_counted(line, why):
    found = verdict("c4", f"{PAGE}\n{line}\n")
    assert (found.reason, found.text) == ("", PAGE)
    assert found.counts == {f"lines out: {why}": 1}


@pytest.mark.parametrize("end", [".", "!", "?", '"', "”"])
def test_a_sentence_may_end_in_each_of_the_published_marks(end):
    assert verdict("c4", f"{PAGE}\nThis is one more such line{end}").text is None


def test_five_words_make_a_line():
    assert verdict("c4", PAGE + "\nThese are just five words.").text is None


def test_three_sentences_make_a_page():
    assert reason("c4", PAGE) == ""
    found = verdict("c4", "\n".join([*LINES[:2], "and a menu"]))
    assert found.reason == "too few sentences"
    assert found.detail == "2 in 2 of 3 lines; out: 1 no terminal punctuation"
    assert reason("c4", "One is here. Two are here. And now three.") == ""


def test_pages_with_curly_brackets_or_placeholder_text_go():
    assert reason("c4", PAGE + "\nif (x) { return; }") == "curly bracket"
    assert reason("c4", PAGE + "\nLorem Ipsum dolor sit amet, and so on.") == "lorem ipsum"
    assert reason("c4", PAGE + "\nif (x) { return; }", curly_bracket=False) == ""


def test_citation_marks_are_taken_out():
    found = verdict("c4", PAGE.replace("sentence.", "sentence[12] it is[citation needed] indeed."))
    assert found.text == PAGE.replace("sentence.", "sentence it is indeed.")


def test_without_the_rule_for_punctuation_lines_stay():
    found = verdict("c4", PAGE + "\nA menu entry without an end", terminal_punctuation=False)
    assert (found.reason, found.text) == ("", None)


def test_hard_wrapped_text_loses_its_lines_but_not_its_paragraphs():
    wrapped = "A sentence that goes over\nmore than one line. It has\na friend.\n\nAnd a third paragraph\nends it all."
    assert reason("c4", wrapped) == "too few sentences"
    found = verdict("c4", wrapped + "\n\nMenu", unit="paragraph")
    assert (found.reason, found.text) == ("", wrapped)


def test_bad_words_are_whole_words_of_a_users_list(tmp_path):
    listed = tmp_path / "bad.txt"
    listed.write_text("rotten\nvery bad phrase\n\n")
    page = PAGE + "\n{} are things to say here."
    assert reason("c4", page.format("Rotten"), bad_words=str(listed)) == "bad word"
    assert reason("c4", page.format("A very bad phrase and others"), bad_words=str(listed)) == "bad word"
    assert reason("c4", page.format("Forgotten"), bad_words=str(listed)) == ""
    assert c4.identity(c4.Settings(bad_words=str(listed))) == ["very bad phrase", "rotten"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_list_of_bad_words_that_cannot_be_used_is_named(tmp_path, content):
    listed = tmp_path / "bad.txt"
    if content is not None:
        listed.write_bytes(content)
    with pytest.raises(UserError, match=r"c4\.bad_words: .*bad\.txt"):
        verdict("c4", PAGE, bad_words=str(listed))


def test_code_is_left_alone_unless_asked():
    assert reason("c4", "{}", domain="code") == ""
    assert reason("c4", "{}", domain="code", exempt=()) == "curly bracket"


@given(st.text(), st.sampled_from(["line", "paragraph"]))
def test_any_text_gets_a_verdict_and_what_is_left_is_left_alone(text, unit):
    loose = {"unit": unit, "min_sentences": 0}
    found = verdict("c4", text, **loose)
    if found.reason == "" and found.text is not None:
        assert verdict("c4", found.text, **loose).reason in ("", "curly bracket", "lorem ipsum")
        assert len(found.text) <= len(text)

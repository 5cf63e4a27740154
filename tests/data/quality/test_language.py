from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.quality import language
from orionlm.errors import UserError

from .asked import reason, verdict

ENGLISH = (
    "The weather was fine when we left the house, and nobody thought that it would rain before the evening. "
    "We walked along the river for an hour and talked about the books that we had read during the winter. "
)
GERMAN = (
    "Das Wetter war schön, als wir das Haus verließen, und niemand dachte, dass es vor dem Abend regnen würde. "
    "Wir gingen eine Stunde lang am Fluss entlang und sprachen über die Bücher, die wir gelesen hatten. "
)
CHINESE = "我们离开家的时候天气很好，没有人想到晚上之前会下雨。我们沿着河边走了一个小时，谈论冬天读过的书。"


def test_wanted_languages_stay_and_others_go_with_what_was_found():
    assert verdict("language", ENGLISH).reason == ""
    found = verdict("language", GERMAN)
    assert found.reason == "other language"
    assert found.detail.startswith("de ")
    assert reason("language", CHINESE * 5) == "other language"
    assert reason("language", GERMAN, keep=("en", "de")) == ""


def test_languages_are_counted():
    assert verdict("language", ENGLISH).counts == {"language en": 1}
    assert verdict("language", GERMAN).counts == {"language de": 1}


def test_text_that_is_not_surely_in_the_language_goes():
    mixed = ENGLISH + GERMAN
    assert reason("language", mixed, threshold=0.999) in ("unsure language", "other language")


@pytest.mark.parametrize("text", ["", "12345 67890", "ok", "--- 1.2.3 ---", "9" * 1000])
def test_what_cannot_be_told_stays_and_is_counted(text):
    found = verdict("language", text)
    assert (found.reason, found.counts) == ("", {"language cannot be told": 1})


def test_a_short_text_goes_only_where_another_language_is_sure():
    assert reason("language", "Unable to open the file for reading") == ""
    assert reason("language", "Die Datei konnte nicht zum Lesen geöffnet werden") == "other language"


def test_all_of_a_long_text_is_looked_at():
    assert reason("language", ENGLISH + GERMAN * 50) == "other language"
    assert reason("language", GERMAN + ENGLISH * 50) == ""


def test_capitals_links_and_numbers_do_not_hide_the_language():
    links = " https://example.org/a/b_c?d=1 10.0.0.1 foo_bar() --flag=3"
    assert reason("language", ENGLISH.upper()) == ""
    assert reason("language", "".join(word + links for word in ENGLISH.split(". ")) * 3) == ""


def test_a_language_that_the_model_does_not_know_is_named():
    with pytest.raises(UserError, match="'english'"):
        verdict("language", "x", keep=("english",))


def test_code_is_left_alone_unless_asked():
    assert reason("language", GERMAN, domain="code") == ""
    assert reason("language", GERMAN, domain="code", exempt=()) == "other language"


@given(st.text(), st.integers(0, 4))
def test_any_text_gets_a_verdict_from_a_bounded_sample(text, times):
    text = text * 5**times
    assert "\n" not in language.sample(text)
    assert len(language.sample(text)) <= 2 * language.SAMPLE  # lower case can be longer
    verdict("language", text)

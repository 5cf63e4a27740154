from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.tokenizer import END_OF_TEXT, train_tokenizer
from orionlm.inference.text import TextStream, token_bytes


@given(st.text(), st.lists(st.integers(0, 60), max_size=30))
def test_however_bytes_are_cut_the_text_is_theirs_and_never_has_half_a_character(text, cuts):
    data = text.encode("utf-8", "replace")
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    stream = TextStream()
    shown = [stream.push(data[start:stop]) for start, stop in zip(places, places[1:], strict=False)]
    assert "".join(shown) + stream.finish() == data.decode()
    assert "�" not in "".join(shown) or "�" in text


@given(st.binary())
def test_bytes_that_are_no_text_are_shown_as_replacements(data):
    stream = TextStream(("xyz",))
    shown = "".join(stream.push(data[i : i + 1]) for i in range(len(data))) + stream.finish()
    assert shown == data.decode(errors="replace").split("xyz")[0]


@given(st.text("ab", max_size=30), st.lists(st.text("ab", min_size=1, max_size=4), min_size=1, max_size=3))
def test_text_ends_before_the_first_stop_string_and_nothing_of_it_is_shown(text, stops):
    stream = TextStream(tuple(stops))
    shown = ""
    for place, character in enumerate(text):
        shown += stream.push(character.encode())
        seen = text[: place + 1]
        found = [seen.index(stop) for stop in stops if stop in seen]
        assert stream.stopped == bool(found)
        if found:
            # Ends with the first stop string to be complete; of several, the one that began first.
            assert shown == seen[: min(found)]
            break
    else:
        assert shown + stream.finish() == text
    assert not any(stop in shown for stop in stops)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(["the quick brown fox, naïve café 你好 🎉 " * 30], 290)


@pytest.mark.parametrize("text", ["the fox", "naïve 你好 🎉🎉", "\n\ttabs \x00 and nulls", "Ωmega unseen"])
def test_the_bytes_of_tokens_are_the_text(tokenizer, text):
    table = token_bytes(tokenizer)
    assert b"".join(table[token] for token in tokenizer.encode(text).ids) == text.encode()


def test_special_tokens_have_no_text(tokenizer):
    assert token_bytes(tokenizer)[tokenizer.token_to_id(END_OF_TEXT)] == b""

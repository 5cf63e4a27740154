"""Which lines are boilerplate, and what a text is without them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("pyarrow")
pytest.importorskip("daft")

from orionlm.data.dedup import lines  # noqa: E402
from orionlm.data.dedup.lines import Settings, hashes, repeated, without_each  # noqa: E402

NOTICE = "We use cookies to make this page better for you."
LINE = st.sampled_from(("", "ab", "abcd", " abcd\t", "abcde\r", "ÄÖÜß", "数学数学", "abcdefg", "\u00a0 abcde"))
DOCUMENTS = st.lists(st.lists(LINE, max_size=8).map("\n".join), max_size=12)


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """The repeated lines' hashes of these parts, each a list of texts."""
    folder = tmp_path_factory.mktemp("lines")

    def run(*parts, **given):
        chosen = Settings(**given)
        files = [folder / f"{number}.npy" for number in range(len(parts))]
        for file, texts in zip(files, parts, strict=True):
            np.save(file, hashes(texts, chosen)[0])
        return repeated(files, chosen)

    return run


def cleaned(texts: list[str], often: int, characters: int) -> list[str]:
    """The same in plain words."""
    count = Counter(line for text in texts for line in {line.strip() for line in text.split("\n")})
    keep = {line for line in count if len(line) < characters or count[line] <= often}
    return ["\n".join(line for line in text.split("\n") if line.strip() in keep) for text in texts]


@given(DOCUMENTS, st.integers(1, 4), st.integers(1, 6), st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_lines_go_that_stand_in_more_documents_than_they_may(common, texts, often, characters, cut):
    chosen = {"documents": often, "characters": characters}
    found = common(texts[:cut], texts[cut:], **chosen)
    assert np.array_equal(found, np.unique(found))
    expected = cleaned(texts, often, characters)
    assert without_each(texts, found, Settings(**chosen)) == expected


def test_more_than_six_documents_is_boilerplate_by_default(common):
    texts = [f"{NOTICE}\nand something of its own, number {n}, to read" for n in range(6)]
    assert not len(common(texts))
    found = common(texts, [f"  {NOTICE}  "])
    assert without_each([texts[0]], found, Settings())[0] == "and something of its own, number 0, to read"


def test_a_line_that_one_document_repeats_is_not_boilerplate(common):
    assert not len(common(["\n".join([NOTICE] * 50)] * 6))


def test_short_lines_stay_however_common(common):
    texts = [f"Yes.\n{NOTICE}\nNo.\n" for _ in range(20)]
    assert without_each([texts[0]], common(texts), Settings())[0] == "Yes.\nNo.\n"


@given(st.text())
@settings(deadline=None)
def test_a_text_that_loses_nothing_stays_as_it_is(text):
    other = hashes([NOTICE], Settings())[0]
    assert without_each([text], other, Settings())[0] == text
    assert without_each([text], other[:0], Settings())[0] == text


def test_more_lines_than_fit_in_memory_are_counted_in_parts(common, monkeypatch):
    parts = [[f"line number {n % (50 + part)} of the many\n{NOTICE}" for n in range(100)] for part in range(5)]
    whole = common(*parts, characters=10)
    assert len(whole) > 40
    monkeypatch.setattr(lines, "HELD", 16)
    assert np.array_equal(common(*parts, characters=10), whole)


def test_code_keeps_its_lines_unless_asked():
    assert "code" not in Settings().domains

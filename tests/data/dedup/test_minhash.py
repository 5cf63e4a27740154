"""What makes two texts alike, and what does not."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import time
import unicodedata

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pa = pytest.importorskip("pyarrow")
pytest.importorskip("daft")

from orionlm.data.dedup.lsh import Settings  # noqa: E402
from orionlm.data.dedup.minhash import signatures  # noqa: E402
from orionlm.errors import UserError  # noqa: E402

WORDS = st.lists(
    st.sampled_from(("the", "a", "of", "river", "42", "naïve", "été", "Straße", "большой", "w")),
    min_size=6,
    max_size=40,
)
GAPS = st.sampled_from((" ", "  ", "\n", "\t\r\n", ", ", " — ", "... ", " (", ") ", "\u00a0", "\x00 "))


def sign(*texts: str) -> np.ndarray:
    return signatures(pa.array(texts, pa.large_string()), Settings())


def alike(one: str, other: str) -> float:
    a, b = sign(one, other)
    return float((a == b).mean())


def words(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)
    return ["".join(draw.choices("abcdefghijklm", k=draw.randint(2, 8))) for _ in range(count)]


@given(WORDS, st.data())
@settings(max_examples=60, deadline=None)
def test_space_case_and_punctuation_do_not_tell_texts_apart(chosen, data):
    other = "".join(word.upper() + data.draw(GAPS) for word in chosen)
    # What upper case loses (ß) is lost to both.
    assert alike(" ".join(word.upper() for word in chosen), " \n" + other) == 1
    assert alike(" ".join(chosen), unicodedata.normalize("NFD", " ".join(chosen))) == 1


@given(st.lists(st.text(max_size=60), max_size=8), st.integers(0, 8))
@settings(max_examples=60, deadline=None)
def test_a_signature_depends_on_its_text_alone(texts, cut):
    together = sign(*texts)
    assert together.shape == (len(texts), 128) and together.dtype == np.uint32
    for text, row in zip(texts, together, strict=True):
        assert np.array_equal(sign(text)[0], row)
    array = pa.array(["before", *texts], pa.large_string()).slice(1)
    chunked = pa.chunked_array([array.slice(0, cut), array.slice(cut)])
    assert np.array_equal(signatures(chunked, Settings()), together)


def test_pieces_of_an_array_end_between_texts(monkeypatch):
    texts = ["", " ".join(words(50, 0)), "", "", " ".join(words(900, 1)), "é " * 40, " ".join(words(7, 2))]
    whole = sign(*texts)
    monkeypatch.setattr("orionlm.data.dedup.minhash.PIECE_BYTES", 64)
    assert np.array_equal(sign(*texts), whole)


@given(
    st.lists(st.sampled_from("aA1-+!é数ß\u0301 \n"), max_size=9),
    st.lists(st.sampled_from("aA1-+!é数ß\u0301 \n"), max_size=9),
)
@settings(max_examples=200, deadline=None)
def test_two_short_texts_that_differ_are_never_copies(one, other):
    one, other = "".join(one), "".join(other)
    if max(len(one.split()), len(other.split())) <= 1 and "数" not in one + other:
        assert alike(one, other) == float(one.split() == other.split())


@pytest.mark.parametrize(
    "texts", [("x < 3", "x > 3"), ("!!!", "???"), ("", "…"), ("one two three four five", "one two")]
)
def test_short_texts_that_have_the_same_words_or_none_are_told_apart(texts):
    assert alike(*texts) == 0
    assert alike(texts[0], f"  {texts[0]}\n") == 1


def test_a_short_text_is_more_than_32_bits():
    texts = [f"number {n}" for n in range(100_000)]
    first_band = np.ascontiguousarray(sign(*texts)[:, :8]).view("V32").ravel()
    assert len(np.unique(first_band)) == len(texts)


@pytest.mark.parametrize("share", [0.01, 0.03, 0.1])
def test_equal_numbers_estimate_the_jaccard_similarity_of_word_5_grams(share):
    draw = random.Random(0)
    estimated, true = [], []
    for seed in range(60):
        one = words(300, seed)
        other = [word if draw.random() > share else "changed" for word in one]
        estimated.append(alike(" ".join(one), " ".join(other)))
        a, b = ({tuple(t[i : i + 5]) for i in range(len(t) - 4)} for t in (one, other))
        true.append(len(a & b) / len(a | b))
    error = np.mean(np.subtract(estimated, true))
    assert abs(error) < 4 * np.sqrt(np.mean(np.multiply(true, np.subtract(1, true))) / 128 / 60)


@pytest.mark.parametrize(
    "alphabet", ["".join(map(chr, range(0x4E00, 0x4F00))), "あいうえおかきくけこサシスセソ", "กขคงจฉชซฌญ"]
)
def test_scripts_without_spaces_are_compared_by_their_characters(alphabet):
    draw = random.Random(0)
    one = "".join(draw.choices(alphabet, k=300))
    assert alike(one, one[:150] + alphabet[0] + one[151:]) > 0.85
    assert alike(one, "。\n".join(one[i : i + 20] for i in range(0, 300, 20))) == 1
    assert alike(one, "".join(draw.choices(alphabet, k=300))) < 0.1


def test_full_width_and_compatibility_forms_are_plain():
    plain = "The office of 42 finer things in life, as it was"
    assert alike(plain, "The oﬃce of 42 ﬁner things in life\u3000as it was") == 1


def test_hostile_text_takes_a_moment_and_no_more():
    began = time.perf_counter()
    sign(
        "7" * 10_000_000,
        "\x00" * 1_000_000,
        " " * 3_000_000,
        "é" * 1_000_000,
        "\u202e\u05d0 " * 300_000,
        "a\n" * 1_000_000,
    )
    assert time.perf_counter() - began < 10


def test_signatures_are_the_same_everywhere():
    """A changed kernel would compare signatures of before with those of after where a curation is resumed."""
    text = "Five words and then some more; naïve 数学 and the rest of it"
    assert hashlib.sha256(sign(text, "short").tobytes()).hexdigest()[:16] == "59d1edc6d5feefa6"


def test_without_daft_the_extra_to_install_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "daft", None)
    with pytest.raises(UserError, match=r"pip install 'orion-lm\[data\]'"):
        sign("any text")


def test_importing_daft_is_not_reported_to_its_makers():
    code = "import os, pyarrow as pa; from orionlm.data.dedup import kernels; kernels.hashes(pa.array(['a']));"
    code += "from daft.scarf_telemetry import opted_out; assert opted_out()"
    quiet = ("DAFT_ANALYTICS_ENABLED", "DO_NOT_TRACK", "SCARF_NO_ANALYTICS")
    environment = {name: value for name, value in os.environ.items() if name not in quiet}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from orionlm.synth.gate import collapse, copying, endings, repetition, residue, templates, topics
from orionlm.synth.gate.content import Tokens, plain, words
from orionlm.synth.gate.declared import FORMATS
from orionlm.synth.gate.gate import gate
from orionlm.synth.gate.sides import Sides
from orionlm.synth.rows import Row


def test_content_is_what_is_left_of_a_list_a_table_and_questions():
    said = ["alpha", "beta", "gamma"]
    for text in ("- alpha\n- beta\n- gamma", "| alpha | beta |\n|---|---|\n| gamma |", "Q: alpha beta\nA: gamma"):
        assert words(text) == said
    assert words("readFile read_file2") == ["read", "file", "read", "file"]
    assert words("今日は") == ["今", "日", "は"]
    assert plain("## Title\n**bold**") == "Title\n bold "


def test_loops_are_pieces_said_three_times_without_a_break():
    texts = ["go on " * 10, "one two three four five " * 2, "a b c d e f g h", ""]
    found = repetition.loops(Tokens(texts))
    assert found[0] == pytest.approx(1.0)
    assert found[1:].tolist() == [0, 0, 0]


@given(st.integers(1, 30), st.integers(3, 6))
def test_a_loop_of_any_period_is_found(period, times):
    piece = " ".join(f"w{n}" for n in range(period))
    text = "before it begins " + " ".join([piece] * max(times, 12 // period + 3)) + " and after"
    assert repetition.loops(Tokens([text]))[0] > 0.5


def test_a_text_pasted_twice_is_not_said_again():
    text = " ".join(f"word{n}" for n in range(60))
    twice, thrice = repetition.said_again(Tokens([f"{text} {text}", f"{text} {text} {text}"]))
    assert twice == 0 and thrice > 0.9


def test_a_run_that_many_real_texts_share_is_nobody_s():
    licence = " ".join(f"term{n}" for n in range(60))
    real = Tokens([f"{licence} own{n}" for n in range(5)] + [" ".join(f"text{n}" for n in range(60))])
    known = copying.Known(real, copying.RUN)
    found = copying.long_runs(known, Tokens([licence, " ".join(f"text{n}" for n in range(50))]), False)
    assert found.tolist() == [0, 1]
    assert not copying.long_runs(known, real, True).any()


def test_a_row_is_held_against_its_own_seed_alone():
    seed, other = (" ".join(f"{name}{n}" for n in range(80)) for name in "ab")
    found = copying.of_own_seed(Tokens([seed, seed, other]), [seed, other, ""], np.ones(3, bool))
    assert found.tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("control token", "fine<|im_end|>"), ("control token", "[INST] go [/INST]"), ("role", "### Response:\nyes"),
        ("HTML tag", "<div class='x'>a</div>"), ("HTML comment or entity", "a&nbsp;b"), ("wiki markup", "[[link]]"),
        ("fence", "```python\nx\n```"), ("Markdown heading", "# A heading"),
        ("talk of the assistant", "As an AI language model, I"),
    ],
)  # fmt: skip
def test_marks_are_found_by_their_kind_and_taken_away(kind, text):
    column = list(residue.MARKS).index(kind)
    assert residue.marks([text])[0, column]
    assert not residue.marks([residue.without(text, [kind])])[0, column]


@pytest.mark.parametrize(
    "text", ["x < y and y > z", "a list[int] of vectors", "if a<b and c>d: pass", "2**3**4", "sizes & shapes; more"]
)
def test_what_programs_and_sums_hold_is_no_residue(text):
    assert not residue.marks([text]).any()


def test_ends_are_learned_from_the_text_itself():
    rng = np.random.default_rng(0)
    prose = [" ".join(f"{w}{rng.integers(50)}" for w in ["some", "words", "of"] * 10) + "." for _ in range(150)]
    songs = [text.replace(".", " -- la la") for text in prose]
    for whole in (prose, songs):
        ends = endings.Ends(whole[:100], rng, False)
        assert (ends.cut(whole[100:]) < 0.5).mean() > 0.95
        assert (ends.cut([text[:-9] for text in whole[100:]]) > 0.5).mean() > 0.9


def test_programs_parse_and_sentences_do_not():
    assert endings.parses(["x = 1\n", "def f(:", "word", "a b", "import os", "\x00"]).tolist() == [
        True,
        False,
        False,
        False,
        True,
        False,
    ]


def test_a_cut_text_loses_its_unfinished_sentence_unless_that_is_most_of_it():
    assert endings.trimmed("One is done well. Two is not do") == "One is done well."
    assert endings.trimmed("Short. " + "and then on " * 20) == ""
    assert endings.trimmed("def f():\n    return 1\ndef g(") == "def f():\n    return 1"


def test_topics_drawn_from_the_same_shares_are_the_same_and_a_missing_one_is_not():
    rng = np.random.default_rng(0)
    same = [topics.mixture(rng.integers(0, 8, 400), rng.integers(0, 8, 400)).verdict for _ in range(50)]
    assert same.count("passes") >= 49
    found = topics.mixture(rng.integers(0, 3, 400), rng.integers(0, 8, 400))
    assert found.verdict == "fails" and found.value > 0.5
    assert topics.mixture(np.zeros(200, int), np.ones(200, int)).value == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("words_of_all", [["ab", "cd", "ef"], ["1", "22"], ["!"], ["same"]])
def test_texts_without_a_word_that_tells_them_apart_have_no_topics(words_of_all):
    rng = np.random.default_rng(0)
    real, rows = ([" ".join(rng.choice(words_of_all, 30)) for _ in range(150)] for _ in range(2))
    found, flags = topics.measure(Sides(real, [Row(text, "m") for text in rows], 0, ["as real"] * 150))
    assert [one.verdict for one in found] == ["cannot tell"] and not flags.any()
    assert found[0].note == "0% of the real texts have a word that tells them apart"


def test_one_topic_of_eight_is_seven_eighths_less_and_even_topics_are_none():
    rng = np.random.default_rng(0)
    even = rng.integers(0, 8, 400)
    assert topics.fewer(np.zeros(400, int), even).value == pytest.approx(7 / 8, abs=0.01)
    assert topics.fewer(rng.integers(0, 8, 400), even).verdict == "passes"


@pytest.mark.parametrize("block", [1, 3, 100])
def test_near_copies_do_not_chain_and_are_found_across_blocks(monkeypatch, block):
    monkeypatch.setattr(collapse, "BLOCK", block)
    angles = np.radians([0, 35, 70, 105, 0])  # neighbours are alike, the next but one is not; the last is the first
    texts = csr_matrix(np.stack([np.cos(angles), np.sin(angles)], 1))
    assert collapse.said_before(texts).tolist() == [False, True, False, True, True]


def test_copies_are_seen_however_many_texts_there_are_and_however_common_one_is(texts):
    for rows in (texts[:600] * 4, [texts[0]] * 150 + texts[300:450]):
        report = gate(texts[600:], [Row(text, "planted") for text in rows], describe=False)
        assert "mode collapse" in report.faults, report.says()


def test_the_diversity_s_mean_is_over_pairs_of_different_texts():
    kernel = np.array([[1, 0.5, 0.1], [0.5, 1, 0.3], [0.1, 0.3, 1]])
    assert np.exp(collapse.log_mean_square(kernel)[0]) == pytest.approx((0.25 + 0.01 + 0.09) / 3)


@pytest.mark.parametrize(
    ("format", "text", "other"),
    [
        ("faq", "Q: Why?\nA: Because.", "Because it is so."),
        ("list", "- one\n- two\n- three", "One, two and three are numbers."),
        ("table", "| a | b |\n|---|---|\n| 1 | 2 |", "a is 1"),
        ("math", "How many are 2 + 3 = 5", "a few"),
        ("dialogue", "Ann: Hello.\nBen: Hello, Ann.", "Ann and Ben greet one another."),
    ],
)
def test_a_declared_format_is_recognised(format, text, other):
    assert FORMATS[format](text) and not FORMATS[format](other)


def test_residue_that_real_text_has_too_is_none():
    real = [f"<p>text number {n}</p>" for n in range(200)]
    sides = Sides(real, [Row(text, "m") for text in real], 0, ["as real"] * 200)
    assert residue.measure(sides)[0][0].verdict == "passes"


def test_few_real_texts_find_the_phrases_that_as_many_as_judge_would():
    plain = [" ".join(f"w{n}x{k}" for k in range(20)) for n in range(2000)]

    def found(count: int, real: int, judges: int) -> bool:
        written = [("in the end of all things " if n < count else "") + text for n, text in enumerate(plain[:1000])]
        given, known = Tokens(written), Tokens(plain[1000 : 1000 + real])
        return bool(len(templates._shared(given, known, np.ones(1000, bool), 5, 0, judges)))

    least = {key: min(count for count in range(5, 200) if found(count, *key)) for key in ((200, 200), (800, 800))}
    assert least[200, 200] > least[800, 800]
    assert min(count for count in range(5, 200) if found(count, 200, 800)) == least[800, 800]

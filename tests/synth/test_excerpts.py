from hypothesis import given
from hypothesis import strategies as st

from orionlm.synth.excerpts import cut_like, excerpts
from orionlm.synth.rows import Row


@given(st.lists(st.text("ab \n", max_size=400), max_size=4), st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_pieces_stand_in_their_texts_in_order_and_are_no_longer_than_the_longest(texts, lengths):
    pieces = excerpts(texts, lengths, 0)
    assert all(piece.strip() and len(piece) <= max(lengths) for piece in pieces)
    joined, place = "\x00".join(texts), 0
    for piece in pieces:
        place = joined.index(piece, place) + len(piece)


def test_pieces_are_as_long_as_asked_and_made_of_whole_lines_where_there_are_some():
    text = "".join(f"line number {n} of this text\n" for n in range(400))
    pieces = excerpts([text], [300], 0)
    assert all(200 < len(piece) <= 300 and piece.startswith("line") and piece.endswith("text") for piece in pieces)
    assert sum(map(len, pieces)) > 0.9 * len(text)


def test_nothing_to_go_by_is_no_pieces():
    assert excerpts(["text"], [], 0) == [] and excerpts([], [3], 0) == [] and excerpts(["  \n"], [3], 0) == []


def test_documents_are_cut_by_rows_that_count_alone_and_pieces_are_known_as_their_document_s():
    text = "".join(f"line number {n} of this text\n" for n in range(40))
    rows = [Row("x" * 300, "m"), Row(" \n" * 5, "m"), Row("y" * 9, "m").judged("gate", "cut off")]
    pieces = list(cut_like([("a", text), ("b", text)], rows))
    assert {id for id, _ in pieces} == {"a", "b"} and all(200 < len(piece) <= 300 for _, piece in pieces)

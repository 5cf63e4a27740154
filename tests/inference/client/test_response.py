from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.client.scripted_server import completion
from orionlm.inference.client.response import Malformed, error_line, parse


def streamed(pieces: list[str], finish: str = "stop", chat: bool = True) -> bytes:
    chunks: list[dict] = [
        {"choices": [{"delta": {"content": piece}} if chat else {"text": piece}], "model": "m"} for piece in pieces
    ]
    chunks.append({"choices": [({"delta": {}} if chat else {"text": ""}) | {"finish_reason": finish}]})
    chunks.append({"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": len(pieces)}})
    lines = [": keep-alive", *(f"data: {json.dumps(chunk, ensure_ascii=False)}" for chunk in chunks), "data: [DONE]"]
    return "\n\n".join(lines).encode() + b"\n\n"


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6), st.booleans())
def test_a_stream_says_what_the_whole_would(pieces, chat):
    text = "".join(pieces).encode("utf-8", "replace").decode()
    said = parse(streamed([piece.encode("utf-8", "replace").decode() for piece in pieces], "length", chat))
    assert (said.text, said.finish) == (text, "length")
    assert said.usage is not None and said.usage.completion_tokens == len(pieces)


WHOLE = streamed(["Hello", " wor", "ld 数"])


@given(st.integers(0, len(WHOLE.rstrip()) - 1))
def test_a_stream_cut_anywhere_is_no_answer(place):
    with pytest.raises(Malformed):
        parse(WHOLE[:place])


@given(st.integers(0, len(json.dumps(completion())) - 1))
def test_a_body_cut_anywhere_is_no_answer(place):
    with pytest.raises(Malformed):
        parse(json.dumps(completion()).encode()[:place])


@pytest.mark.parametrize(
    "document",
    [
        None,
        [],
        "text",
        3,
        {},
        {"choices": []},
        {"choices": "none"},
        {"choices": ["text"]},
        {"choices": [{}]},
        {"choices": [{"message": {"content": 7}, "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": None}, "finish_reason": "stop"}]},
        {"choices": [{"message": "text", "finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "x"}}]},
        {"choices": [{"message": {"content": "x"}, "finish_reason": "error"}]},
        {"error": {"message": "overloaded"}},
    ],
)
def test_what_is_no_answer_says_why(document):
    with pytest.raises(Malformed, match="."):
        parse(json.dumps(document).encode())


def test_nonsense_is_refused_not_raised():
    for body in (
        b"",
        b"  \n",
        b"<html>",
        b"{" * 100_000,
        b"[" * 100_000,
        b"\xff\xfe{}",
        b"data: {]\n\n",
        b'{"a":1' + b"0" * 9999,
    ):
        with pytest.raises(Malformed):
            parse(body)


def test_an_error_in_the_stream_is_one():
    with pytest.raises(Malformed, match="overloaded"):
        parse(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: {"error": {"message": "overloaded"}}\n\n')


@pytest.mark.parametrize("count", [-1, 1.5, "7", True, None, 10**30])
def test_a_count_that_is_none_is_not_believed(count):
    said = parse(json.dumps(completion() | {"usage": {"prompt_tokens": 5, "completion_tokens": count}}).encode())
    assert said.text == "fine" and said.usage is None


def test_half_a_character_becomes_one_that_can_be_written():
    said = parse(json.dumps(completion("a\ud83d")).encode())
    said.text.encode()
    assert said.text.startswith("a")


def test_a_tool_call_or_a_refusal_has_no_text_and_is_an_answer():
    choice = {"message": {"content": None, "tool_calls": [{"id": "1"}]}, "finish_reason": "tool_calls"}
    said = parse(json.dumps({"choices": [choice]}).encode())
    assert said.text == "" and said.choice["message"]["tool_calls"]


def test_log_probabilities_of_a_stream_are_joined():
    lines = [
        {"choices": [{"delta": {"content": piece}, "logprobs": {"content": [{"token": piece, "logprob": -1.0}]}}]}
        for piece in ("a", "b")
    ]
    lines.append({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    body = b"".join(b"data: " + json.dumps(line).encode() + b"\n\n" for line in lines) + b"data: [DONE]\n\n"
    assert [item["token"] for item in parse(body).choice["logprobs"]["content"]] == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        {"model": "m\ud800", "system_fingerprint": "\udfff", "choices": [{"text": "a", "finish_reason": "st\ud800"}]},
        {"error": {"message": "no \ud800"}},
    ],
)
def test_half_characters_in_what_a_server_says_cannot_reach_the_store(body):
    raw = json.dumps(body).encode()
    if "error" in body:
        error_line(json.loads(raw)).encode()
    else:
        said = parse(raw)
        (said.model + said.fingerprint + said.finish).encode()


def test_a_stream_of_odd_shapes_is_read_as_far_as_it_makes_sense():
    chunks = [
        {"choices": [{"delta": {"content": "x", "refusal": "a"}, "logprobs": "odd"}]},
        {"choices": [{"delta": {"refusal": {"a": 1}}, "logprobs": [1], "finish_reason": "stop"}]},
    ]
    raw = b"".join(b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks) + b"data: [DONE]\n\n"
    assert parse(raw).text == "x"

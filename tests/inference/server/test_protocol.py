from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.inference.server.app import no_such_model
from orionlm.inference.server.errors import ApiError
from orionlm.inference.server.protocol import Asked, fit, parse_chat, parse_completion
from orionlm.inference.server.run import bind

SAY = [{"role": "user", "content": "hi"}]


def chat(**fields) -> Asked:
    return parse_chat(json.dumps({"model": "m", "messages": SAY} | fields).encode(), ("\n\nUser:",))


def completion(**fields) -> Asked:
    return parse_completion(json.dumps({"model": "m", "prompt": "p"} | fields).encode())


def refused(parse, **fields) -> ApiError:
    with pytest.raises(ApiError) as caught:
        parse(**fields)
    assert caught.value.status == 400 and "\n" not in caught.value.message
    error = caught.value.document()["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["type"] == "invalid_request_error"
    return caught.value


def test_fields_reach_the_sampling():
    asked = chat(
        temperature=0.5, top_p=0.9, top_k=5, min_p=0.1, n=2, seed=4, stop="x", ignore_eos=True, logprobs=True,
        top_logprobs=3, max_completion_tokens=9, stream=True, stream_options={"include_usage": True},
    )  # fmt: skip
    sampling = asked.sampling
    assert (sampling.temperature, sampling.top_p, sampling.top_k, sampling.min_p) == (0.5, 0.9, 5, 0.1)
    assert (sampling.n, sampling.seed, sampling.stop) == (2, 4, ("x", "\n\nUser:"))
    assert (sampling.ignore_end, sampling.alternatives, sampling.max_tokens) == (True, 3, 9)
    assert asked.stream and asked.include_usage and asked.max_tokens == "max_completion_tokens"
    assert completion(logprobs=0).sampling.alternatives == 0 and completion().sampling.alternatives is None
    assert completion(top_k=-1).sampling.top_k == 0
    assert chat(logprobs=True).sampling.alternatives == 0


def test_null_means_the_default():
    names = ["temperature", "top_p", "n", "stop", "seed", "stream", "stream_options", "max_tokens", "logprobs", "user",
             "presence_penalty", "logit_bias", "metadata", "store", "top_k", "min_p", "ignore_eos"]  # fmt: skip
    assert chat(**dict.fromkeys([*names, "tools", "tool_choice", "response_format", "top_logprobs"])) == chat()
    assert completion(**dict.fromkeys([*names, "echo", "suffix", "best_of"])) == completion()


def test_values_that_change_nothing_are_accepted():
    neutral = {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "user": "someone", "metadata": {},
               "store": False, "repetition_penalty": 1.0}  # fmt: skip
    assert (
        chat(**neutral, tools=[], tool_choice="none", response_format={"type": "text"}, modalities=["text"]) == chat()
    )
    assert completion(**neutral, best_of=1, suffix="") == completion()
    assert completion(best_of=3, n=3).sampling.n == 3
    replied = {"role": "assistant", "content": "b", "refusal": None, "tool_calls": None, "annotations": []}
    assert chat(messages=[*SAY, replied, *SAY]).messages[1] == {"role": "assistant", "content": "b"}


def test_parts_of_text_are_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert chat(messages=[{"role": "user", "content": parts}]).messages[0]["content"] == "a\nb"


@pytest.mark.parametrize(
    ("parse", "fields", "param"),
    [
        (chat, {"temperature": float("nan")}, "temperature"),
        (chat, {"temperature": float("inf")}, "temperature"),
        (chat, {"temperature": 10**400}, "temperature"),
        (chat, {"temperature": "1"}, "temperature"),
        (chat, {"temperature": True}, "temperature"),
        (chat, {"top_p": 0}, "top_p"),
        (chat, {"top_p": 1.5}, "top_p"),
        (chat, {"n": 0}, "n"),
        (chat, {"n": 1.0}, "n"),
        (chat, {"n": 100000}, "n"),
        (chat, {"max_tokens": -1}, "max_tokens"),
        (chat, {"max_completion_tokens": 1.5}, "max_completion_tokens"),
        (chat, {"max_completion_tokens": 1, "max_tokens": 2}, "max_tokens"),
        (chat, {"logprobs": 1}, "logprobs"),
        (chat, {"logprobs": True, "top_logprobs": 99}, "top_logprobs"),
        (chat, {"top_logprobs": 1}, "top_logprobs"),
        (chat, {"seed": "x"}, "seed"),
        (chat, {"seed": 2**70}, "seed"),
        (chat, {"stop": [1]}, "stop"),
        (chat, {"stop": [""]}, "stop"),
        (chat, {"stop": "\ud800"}, "stop"),
        (chat, {"stream": "yes"}, "stream"),
        (chat, {"stream_options": {"include_usage": True}}, "stream_options"),
        (chat, {"stream": True, "stream_options": {"other": 1}}, "stream_options"),
        (chat, {"tools": [{"type": "function"}]}, "tools"),
        (chat, {"tool_choice": "required"}, "tool_choice"),
        (chat, {"response_format": {"type": "json_object"}}, "response_format"),
        (chat, {"presence_penalty": 0.1}, "presence_penalty"),
        (chat, {"frequency_penalty": True}, "frequency_penalty"),
        (chat, {"logit_bias": {"5": 1}}, "logit_bias"),
        (chat, {"store": True}, "store"),
        (chat, {"user": 5}, "user"),
        (chat, {"metadata": {"a": float("nan")}}, "metadata"),
        (chat, {"nonsense": 1}, "nonsense"),
        (chat, {"nonsense": None}, "nonsense"),
        (chat, {"prompt": "x"}, "prompt"),
        (chat, {"messages": []}, "messages"),
        (chat, {"messages": "hi"}, "messages"),
        (chat, {"messages": [3]}, "messages[0]"),
        (chat, {"messages": [{"role": "tool", "content": "x"}]}, "messages[0].role"),
        (chat, {"messages": [{"role": {}, "content": "x"}]}, "messages[0].role"),
        (chat, {"messages": [{"role": "user"}]}, "messages[0].content"),
        (chat, {"messages": [{"role": "user", "content": "\udc00"}]}, "messages[0].content"),
        (chat, {"messages": [{"role": "user", "content": "x", "name": "y"}]}, "messages[0].name"),
        (chat, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0]"),
        (chat, {"model": None}, "model"),
        (completion, {"model": 5}, "model"),
        (completion, {"best_of": 2}, "best_of"),
        (completion, {"suffix": "x"}, "suffix"),
        (completion, {"echo": 1}, "echo"),
        (completion, {"logprobs": True}, "logprobs"),
        (completion, {"logprobs": 21}, "logprobs"),
        (completion, {"prompt": []}, "prompt"),
        (completion, {"prompt": 5}, "prompt"),
        (completion, {"prompt": ["a", 5]}, "prompt"),
        (completion, {"prompt": ["a", [5]]}, "prompt"),
        (completion, {"prompt": [True]}, "prompt"),
        (completion, {"prompt": [[1.0]]}, "prompt"),
        (completion, {"prompt": "\ud83d"}, "prompt"),
        (completion, {"prompt": ["a"] * 100, "n": 100}, "prompt"),
    ],
)
def test_what_cannot_be_served_is_refused_by_name(parse, fields, param):
    assert refused(parse, **fields).param == param


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"3", b"\xff", b"[" * 100_000, b'{"n": ' + b"9" * 5000 + b"}"])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(ApiError) as caught:
        parse_chat(body)
    assert caught.value.status == 400 and caught.value.code == "invalid_json"


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
NAMES = ["model", "messages", "prompt", "n", "stop", "seed", "stream", "stream_options", "logprobs", "top_logprobs",
         "max_tokens", "max_completion_tokens", "temperature", "best_of", "suffix", "echo", "tools", "metadata",
         "response_format", "logit_bias", "user", "top_k", "ignore_eos", "other"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), VALUES, max_size=8), st.booleans())
def test_any_json_is_either_understood_or_refused_with_400(document, whole):
    base = {"model": "m", "messages": SAY, "prompt": "p"} if whole else {}
    for parse, other in ((parse_chat, "prompt"), (parse_completion, "messages")):
        body = {name: value for name, value in base.items() if name != other} | document
        try:
            assert isinstance(parse(json.dumps(body).encode()), Asked)
        except ApiError as error:
            assert error.status == 400
            json.dumps(error.document())


def test_what_does_not_fit_the_context_says_by_how_much():
    ((_, sampling),) = fit(chat(), [[1] * 60], 100)
    assert sampling.max_tokens == 40
    ((_, sampling),) = fit(completion(), [[1] * 60], 100)
    assert sampling.max_tokens == 16
    ((_, sampling),) = fit(completion(), [[1] * 95], 100)
    assert sampling.max_tokens == 5
    ((_, sampling),) = fit(completion(max_tokens=0), [[1] * 100], 100)
    assert sampling.max_tokens == 0
    for asked, length in ((completion(max_tokens=41), 60), (chat(max_tokens=41), 60), (chat(), 100), (chat(), 101)):
        with pytest.raises(ApiError) as caught:
            fit(asked, [[1] * length], 100)
        assert caught.value.code == "context_length_exceeded"
        assert "100 tokens" in caught.value.message and str(length) in caught.value.message


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a\0b"])
def test_a_host_that_is_no_name_is_one_line(host):
    with pytest.raises(UserError, match="host = "):
        bind(host, 0)


def test_a_refused_model_name_is_not_sent_back_whole():
    assert len(no_such_model("n" * 1_000_000).message) < 200

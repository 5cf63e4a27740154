from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.inference.client.request import Request
from orionlm.sampling import Sampling

SAMPLINGS = st.builds(
    Sampling,
    max_tokens=st.integers(0, 4096),
    temperature=st.floats(0, 100) | st.integers(0, 100),
    top_p=st.floats(0.1, 1),
    top_k=st.integers(0, 50),
    stop=st.lists(st.text(min_size=1, max_size=5).filter(lambda text: text.isprintable()), max_size=3).map(tuple),
    seed=st.none() | st.integers(0, 2**40),
    alternatives=st.none() | st.integers(0, 20),
)


def of(sampling: Sampling, text: str = "hello", **more) -> Request:
    return Request("m", prompt=text, sampling=sampling, **more)


@given(SAMPLINGS, st.integers(0, 4096))
def test_the_address_does_not_know_how_long_an_answer_may_get(sampling, other):
    longer = Sampling.from_document(sampling.document() | {"max_tokens": other})
    assert of(sampling).key == of(longer).key


@given(SAMPLINGS, SAMPLINGS)
def test_the_address_tells_everything_else_apart(one, other):
    same = all(one.document()[name] == other.document()[name] for name in one.document() if name != "max_tokens")
    assert (of(one).key == of(other).key) == same


def test_text_model_revision_sample_and_shape_are_in_the_address():
    sampling = Sampling()
    keys = {
        of(sampling).key,
        of(sampling, "hello ").key,
        of(sampling, revision="2").key,
        of(sampling, sample=1).key,
        Request("n", prompt="hello", sampling=sampling).key,
        Request("m", messages=({"role": "user", "content": "hello"},), sampling=sampling).key,
        Request("m", messages=({"role": "system", "content": "hello"},), sampling=sampling).key,
    }
    assert len(keys) == 7
    assert of(Sampling(temperature=1)).key == of(Sampling(temperature=1.0)).key
    assert len(of(sampling).key) == 64


def test_each_sample_goes_out_with_its_own_seed():
    assert of(Sampling(seed=7), sample=2).body()["seed"] == 9
    assert "seed" not in of(Sampling(), sample=2).body()


def test_what_the_standard_lacks_goes_out_only_if_it_is_set():
    plain = of(Sampling()).body()
    assert set(plain) == {"model", "prompt", "max_tokens", "temperature", "top_p"}
    fancy = of(Sampling(top_k=5, min_p=0.1, ignore_end=True, stop=("x",), alternatives=3)).body(stream=True)
    assert fancy["top_k"] == 5 and fancy["min_p"] == 0.1 and fancy["ignore_eos"] is True
    assert fancy["stop"] == ["x"] and fancy["logprobs"] == 3 and fancy["stream_options"] == {"include_usage": True}
    chat = Request("m", messages=({"role": "user", "content": "x"},), sampling=Sampling(alternatives=3))
    assert chat.body(limit_name="max_completion_tokens")["max_completion_tokens"] == 256
    assert chat.body()["logprobs"] is True and chat.body()["top_logprobs"] == 3


@given(st.text().filter(lambda text: text.isprintable()))
def test_a_prompt_is_never_bounded_below_its_bytes(text):
    size = len(text.encode())
    assert of(Sampling(), text).most_prompt_tokens >= size + 1
    chat = Request("m", messages=({"role": "user", "content": text}, {"role": "user", "content": text}))
    assert 2 * size + 20 <= chat.most_prompt_tokens <= 4 * size + 200  # quotes are counted as JSON writes them
    assert of(Sampling(), text, prompt_tokens=3).most_prompt_tokens == 3


def test_a_picture_has_no_bound():
    parts = [{"type": "image_url", "image_url": {"url": "data:…"}}]
    assert Request("m", messages=({"role": "user", "content": parts},)).most_prompt_tokens is None
    text = [{"type": "text", "text": "hello"}]
    assert Request("m", messages=({"role": "user", "content": text},)).most_prompt_tokens > 5


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"prompt": "a", "messages": ({"role": "user", "content": "b"},)},
        {"messages": ()},
        {"messages": ("hello",)},
        {"messages": ({"content": "hello"},)},
        {"messages": ({"role": "user", "content": 3},)},
        {"messages": ({"role": "user", "content": "x", "extra": {1}},)},
        {"prompt": json.loads('"\\ud800"')},
    ],
)
def test_what_is_no_request_is_refused_in_one_line(wrong):
    with pytest.raises(UserError) as refused:
        Request("m", **wrong)
    assert "\n" not in str(refused.value)

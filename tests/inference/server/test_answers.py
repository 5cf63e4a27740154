from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.server.tiny import TEXT
from orionlm.data.tokenizer import train_tokenizer
from orionlm.inference.server.answers import Writer
from orionlm.inference.server.errors import ApiError
from orionlm.inference.server.process import Served
from orionlm.inference.server.protocol import parse_chat, parse_completion
from orionlm.inference.server.tokens import Tokens

SERVED = Served("m", "ab" * 32, 1, 100, 320, 0, 2, 100, "cpu", 2.0)
PROMPTS = [[7, 8], [9]]


@pytest.fixture(scope="module")
def tokens() -> Tokens:
    return Tokens(train_tokenizer([TEXT * 3], 320).to_str())


@st.composite
def stories(draw: st.DrawFn) -> list[list[dict]]:
    """Batches of events of two prompts with two samples each, as an engine may send them."""
    queues = []
    for prompt in range(2):
        for sample in range(2):
            events = []
            for count in draw(st.lists(st.integers(0, 3), min_size=1, max_size=4)):
                ids = draw(st.lists(st.integers(0, 319), min_size=count, max_size=count))
                lps = [-float(number) for number in ids]
                text = draw(st.sampled_from(["", "a", "🙂", "人 b", "\n"]))
                events.append({"id": 50 + prompt, "sample": sample, "text": text, "tokens": ids, "logprobs": lps,
                               "sampled_logprobs": lps, "top": [[[5, -1.0]] for _ in ids], "finish": None})  # fmt: skip
            events[-1]["finish"] = draw(st.sampled_from(["stop", "length"]))
            if sample == 0:
                size = len(PROMPTS[prompt])
                events[0] |= {"cached": 1, "prompt_logprobs": [None, *[-2.0] * (size - 1)],
                              "prompt_top": [None, *[[[5, -1.0]]] * (size - 1)]}  # fmt: skip
            queues.append(events)
    batches: list[list[dict]] = [[]]
    while any(queues):
        queue = draw(st.sampled_from([queue for queue in queues if queue]))
        batches[-1].append(queue.pop(0))
        if draw(st.booleans()):
            batches.append([])
    return [batch for batch in batches if batch]


@given(stories(), st.booleans(), st.booleans(), st.booleans())
def test_chunks_put_together_are_the_whole_however_events_are_batched(tokens, batches, chat, logprobs, echo):
    fields = {"model": "m", "n": 2, "stream": True, "stream_options": {"include_usage": True}}
    if chat:
        how = {"messages": [{"role": "user", "content": "x"}], "logprobs": logprobs}
        asked = parse_chat(json.dumps(fields | how).encode())
    else:
        asked = parse_completion(
            json.dumps(fields | {"prompt": ["xy", "z"], "logprobs": 1 if logprobs else None, "echo": echo}).encode()
        )
    chunked, at_once = (Writer(asked, SERVED, "m", tokens, PROMPTS, 50) for _ in range(2))
    sent = b""
    for batch in batches:
        chunked.take(batch)
        sent += chunked.chunks()
    sent += chunked.ending()
    at_once.take([event for batch in batches for event in batch])
    whole = at_once.whole()

    *lines, last = sent.decode().removesuffix("\n\n").split("\n\n")
    assert last == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines]
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"] == whole["usage"]
    assert whole["usage"]["prompt_tokens_details"] == {"cached_tokens": 2}
    texts, finishes, scores = {}, {}, {}
    for chunk in chunks[:-1]:
        (choice,) = chunk["choices"]
        index = choice["index"]
        assert index not in finishes
        if chat and index not in texts:
            assert choice["delta"] == {"role": "assistant", "content": ""}
        texts[index] = texts.get(index, "") + (choice["delta"].get("content", "") if chat else choice["text"])
        if choice["logprobs"]:
            for name, values in choice["logprobs"].items():
                scores.setdefault(index, {}).setdefault(name, []).extend(values or [])
        if choice["finish_reason"]:
            finishes[index] = choice["finish_reason"]
    for choice in whole["choices"]:
        text = choice["message"]["content"] if chat else choice["text"]
        assert texts[choice["index"]] == text and finishes[choice["index"]] == choice["finish_reason"]
        if echo and not chat:
            assert text.startswith(["xy", "z"][choice["index"] // 2])
        assert bool(choice["logprobs"]) == logprobs
        for name, values in (choice["logprobs"] or {}).items():
            assert scores.get(choice["index"], {}).get(name, []) == (values or [])


def test_a_sample_that_the_engine_gave_up_is_an_error(tokens):
    asked = parse_completion(b'{"model": "m", "prompt": ["a", "b"], "n": 2}')
    event = {"id": 50, "sample": 0, "text": "", "tokens": [], "finish": "error", "error": "no room"}
    with pytest.raises(ApiError, match="no room") as caught:
        Writer(asked, SERVED, "m", tokens, PROMPTS, 50).take([event])
    assert caught.value.status == 500

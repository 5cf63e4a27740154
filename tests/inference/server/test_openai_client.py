"""The real `openai` client against a real `orion serve`."""

from __future__ import annotations

import asyncio
import itertools
import time

import openai
import pytest

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Was ist 人? 🙂🎉"}]
LONG = {"max_tokens": 3000, "extra_body": {"ignore_eos": True}}


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30) as made:
        yield made


def wait_until_idle(server, seconds: float = 5.0) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = server.metrics()
        if not found["orion_unfinished"] and not found["orion_running"] and not found["orion_waiting"]:
            return
        time.sleep(0.02)
    raise AssertionError(found)


def streamed(stream) -> tuple[dict[int, str], dict[int, str], object]:
    """Text and finish by index, and the usage, of chat or completion chunks."""
    texts: dict[int, str] = {}
    finishes: dict[int, str] = {}
    usage = None
    for chunk in stream:
        if not chunk.choices:
            usage = chunk.usage
        for choice in chunk.choices:
            more = choice.delta.content if hasattr(choice, "delta") else choice.text
            assert choice.index not in finishes, "text after the finish"
            texts[choice.index] = texts.get(choice.index, "") + (more or "")
            if choice.finish_reason:
                finishes[choice.index] = choice.finish_reason
    return texts, finishes, usage


def test_models_are_listed_and_described(client):
    (model,) = client.models.list().data
    assert (model.id, model.object, model.owned_by) == ("tiny", "model", "orion")
    assert set(model.orion) == {"revision", "context", "parameters", "flops_per_token"}
    assert client.models.retrieve("tiny").orion == model.orion
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-4")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("n", [1, 3])
def test_a_chat_streams_what_it_answers_whole(client, n):
    how = {"model": "tiny", "messages": MESSAGES, "n": n, "seed": 7, "max_completion_tokens": 60}
    whole = client.chat.completions.create(**how)
    assert [choice.index for choice in whole.choices] == list(range(n))
    assert whole._request_id and whole.system_fingerprint == client.models.list().data[0].orion["revision"][:16]
    texts, finishes, usage = streamed(
        client.chat.completions.create(**how, stream=True, stream_options={"include_usage": True})
    )
    assert texts == {choice.index: choice.message.content for choice in whole.choices}
    assert finishes == {choice.index: choice.finish_reason for choice in whole.choices}
    for field in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert getattr(usage, field) == getattr(whole.usage, field)
    assert len(set(texts.values())) == n, "samples of one prompt differ"


def test_a_chat_stream_begins_with_the_role_and_ends_with_finish_and_usage(client):
    chunks = list(
        client.chat.completions.create(
            model="tiny", messages=MESSAGES, max_tokens=20, stream=True, stream_options={"include_usage": True}
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[0].choices[0].delta.content == ""
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == [] and chunks[-1].usage.completion_tokens <= 20
    assert chunks[-2].choices[0].finish_reason and chunks[-2].choices[0].delta.content is None
    assert len({chunk.id for chunk in chunks}) == 1
    without = list(client.chat.completions.create(model="tiny", messages=MESSAGES, max_tokens=2, stream=True))
    assert all(chunk.choices and chunk.usage is None for chunk in without)


def test_completions_stream_what_they_answer_whole_for_several_prompts(client):
    prompts = ["The quick", "人は", ""]
    how = {"model": "tiny", "prompt": prompts, "n": 2, "seed": 3, "max_tokens": 40}
    whole = client.completions.create(**how)
    assert [choice.index for choice in whole.choices] == list(range(6))
    texts, finishes, usage = streamed(
        client.completions.create(**how, stream=True, stream_options={"include_usage": True})
    )
    assert texts == {choice.index: choice.text for choice in whole.choices}
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.prompt_tokens == whole.usage.prompt_tokens
    for place, prompt in enumerate(prompts):
        alone = client.completions.create(**how | {"prompt": prompt})
        assert [c.text for c in alone.choices] == [c.text for c in whole.choices[2 * place : 2 * place + 2]]


def test_completions_default_to_16_tokens_and_chats_to_what_fits(client):
    assert (
        client.completions.create(model="tiny", prompt="a", extra_body={"ignore_eos": True}).usage.completion_tokens
        == 16
    )
    long = client.chat.completions.create(
        model="tiny", messages=[{"role": "user", "content": "a " * 4000}], extra_body={"ignore_eos": True}, seed=1
    )
    assert long.usage.total_tokens == 4096 or long.choices[0].finish_reason == "stop"


def test_what_the_random_model_says_is_always_whole_characters(client):
    """Its tokens are bytes in any order: broken characters must come as U+FFFD, whole ones never in halves."""
    for seed in range(3):
        how = {"model": "tiny", "prompt": "🙂", "max_tokens": 120, "seed": seed, "temperature": 1.5}
        whole = client.completions.create(**how, extra_body={"ignore_eos": True}).choices[0].text
        texts, _, _ = streamed(client.completions.create(**how, extra_body={"ignore_eos": True}, stream=True))
        assert texts[0] == whole
        whole.encode()


def test_a_stop_string_ends_the_text_before_it_however_tokens_cut_it(client):
    free = client.completions.create(model="tiny", prompt="The", max_tokens=60, seed=5, temperature=0.7).choices[0].text
    spans = [free[at : at + 5] for at in range(8, 30) if "\ufffd" not in free[at : at + 5]]
    assert len(spans) > 3
    for span in spans[::3]:
        how = {"model": "tiny", "prompt": "The", "max_tokens": 60, "seed": 5, "temperature": 0.7}
        for stop in (span, ["never this", span]):
            answer = client.completions.create(**how, stop=stop)
            assert answer.choices[0].text == free[: free.index(span)]
            assert answer.choices[0].finish_reason == "stop"
            assert streamed(client.completions.create(**how, stop=stop, stream=True))[0][0] == answer.choices[0].text
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="tiny", prompt="The", stop=[""])


def test_chat_logprobs_are_the_same_streamed_and_whole(client):
    how = {"model": "tiny", "messages": MESSAGES, "max_tokens": 40, "seed": 11, "temperature": 0.6}
    asked = how | {"logprobs": True, "top_logprobs": 3}
    content = client.chat.completions.create(**asked).choices[0].logprobs.content
    parts = [
        chunk.choices[0].logprobs.content
        for chunk in client.chat.completions.create(**asked, stream=True)
        if chunk.choices[0].logprobs
    ]
    flat = list(itertools.chain(*parts))
    assert [token.token for token in flat] == [token.token for token in content]
    for one, other in zip(flat, content, strict=True):
        assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
        assert one.model_extra["sampled_logprob"] == pytest.approx(other.model_extra["sampled_logprob"], abs=1e-4)
        assert one.bytes == other.bytes and len(one.top_logprobs) == 3
        ranked = [best.logprob for best in one.top_logprobs]
        assert ranked == sorted(ranked, reverse=True) and one.logprob <= ranked[0] + 1e-6
    assert any(one.logprob != pytest.approx(one.model_extra["sampled_logprob"], abs=1e-3) for one in flat)
    text = bytes(itertools.chain.from_iterable(token.bytes or [] for token in content)).decode("utf-8", "replace")
    assert text == client.chat.completions.create(**asked).choices[0].message.content
    assert client.chat.completions.create(**how).choices[0].logprobs is None
    bare = client.chat.completions.create(**how, logprobs=True).choices[0].logprobs.content
    assert [token.top_logprobs for token in bare] == [[]] * len(bare)


def test_completion_logprobs_are_the_same_streamed_and_whole(client):
    how = {"model": "tiny", "prompt": "The quick", "max_tokens": 30, "seed": 2, "logprobs": 2, "n": 2}
    for choice in client.completions.create(**how).choices:
        assert len(choice.logprobs.tokens) == len(choice.logprobs.token_logprobs) == len(choice.logprobs.text_offset)
        scores = choice.logprobs
        for token, own, top in zip(scores.tokens, scores.token_logprobs, scores.top_logprobs, strict=True):
            assert top[token] == own and len(top) in (2, 3)
    whole = {choice.index: choice.logprobs for choice in client.completions.create(**how).choices}
    found: dict[int, dict[str, list]] = {}
    for chunk in client.completions.create(**how, stream=True):
        for choice in chunk.choices:
            for name, values in choice.logprobs.to_dict().items():
                found.setdefault(choice.index, {}).setdefault(name, []).extend(values)
    for index, lists in found.items():
        assert lists["tokens"] == whole[index].tokens and lists["text_offset"] == whole[index].text_offset
        assert lists["token_logprobs"] == pytest.approx(whole[index].token_logprobs, abs=1e-4)
        assert len(lists["sampled_logprobs"]) == len(lists["tokens"])


def test_text_offsets_say_where_each_token_stands_in_the_text(client):
    for seed in range(4):
        choice = client.completions.create(
            model="tiny", prompt="x 🙂 y", max_tokens=60, seed=seed, temperature=1.5, logprobs=0, echo=True,
            extra_body={"ignore_eos": True},
        ).choices[0]  # fmt: skip
        plain = [
            (token, offset)
            for token, offset in zip(choice.logprobs.tokens, choice.logprobs.text_offset, strict=True)
            if not token.startswith(("bytes:", "<|", "<unused"))
        ]
        assert len(plain) > 20 and "\ufffd" in choice.text
        assert [choice.text[at : at + len(token)] for token, at in plain] == [token for token, _ in plain]


def test_a_given_text_is_scored_by_echo_as_evaluation_harnesses_do(client, checkpoint):
    import torch

    from orionlm.data.tokenizer import load_tokenizer
    from orionlm.model.checkpoint import load

    text = "The quick brown 🙂 fox"
    ids = load_tokenizer((checkpoint / "tokenizer.json").read_text()).encode(text).ids
    expected = load(checkpoint)(torch.tensor([ids])).log_softmax(-1)[0].detach()
    for prompt, extra in ((text, 0), (ids, 0), (text, 1)):
        choice = client.completions.create(
            model="tiny", prompt=prompt, echo=True, logprobs=1, max_tokens=extra, temperature=0
        ).choices[0]
        assert choice.text.startswith(text) and (extra or choice.text == text)
        scores = choice.logprobs.token_logprobs
        assert scores[0] is None and choice.logprobs.top_logprobs[0] is None and len(scores) == len(ids) + extra
        for place in range(1, len(ids)):
            assert scores[place] == pytest.approx(float(expected[place - 1, ids[place]]), abs=1e-4)
            best = max(choice.logprobs.top_logprobs[place].values())
            assert best == pytest.approx(float(expected[place - 1].max()), abs=1e-4)
        assert choice.logprobs.text_offset[-1] < len(text) + 1
    two = client.completions.create(model="tiny", prompt=[ids, ids[:3]], echo=True, logprobs=0, max_tokens=0, n=2)
    assert [len(choice.logprobs.tokens) for choice in two.choices] == [len(ids)] * 2 + [3, 3]
    plain = client.completions.create(model="tiny", prompt=text, echo=True, max_tokens=0)
    assert plain.choices[0].text == text and plain.choices[0].logprobs is None and plain.usage.completion_tokens == 0


def test_many_asynchronous_requests_answer_as_alone(server, client):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as many:

            async def one(seed: int) -> str:
                how = {"model": "tiny", "messages": MESSAGES, "seed": seed, "max_tokens": 25}
                if seed % 2:
                    return (await many.chat.completions.create(**how)).choices[0].message.content
                parts = []
                async for chunk in await many.chat.completions.create(**how, stream=True):
                    parts.append(chunk.choices[0].delta.content or "")
                return "".join(parts)

            return await asyncio.gather(*map(one, range(10)))

    for seed, text in enumerate(asyncio.run(ask())):
        how = {"model": "tiny", "messages": MESSAGES, "seed": seed, "max_tokens": 25}
        assert client.chat.completions.create(**how).choices[0].message.content == text


def test_closing_a_stream_ends_the_work(server, client):
    stream = client.completions.create(model="tiny", prompt="The", stream=True, n=4, **LONG)
    next(iter(stream))
    assert server.metrics()["orion_running"] == 4
    stream.close()
    wait_until_idle(server)


def test_callers_that_leave_before_the_first_token_free_their_places(server, client):
    """All slots are taken, so the others have no token yet; both ways of asking, streaming and not."""
    busy = client.completions.create(model="tiny", prompt="The", stream=True, n=4, **LONG)
    next(iter(busy))

    async def leave() -> None:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as other:
            for stream in (False, True):
                asking = asyncio.create_task(
                    other.completions.create(model="tiny", prompt="The", stream=stream, max_tokens=5)
                )
                while server.metrics()["orion_unfinished"] != 5:
                    await asyncio.sleep(0.005)
                assert server.metrics()["orion_running"] == 4
                before = server.metrics()["orion_generated_tokens_total"]
                asking.cancel()
                while server.metrics()["orion_unfinished"] != 4:
                    await asyncio.sleep(0.002)
                while server.metrics()["orion_waiting"]:
                    await asyncio.sleep(0.002)
                assert server.metrics()["orion_generated_tokens_total"] > before, "the others go on"

    asyncio.run(asyncio.wait_for(leave(), 10))
    busy.close()
    wait_until_idle(server)


def test_too_many_waiting_are_told_when_to_come_again(server, client):
    busy = client.completions.create(model="tiny", prompt="The", stream=True, n=12, **LONG)
    next(iter(busy))
    with pytest.raises(openai.RateLimitError) as caught:
        client.completions.create(model="tiny", prompt="The")
    assert caught.value.code == "rate_limit_exceeded" and caught.value.type == "rate_limit_error"
    assert int(caught.value.response.headers["retry-after"]) >= 1
    busy.close()
    wait_until_idle(server)
    assert client.completions.create(model="tiny", prompt="The").choices

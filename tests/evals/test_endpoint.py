from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from evals.simulated import choices, suite
from inference.client.scripted_server import Scripted, completion, refusal
from inference.server import tiny
from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, TooLong
from orionlm.evals.checkpoint import Checkpoint
from orionlm.evals.endpoint import Remote
from orionlm.evals.run import evaluate
from orionlm.inference.client.endpoint import Endpoint
from orionlm.sampling import Sampling
from orionlm.tasks.task import Extraction, Item, Task

GREEDY = Sampling(max_tokens=6, temperature=0.0)
WORDS = Task(
    "words", "generate", tuple(Item(str(n), f"2 + 2 = ({n})", answer="4") for n in range(12)), chat=True,
    extraction=Extraction(form="number"), sampling=GREEDY,
)  # fmt: skip


@contextmanager
def scripted(script: Any) -> Iterator[Scripted]:
    """A server in a thread, with an event loop of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    server = Scripted(script)
    asyncio.run_coroutine_threadsafe(server.__aenter__(), loop).result(10)
    try:
        yield server
    finally:
        asyncio.run_coroutine_threadsafe(server.__aexit__(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@contextmanager
def remote(url: str, store, **options: Any) -> Iterator[Remote]:
    found = Remote(Endpoint.at(url), store, backoff_seconds=0.01, **options)
    try:
        yield found
    finally:
        found.close()


def test_what_an_endpoint_says_is_graded_and_a_second_run_buys_nothing(tmp_path):
    def says(body, n):
        return completion("4" if "1" in body["messages"][-1]["content"] else "five")

    with scripted(says) as server:
        with remote(server.url, tmp_path / "store") as model:
            first = evaluate(suite(WORDS), model, tmp_path / "out")
        bought = len(server.bodies)
        with remote(server.url, tmp_path / "store") as model:
            assert evaluate(suite(WORDS), model, tmp_path / "out") == first
        assert len(server.bodies) == bought == 12
    assert first.summary["tasks"][0]["outcomes"] == {"right": 3, "unparsable": 9}


def test_an_endpoint_that_fails_half_way_is_asked_the_rest_by_the_next_run(tmp_path):
    broken = True

    def says(body, n):
        number = int(body["messages"][-1]["content"].split("(")[1].rstrip(")"))
        return refusal(500) if broken and number >= 6 else completion("4")

    with scripted(says) as server:
        with (
            remote(server.url, tmp_path / "store", tries=1) as model,
            pytest.raises(UserError, match="6 of 12 questions have no answer yet .*run it again to go on"),
        ):
            evaluate(suite(WORDS), model, tmp_path / "out")
        broken, before = False, len(server.bodies)
        with remote(server.url, tmp_path / "store", tries=1) as model:
            results = evaluate(suite(WORDS), model, tmp_path / "out")
        assert len(server.bodies) - before == 6
    assert results.summary["tasks"][0]["outcomes"] == {"right": 12}


def test_a_question_beyond_the_servers_context_is_too_long_and_no_failure(tmp_path):
    def says(body, n):
        return refusal(400, "This model's maximum context length is 8 tokens", code="context_length_exceeded")

    with scripted(says) as server, remote(server.url, tmp_path / "store") as model:
        [(_, found)] = model.write([("much too long", GREEDY)])
        assert isinstance(found, TooLong)


def test_a_question_that_fits_is_asked_for_what_the_context_leaves(tmp_path):
    def says(body, n):
        if body["max_tokens"] > 4:
            line = "This model's maximum context length is 128 tokens, but the prompt has 124 tokens and 6 to come"
            return refusal(400, line, "context_length_exceeded")
        return completion("4", finish="length")

    with scripted(says) as server, remote(server.url, tmp_path / "store") as model:
        found = dict(model.write([([{"role": "user", "content": item.question}], GREEDY) for item in WORDS.items[:3]]))
    assert [[one.text for one in written] for written in found.values()] == [["4"]] * 3
    assert len(server.bodies) == 6


@pytest.mark.parametrize("log", [0.5, "nan", -float("inf")])
def test_log_probabilities_that_are_none_fail_their_question(tmp_path, log):
    def says(body, n):
        logprobs = {"tokens": ["a", "b"], "token_logprobs": [None, float(log)], "text_offset": [0, 1]}
        choice = {"text": "ab", "finish_reason": "length", "logprobs": logprobs | {"top_logprobs": [None, {"b": -1.0}]}}
        return {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 0}}

    with scripted(says) as server, remote(server.url, tmp_path / "store") as model:
        [(_, found)] = model.score([("a", "b")])
    assert isinstance(found, Failed)


def test_lists_of_alternatives_of_another_length_are_one_line(tmp_path):
    def says(body, n):
        logprobs = {"tokens": ["a", "b"], "token_logprobs": [None, -1.0], "text_offset": [0, 1], "top_logprobs": [None]}
        choice = {"text": "ab", "finish_reason": "length", "logprobs": logprobs}
        return {"model": "m", "choices": [choice], "usage": {"prompt_tokens": 2, "completion_tokens": 0}}

    with scripted(says) as server, remote(server.url, tmp_path / "store") as model, pytest.raises(UserError):
        dict(model.score([("a", "b")]))


def test_every_sample_is_a_request_of_its_own(tmp_path):
    seeds = []

    def says(body, n):
        seeds.append(body["seed"])
        return completion(f"answer {body['seed']}")

    asked = ([{"role": "user", "content": "hi"}], Sampling(max_tokens=6, temperature=1.0, n=3, seed=10))
    with scripted(says) as server, remote(server.url, tmp_path / "store") as model:
        [(_, found)] = model.write([asked])
    assert [one.text for one in found] == ["answer 10", "answer 11", "answer 12"]
    assert sorted(seeds) == [10, 11, 12]


def test_a_server_that_echoes_no_likelihoods_is_named_in_one_line(tmp_path):
    def says(body, n):
        return {"choices": [{"text": "echo", "finish_reason": "length"}], "usage": None}

    for script in (says, lambda body, n: refusal(400, "echo is not supported")):
        with (
            scripted(script) as server,
            remote(server.url, tmp_path / f"store-{id(script)}") as model,
            pytest.raises(UserError, match="needs log-probabilities of given text, and http.* does not echo them") as e,
        ):
            evaluate(suite(choices(2)), model, tmp_path / "out")
        assert "\n" not in str(e.value)


def test_choices_in_a_chat_need_the_checkpoint(tmp_path):
    task = Task("truth", "choice", choices(2).items, chat=True)
    with (
        scripted(None) as server,
        remote(server.url, tmp_path / "store") as model,
        pytest.raises(UserError, match="chat template"),
    ):
        evaluate(suite(task), model, tmp_path / "out")


def test_no_server_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no server at"):
        Remote(Endpoint.at("http://127.0.0.1:9/v1"), tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_a_server_that_goes_away_leaves_failures(tmp_path):
    with scripted(lambda body, n: refusal(503)) as server, remote(server.url, tmp_path / "store", tries=1) as model:
        [(_, found)] = model.write([("hello", GREEDY)])
        assert isinstance(found, Failed)


class Struck(BaseException):
    pass


def test_a_signal_breaks_it_off_and_leaves_the_store_to_the_next_run(tmp_path):
    async def says(body, n):
        if "(5)" in body["messages"][-1]["content"]:
            await asyncio.sleep(1)
        return completion("4")

    def strike(number, frame):
        raise Struck

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with scripted(says) as server:
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            with pytest.raises(Struck), remote(server.url, tmp_path / "store") as model:
                evaluate(suite(WORDS), model, tmp_path / "out")
            with remote(server.url, tmp_path / "store") as model:
                assert len(evaluate(suite(WORDS), model, tmp_path / "out").rows) == 12
            assert len(server.bodies) == 12, "what was in flight was waited for"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.slow
def test_our_own_server_gives_the_numbers_of_the_checkpoint_itself(tmp_path):
    folder = tiny.make_checkpoint(tmp_path / "tiny")
    truth = Task("truth", "choice", tuple(
        Item(str(n), tiny.TEXT[n * 9 : n * 9 + 40], (tiny.TEXT[n : n + 7], " fox", " sum(value"), 1) for n in range(8)
    ))  # fmt: skip
    said = Task("said", "generate", WORDS.items, extraction=WORDS.extraction, sampling=GREEDY)
    text = Task("text", "text", (Item("0", tiny.TEXT[:200]),))
    with tiny.served(folder, cache=tmp_path / "cache") as server, remote(server.url, tmp_path / "store") as model:
        far = evaluate(suite(truth, said, text), model, tmp_path / "far")
        assert model.flops_per_token and model.tokens
    near = evaluate(suite(truth, said, text), Checkpoint(folder), tmp_path / "near")
    for one, other in zip(far.rows, near.rows, strict=True):
        if one.task == "text":
            continue
        assert (one.task, one.item, one.outcome, one.text) == (other.task, other.item, other.outcome, other.text)
        assert one.log_probabilities == pytest.approx(other.log_probabilities, abs=1e-4)
    (near_text,), (far_text,) = near.of("text"), far.of("text")
    assert far_text.tokens[0] == near_text.tokens[0] - 1, "nothing comes before the first token there"
    assert far_text.bytes < near_text.bytes

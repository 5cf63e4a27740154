from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import threading
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from inference.client.scripted_server import Script, Scripted, asked, completion, refusal
from orionlm.errors import UserError
from orionlm.inference.client import client as client_module
from orionlm.inference.client import transport
from orionlm.inference.client.budget import Amount, Budget, Limits, Tariff
from orionlm.inference.client.client import Client, ask
from orionlm.inference.client.endpoint import Endpoint
from orionlm.inference.client.prices import Price, PriceList
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer
from orionlm.inference.client.store import FILE, Store
from orionlm.sampling import Sampling

TARIFF = Tariff(PriceList((Price(model="m", prompt=1.0, completion=1.0, source="s", date="d"),)), {"m": 10.0})


@asynccontextmanager
async def over(script: Script | None, store: Path, **options: Any):
    async with Scripted(script) as server:
        options = {"backoff_seconds": 0.01, "timeout": 5.0, "stall": 1.0} | options
        budget = options.pop("budget", None)
        async with Client(options.pop("endpoint", None) or server.url, store, budget, **options) as client:
            yield server, client


def run(
    script: Script | None, store: Path, *requests: Request, **options: Any
) -> tuple[list[Answer], Scripted, Client]:
    """Ask at once, in one client."""

    async def main():
        async with over(script, store, **options) as (server, client):
            answers = await asyncio.gather(*(client.answer(request) for request in requests))
        return answers, server, client

    answers, server, client = asyncio.run(main())
    with Store(store) as left:  # what the budget holds in memory is what the next run will find
        assert left.spent() == client.budget.spent and left.orphaned == 0 and client.budget.reserved == Amount()
    return answers, server, client


def test_an_answer_is_bought_once(tmp_path):
    (first,), server, _ = run(None, tmp_path, asked("hello"))
    assert first.text == "you said hello" and first.finish == "stop" and not first.stored
    assert (first.prompt_tokens, first.completion_tokens, first.status, first.attempts) == (5, 7, 200, 1)
    assert first.revision == "unpinned/m-2/fp"
    (again,), server, client = run(None, tmp_path, asked("hello"))
    assert again.text == "you said hello" and again.stored
    assert not server.asked and client.tally.stored == 1


def test_those_who_ask_the_same_at_once_share_one_purchase(tmp_path):
    answers, server, _ = run(None, tmp_path, *[asked("hello")] * 20)
    assert {answer.text for answer in answers} == {"you said hello"} and server.asked["hello"] == 1


def test_more_length_buys_only_what_was_cut(tmp_path):
    def script(body, n):
        cut = body["messages"][0]["content"] == "long" and body["max_tokens"] < 100
        return completion("x", "length" if cut else "stop")

    run(script, tmp_path, asked("long"), asked("short"))
    answers, server, _ = run(script, tmp_path, asked("long", max_tokens=200), asked("short", max_tokens=200))
    assert server.asked == {"long": 1} and [answer.finish for answer in answers] == ["stop", "stop"]


def test_bulk_yields_all_as_they_come_and_serves_the_rest(tmp_path):
    async def main() -> None:
        async with over(None, tmp_path, concurrency=16) as (server, client):
            requests = [asked(f"{n % 150}") for n in range(200)]
            got = [(request, answer) async for request, answer in client.ask(requests)]
            assert len(got) == 200 and server.asked.total() == 150 and server.most <= 16
            assert all(answer.text == f"you said {request.messages[0]['content']}" for request, answer in got)
            assert client.tally.bought == 150 and client.in_flight == 0

    asyncio.run(main())


def test_leaving_the_bulk_early_sends_no_more(tmp_path):
    async def slow(body, n):
        await asyncio.sleep(0.05)

    async def main() -> None:
        async with over(slow, tmp_path, concurrency=4) as (server, client):
            answers = client.ask(asked(str(n)) for n in range(100))
            async for _ in answers:
                break
            await answers.aclose()
            await asyncio.sleep(0.3)
            assert server.asked.total() <= 9
            assert (await client.answer(asked("0"))).ok

    asyncio.run(main())


def test_one_poisoned_row_touches_no_other(tmp_path):
    def script(body, n):
        return refusal(400, "poison") if "7" in body["messages"][0]["content"] else None

    answers, server, _ = run(script, tmp_path, *(asked(str(n)) for n in range(60)))
    bad = [answer for answer in answers if not answer.ok]
    assert len(bad) == 6 and len([answer for answer in answers if answer.ok]) == 54
    assert {answer.error for answer in bad} == {"HTTP 400: poison"} and all(answer.permanent for answer in bad)
    assert max(server.asked.values()) == 1
    assert "poison" in bad[0].excerpt


def test_permanent_failures_are_tried_again_only_if_told(tmp_path):
    def script(body, n):
        return refusal(422)

    run(script, tmp_path, asked("a"))
    (answer,), server, client = run(None, tmp_path, asked("a"))
    assert answer.error and not server.asked and client.tally.failed == 1
    (answer,), server, _ = run(None, tmp_path, asked("a"), retry_failed=True)
    assert answer.ok


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(tmp_path, status):
    answers, server, client = run(lambda body, n: refusal(status) if n < 3 else None, tmp_path, asked("a"))
    assert answers[0].ok and answers[0].attempts == 3 and client.tally.retries == 2
    assert client.budget.spent.tokens == 12  # the failed calls were not billed


def test_it_gives_up_with_a_row_and_tries_again_in_the_next_run(tmp_path):
    (answer,), server, _ = run(lambda body, n: refusal(500, "broken"), tmp_path, asked("a"), tries=3)
    assert answer.error == "HTTP 500: broken" and answer.attempts == 3 and server.asked["a"] == 3
    assert not answer.permanent
    (answer,), _, _ = run(None, tmp_path, asked("a"))
    assert answer.ok


def test_quota_and_shouldretry_false_are_not_retried(tmp_path):
    def script(body, n):
        if body["messages"][0]["content"] == "quota":
            return refusal(429, "out of money", "insufficient_quota")
        return refusal(503, "closed", **{"x-should-retry": "false"})

    answers, server, _ = run(script, tmp_path, asked("quota"), asked("closed"))
    assert server.asked == {"quota": 1, "closed": 1}
    assert not any(answer.permanent for answer in answers)


@pytest.mark.parametrize("status", [401, 404])
def test_where_no_request_can_succeed_it_stops(tmp_path, status):
    async def main() -> None:
        async with over(lambda body, n: refusal(status, "who are you"), tmp_path, concurrency=4) as (server, client):
            got = [answer async for _, answer in client.ask(asked(str(n)) for n in range(500))]
            assert len(got) == 500 and not any(answer.ok for answer in got)
            assert server.asked.total() <= 20
            assert "who are you" in client.tally.stopped_by and client.tally.refused >= 480

    asyncio.run(main())


def body_of(reply: bytes | str, **more: Any) -> web.Response:
    return web.Response(body=reply, content_type="application/json", **more)


BROKEN = {
    "not JSON": b'{"choices": [',
    "HTML": b"<html>hello</html>",
    "empty": b"",
    "no choices": b'{"choices": []}',
    "wrong type": b'{"choices": [{"message": {"content": 5}, "finish_reason": "stop"}]}',
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_malformed_200_is_a_row_and_stays_spent(tmp_path, kind):
    (answer,), _, client = run(lambda body, n: body_of(BROKEN[kind]), tmp_path, asked("a"), tries=2)
    assert answer.error.startswith("malformed response") and not answer.ok
    worst = client.budget.worst(asked("a")).tokens
    assert client.budget.spent.tokens == 2 * worst and client.tally.lost == 2


def test_a_body_beyond_all_bounds_is_not_read_to_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_BODY", 1 << 20)
    sent = 0

    async def endless(body, n):
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(current["request"])
        while True:
            await response.write(b" " * 65536)
            sent += 65536

    current: dict[str, web.Request] = {}
    answers = _with_raw(endless, current, tmp_path, tries=1)
    assert "more than 1 MiB" in answers[0].error and sent < 64 << 20


def _with_raw(handler, current, store, *requests: Request, **options) -> list[Answer]:
    """`handler` finds the aiohttp request in `current`."""

    async def main():
        server = Scripted(handler)
        reply = server._reply

        async def raw(request: web.Request) -> web.StreamResponse:
            current["request"] = request
            return await reply(request)

        server._reply = raw  # type: ignore[method-assign]
        options_ = {"backoff_seconds": 0.01, "timeout": 5.0, "stall": 0.3} | options
        async with server, Client(server.url, store, **options_) as client:
            return [await client.answer(request) for request in requests or (asked("a"),)]

    return asyncio.run(main())


async def chunked(request: web.Request, chunks: list[dict | str], hang: bool = False, cut: bool = False):
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for chunk in chunks:
        line = chunk if isinstance(chunk, str) else json.dumps(chunk)
        await response.write(f"data: {line}\n\n".encode())
    if hang:
        await asyncio.sleep(30)
    if cut:
        request.transport.close()
    return response


PIECES: list[dict | str] = [{"choices": [{"delta": {"content": piece}}]} for piece in ("Grü", "ße 数")]
END: list[dict | str] = [
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 4, "completion_tokens": 2}},
    "[DONE]",
]


def test_a_stream_is_an_answer(tmp_path):
    current: dict[str, web.Request] = {}
    (answer,) = _with_raw(lambda body, n: chunked(current["request"], PIECES + END), current, tmp_path, stream=True)
    assert (answer.text, answer.finish, answer.prompt_tokens, answer.completion_tokens) == ("Grüße 数", "stop", 4, 2)


@pytest.mark.parametrize(
    "chunks, how, said",
    [
        (PIECES, {}, "truncated stream"),
        (PIECES + END[:1], {}, "truncated stream"),
        (PIECES + END[2:], {}, "truncated stream"),
        (PIECES, {"hang": True}, "stalled: nothing for 0.3 s"),
        (PIECES, {"cut": True}, "the connection broke"),
        (PIECES + [{"error": {"message": "overloaded"}}], {}, "error in the stream: overloaded"),
        ([], {"hang": True}, "stalled"),
    ],
)
def test_a_stream_that_breaks_off_is_never_an_answer(tmp_path, chunks, how, said):
    current: dict[str, web.Request] = {}
    (answer,) = _with_raw(
        lambda body, n: chunked(current["request"], chunks, **how), current, tmp_path, stream=True, tries=1
    )
    assert not answer.ok and said in answer.error


def test_a_stream_said_in_full_is_an_answer_though_the_connection_hangs(tmp_path):
    current: dict[str, web.Request] = {}
    (answer,) = _with_raw(
        lambda body, n: chunked(current["request"], PIECES + END, hang=True), current, tmp_path, stream=True
    )
    assert answer.ok


def test_time_is_limited_and_a_call_that_ran_out_of_it_stays_spent(tmp_path):
    async def slow(body, n):
        await asyncio.sleep(10)

    (answer,), _, client = run(slow, tmp_path, asked("a"), tries=2, timeout=0.2)
    assert "no whole response in 0.2 s" in answer.error and client.tally.lost == 2
    assert client.budget.spent.tokens == 2 * client.budget.worst(asked("a")).tokens


def test_nobody_there_costs_nothing(tmp_path):
    async def main():
        async with Scripted() as server:
            url = server.url
        async with Client(url, tmp_path, tries=2, backoff_seconds=0.01) as client:
            return await client.answer(asked("a")), client

    answer, client = asyncio.run(main())
    assert "no connection" in answer.error and client.budget.spent == Amount() and client.tally.lost == 0


def test_a_back_off_holds_no_slot(tmp_path):
    def script(body, n):
        return refusal(500) if body["messages"][0]["content"] == "bad" and n < 3 else None

    async def main() -> None:
        async with over(script, tmp_path, concurrency=1, backoff_seconds=5.0) as (server, client):
            bad = asyncio.create_task(client.answer(asked("bad")))
            await asyncio.sleep(0.05)
            await asyncio.gather(*(client.answer(asked(str(n))) for n in range(20)))
            assert not bad.done()
            bad.cancel()

    random.seed(5)
    asyncio.run(main())


@pytest.mark.parametrize("header", [{"Retry-After": "0.4"}, {"retry-after-ms": "400"}])
def test_retry_after_is_obeyed_by_all_and_counts_as_no_try(tmp_path, header):
    times: list[float] = []

    def script(body, n):
        times.append(time.monotonic())
        return refusal(429, **header) if len(times) in (1, 2) else None

    answers, server, client = run(script, tmp_path, asked("a"), asked("b"), sequential=True, tries=1)
    assert all(answer.ok for answer in answers)
    assert times[1] - times[0] >= 0.4 and times[2] - times[1] >= 0.4
    assert client.tally.pushed_back == 2


def test_429s_do_not_last_for_ever(tmp_path):
    (answer,), server, _ = run(
        lambda body, n: refusal(429, "full", **{"Retry-After": "0.01"}), tmp_path, asked("a"), tries=3, patience=0.1
    )
    assert answer.error == "HTTP 429: full" and server.asked["a"] > 3


def test_concurrency_falls_where_the_server_pushes_back(tmp_path):
    async def script(body, n):
        if server_now() > 6:
            return refusal(429, "too many")
        await asyncio.sleep(0.02)

    holder: list[Scripted] = []

    def server_now() -> int:
        return holder[0].now

    async def main() -> None:
        async with over(script, tmp_path, concurrency=64, tries=50) as (server, client):
            holder.append(server)
            got = [answer async for _, answer in client.ask(asked(str(n)) for n in range(300))]
            assert all(answer.ok for answer in got)
            assert client.limiter.limit < 16
            assert client.tally.pushed_back < 200

    asyncio.run(main())


# The budget


def test_the_budget_is_never_exceeded_and_says_what_is_left_out(tmp_path):
    async def main() -> None:
        budget = Budget(Limits(tokens=3000), TARIFF)
        async with over(None, tmp_path, budget=budget, concurrency=8) as (server, client):
            got = [answer async for _, answer in client.ask(asked(str(n)) for n in range(400))]
            refused = [answer for answer in got if answer.refused]
            assert len(got) == 400 and client.tally.bought == server.asked.total() == 400 - len(refused)
            assert client.tally.bought > 200  # what a call did not use is used by the next
            worst = budget.worst(asked("0")).tokens
            spent = 12 * client.tally.bought
            assert 3000 - worst - 12 < spent <= 3000 and budget.spent.tokens == spent
            assert budget.would_cover(client.tally.refused_worst)[0].startswith("tokens ")
            assert "budget" in refused[0].error
            assert client.store.find(asked("399")) is None  # a refusal is no row

    asyncio.run(main())


def test_the_reservation_is_on_disk_before_the_request_is_sent(tmp_path):
    seen = []

    def script(body, n):
        other = sqlite3.connect(tmp_path / FILE)
        seen.append(other.execute("SELECT state, tokens FROM calls JOIN requests USING (key)").fetchall())
        other.close()

    run(script, tmp_path, asked("a"))
    assert seen == [[("reserved", Budget().worst(asked("a")).tokens)]]


def test_what_is_too_large_does_not_starve_what_is_not(tmp_path):
    async def main() -> None:
        budget = Budget(Limits(tokens=2000), TARIFF)
        async with over(None, tmp_path, budget=budget) as (server, client):
            requests = [asked("huge", max_tokens=100_000), *(asked(str(n)) for n in range(20))]
            got = {r.messages[0]["content"]: answer async for r, answer in client.ask(requests)}
            assert got.pop("huge").refused and all(answer.ok for answer in got.values())
            assert client.tally.refused == 1

    asyncio.run(main())


def test_a_budget_holds_over_runs(tmp_path):
    run(None, tmp_path, *(asked(str(n)) for n in range(10)), budget=Budget(Limits(tokens=10_000)))
    answers, server, client = run(None, tmp_path, asked("new"), asked("3"), budget=Budget(Limits(tokens=200)))
    assert answers[0].refused and answers[1].ok and not server.asked
    assert client.budget.spent.tokens == 120


def test_a_retry_that_the_budget_no_longer_covers_is_not_sent(tmp_path):
    def script(body, n):
        return body_of(b"nonsense")

    worst = Budget().worst(asked("a")).tokens
    (answer,), server, _ = run(script, tmp_path, asked("a"), budget=Budget(Limits(tokens=2 * worst + 1)))
    assert answer.refused and server.asked["a"] == 2


def test_a_server_that_bills_more_than_can_be_is_left(tmp_path):
    def script(body, n):
        return completion(completion_tokens=10_000)

    async def main() -> None:
        budget = Budget(Limits(tokens=100_000), TARIFF)
        async with over(script, tmp_path, budget=budget, concurrency=1) as (server, client):
            got = [answer async for _, answer in client.ask(asked(str(n)) for n in range(50))]
            assert sum(answer.ok for answer in got) == 1 and budget.spent.tokens == 10_005
            assert "billed 5 + 10000 tokens" in client.tally.stopped_by

    asyncio.run(main())


def test_an_answer_without_usage_is_kept_and_costs_its_worst(tmp_path):
    def script(body, n):
        reply = completion()
        del reply["usage"]
        return reply

    (answer,), _, client = run(script, tmp_path, asked("a"), budget=Budget(Limits(), TARIFF))
    assert answer.ok and answer.completion_tokens is None
    assert answer.nanodollars == client.budget.worst(asked("a")).nanodollars > 0


def test_cost_is_in_the_row(tmp_path):
    (answer,), _, client = run(None, tmp_path, asked("a"), budget=Budget(Limits(), TARIFF))
    assert answer.dollars == 12e-6 and answer.flops == 120.0
    assert client.budget.spent == Amount(12, 12_000, 120)


def test_time_ends_the_asking(tmp_path, monkeypatch):
    monkeypatch.setattr(client_module, "LEAST_SECONDS", 0.1)

    async def slow(body, n):
        await asyncio.sleep(0.1 if body["messages"][0]["content"] != "stuck" else 20)

    async def main() -> None:
        async with over(slow, tmp_path, budget=Budget(Limits(seconds=1.0)), concurrency=2) as (server, client):
            began = time.monotonic()
            got = [answer async for _, answer in client.ask(asked(str(n)) for n in range(100))]
            assert time.monotonic() - began < 4
            assert 3 <= sum(answer.ok for answer in got) <= 20 and client.tally.out_of_time
            assert all(answer.ok or "seconds is used up" in answer.error for answer in got)
        async with over(slow, tmp_path, budget=Budget(Limits(seconds=1.0))) as (server, client):
            assert (await client.answer(asked("more"))).refused and not server.asked
        async with over(slow, tmp_path, budget=Budget(Limits(seconds=1.8)), tries=1, timeout=20, stall=20) as (
            server,
            client,
        ):
            began = time.monotonic()
            assert not (await client.answer(asked("stuck"))).ok  # its time limit was cut to what was left
            assert time.monotonic() - began < 5

    asyncio.run(main())


# Ends


def test_an_exception_elsewhere_loses_nothing_in_flight(tmp_path):
    async def slow(body, n):
        await asyncio.sleep(0.2)

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            async with over(slow, tmp_path) as (server, client):
                asyncio.create_task(client.answer(asked("a")))
                await asyncio.sleep(0.05)
                raise ZeroDivisionError
        async with over(None, tmp_path) as (server, client):
            assert (await client.answer(asked("a"))).stored

    asyncio.run(main())


def test_giving_up_in_flight_stays_spent(tmp_path):
    async def stuck(body, n):
        await asyncio.sleep(20)

    async def main() -> None:
        async with over(stuck, tmp_path) as (server, client):
            waiting = asyncio.create_task(client.answer(asked("a")))
            while not server.now:
                await asyncio.sleep(0.01)
            client.stop("stopped")
            client.cancel()
            assert (await waiting).refused
        async with over(None, tmp_path) as (server, client):
            assert client.budget.spent.tokens == client.budget.worst(asked("a")).tokens

    asyncio.run(main())


def test_a_full_disk_stops_it_and_keeps_what_came(tmp_path):
    async def main() -> None:
        kept = []
        with pytest.raises(OSError, match="No space left"):
            async with over(None, tmp_path, concurrency=4) as (server, client):
                store = client.store
                store._lighten = lambda: False
                async for request, _ in client.ask(asked(str(n)) for n in range(5000)):
                    kept.append(request)
                    if len(kept) == 40:
                        pages = store._connection.execute("PRAGMA page_count").fetchone()[0]
                        store._connection.execute(f"PRAGMA max_page_count = {pages + 5}")
        assert server.asked.total() < 1000
        async with over(None, tmp_path) as (server, client):
            assert all(client.store.find(request).ok for request in kept)

    asyncio.run(main())


def test_sequential_asks_in_order_one_at_a_time(tmp_path):
    async def script(body, n):
        await asyncio.sleep(0.001 * (7 - int(body["messages"][0]["content"]) % 7))

    async def main() -> None:
        async with over(script, tmp_path, sequential=True) as (server, client):
            got = [request.messages[0]["content"] async for request, _ in client.ask(asked(str(n)) for n in range(30))]
            assert got == [str(n) for n in range(30)] and server.most == 1

    asyncio.run(main())


def test_raw_prompts_go_to_completions_and_samples_have_seeds(tmp_path):
    def script(body, n):
        return {"choices": [{"text": " world", "finish_reason": "stop"}]}

    requests = [Request("m", prompt="hello", sampling=Sampling(seed=3), sample=k) for k in range(3)]
    answers, server, _ = run(script, tmp_path, *requests)
    assert [answer.text for answer in answers] == [" world"] * 3
    assert sorted(body["seed"] for body in server.bodies) == [3, 4, 5] and "messages" not in server.bodies[0]


def test_the_wrapper_without_asyncio_answers_in_order(tmp_path):
    ready, done = threading.Event(), threading.Event()
    url: list[str] = []

    def serve() -> None:
        async def main() -> None:
            async with Scripted() as server:
                url.append(server.url)
                ready.set()
                while not done.is_set():
                    await asyncio.sleep(0.01)

        asyncio.run(main())

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait(5)
    try:
        answers = ask(url[0], [asked("b"), asked("a"), asked("b")], tmp_path)
    finally:
        done.set()
        thread.join()
    assert [answer.text for answer in answers] == ["you said b", "you said a", "you said b"]


# Keys and addresses

CANARY = "sk-canary-3141592653"


def test_the_key_is_sent_and_is_nowhere_else(tmp_path, monkeypatch, capfd, caplog):
    monkeypatch.setenv("SOME_KEY", CANARY)

    def script(body, n):  # a server that says the key back wherever it can
        echo = f"you sent Bearer {CANARY}"
        return {
            "400": refusal(400, echo),
            "html": body_of(echo),
            "200": completion(echo),
            "500": refusal(500, echo),
        }[body["messages"][0]["content"]]

    async def main() -> list[Answer]:
        async with Scripted(script) as server:
            endpoint = Endpoint.at(server.url, "SOME_KEY")
            assert CANARY not in repr(endpoint)
            async with Client(endpoint, tmp_path, tries=2, backoff_seconds=0.01) as client:
                answers = [await client.answer(asked(kind)) for kind in ("400", "html", "200", "500")]
                assert {headers["Authorization"] for headers in server.headers} == {f"Bearer {CANARY}"}
                on_disk = b"".join(path.read_bytes() for path in tmp_path.iterdir() if path.is_file())
                assert CANARY.encode() not in on_disk and b"you sent Bearer [key]" in on_disk
            return answers

    answers = asyncio.run(main())
    assert CANARY not in repr(answers) and answers[2].ok
    out, err = capfd.readouterr()
    assert CANARY not in out + err + caplog.text
    assert all(CANARY.encode() not in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_a_key_goes_only_where_it_was_told_to(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    assert Endpoint.at("http://127.0.0.1:1/v1").key == ""
    assert Endpoint.at("https://api.openai.com/v1").key == CANARY
    monkeypatch.delenv("OPENAI_API_KEY")
    with pytest.raises(UserError, match="OPENAI_API_KEY is not set"):
        Endpoint.at("https://api.openai.com/v1")
    with pytest.raises(UserError, match="OTHER is not set"):
        Endpoint.at("http://127.0.0.1:1/v1", "OTHER")


@pytest.mark.parametrize(
    "written, meant",
    [
        ("http://h:8000", "http://h:8000/v1"),
        ("http://h:8000/", "http://h:8000/v1"),
        ("https://h/api/v3/", "https://h/api/v3"),
        ("http://h/v1/chat/completions", "http://h/v1"),
        ("http://h/v1/completions/", "http://h/v1"),
    ],
)
def test_addresses_are_taken_as_people_write_them(written, meant):
    assert Endpoint.at(written).url == meant


@pytest.mark.parametrize(
    "wrong",
    [
        "http://[::1",
        "http://u:p@h:port/v1",
        "ftp://h",
        "http://",
        "h:8000",
        "http://u:p@h/v1",
        "http://h/v1?key=1",
        "http://h:x",
    ],
)
def test_a_wrong_address_is_one_line(wrong):
    with pytest.raises(UserError) as refused:
        Endpoint.at(wrong)
    assert "\n" not in str(refused.value) and "p@h" not in str(refused.value)


def test_the_model_is_chosen_by_name_or_because_it_is_alone():
    async def main() -> None:
        async with Scripted(models=("only",)) as server:
            assert (await Endpoint.at(server.url).choose()).name == "only"
            with pytest.raises(UserError, match="no such model.*did you mean only"):
                await Endpoint.at(server.url).choose("onyl")
        async with Scripted(models=("a", "b")) as server:
            with pytest.raises(UserError, match="--model-name; there are a, b"):
                await Endpoint.at(server.url).choose()
            assert (await Endpoint.at(server.url).choose("b")).name == "b"
        with pytest.raises(UserError, match="no server at"):
            await Endpoint.at(server.url).choose()

    asyncio.run(main())

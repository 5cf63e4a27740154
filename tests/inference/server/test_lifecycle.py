"""What a server does when it is stopped, robbed of its engine, or sent too much: real processes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import time
import urllib.error
import urllib.request
from pathlib import Path

import aiohttp
import openai
import pytest

from inference.server import tiny
from orionlm.inference.server import tokens
from orionlm.inference.server.process import EngineProcess
from orionlm.inference.server.run import Settings, serving

LONG = {"model": "tiny", "prompt": "The", "max_tokens": 3000, "stream": True, "extra_body": {"ignore_eos": True}}


def client_of(server: tiny.Served) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=30)


@pytest.fixture
def scripted(checkpoint, tmp_path):
    """A folder to serve with the scripted worker."""
    folder = tmp_path / "scripted"
    shutil.copytree(checkpoint, folder)
    return folder


def health(server: tiny.Served) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"{server.url}/health") as response:
            return response.status, json.load(response)["status"]
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)["status"]


@pytest.mark.slow
def test_a_killed_engine_is_an_error_to_its_callers_and_comes_back(checkpoint, cache):
    greedy = {"model": "tiny", "prompt": "The", "max_tokens": 5, "temperature": 0, "extra_body": {"ignore_eos": True}}
    with tiny.served(checkpoint, "--slots", "4", cache=cache) as server, client_of(server) as client:
        before = client.completions.create(**greedy)
        assert before.usage.completion_tokens == 5
        stream = iter(client.completions.create(**LONG))
        next(stream)
        os.kill(server.engine, signal.SIGKILL)
        with pytest.raises(openai.APIError, match="died"):
            list(stream)
        assert health(server) == (503, "restarting")
        with pytest.raises(openai.InternalServerError) as caught:
            client.completions.create(model="tiny", prompt="The")
        assert caught.value.status_code == 503 and int(caught.value.response.headers["retry-after"]) >= 1
        until = time.monotonic() + 20
        while health(server) != (200, "ready") and time.monotonic() < until:
            time.sleep(0.05)
        assert client.completions.create(**greedy).choices[0].text == before.choices[0].text

        # The engine ends with its server, however that ends.
        engine = server.engine
        server.process.kill()
        until = time.monotonic() + 5
        while Path(f"/proc/{engine}").exists() and time.monotonic() < until:
            time.sleep(0.02)
        assert not Path(f"/proc/{engine}").exists()


def test_when_time_runs_out_while_draining_streams_are_told(scripted, cache):
    command = tiny.scripted_command(scripted, drain=0.3, name="m")
    with tiny.served(scripted, cache=cache, command=command) as server, client_of(server) as client:
        stream = iter(client.completions.create(model="m", prompt=[9], max_tokens=900, n=4, stream=True))
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
        assert server.process.wait(10) == 0


def test_a_second_signal_cuts_the_draining_short(scripted, cache):
    command = tiny.scripted_command(scripted, drain=60, name="m")
    with tiny.served(scripted, cache=cache, command=command) as server, client_of(server) as client:
        stream = iter(client.completions.create(model="m", prompt=[9], max_tokens=900, stream=True))
        next(stream)
        server.process.send_signal(signal.SIGINT)
        next(stream)
        began = time.monotonic()
        server.process.send_signal(signal.SIGINT)
        with pytest.raises(openai.APIError, match="shutting down"):
            list(stream)
        assert server.process.wait(10) == 0 and time.monotonic() - began < 5


def test_a_stopped_server_finishes_what_runs_and_lets_nobody_in(checkpoint, cache):
    with tiny.served(checkpoint, cache=cache) as server, client_of(server) as client:
        engine = server.engine
        stream = iter(client.completions.create(**LONG | {"max_tokens": 900}))
        next(stream)
        server.process.send_signal(signal.SIGTERM)
        until = time.monotonic() + 5
        while health(server)[1] != "draining" and time.monotonic() < until:
            time.sleep(0.01)
        with pytest.raises(openai.InternalServerError) as caught:
            client.completions.create(model="tiny", prompt="The")
        assert (caught.value.status_code, caught.value.code) == (503, "draining")
        assert int(caught.value.response.headers["retry-after"]) >= 1
        chunks = list(stream)
        assert chunks[-1].choices[0].finish_reason == "length"
        assert server.process.wait(10) == 0
        assert not Path(f"/proc/{engine}").exists()


def peak_memory(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_of_50_mb_is_refused_without_being_kept(server, announced):
    address = server.url.removeprefix("http://").split(":")
    before = peak_memory(server.process.pid)
    sent = 0
    with socket.create_connection((address[0], int(address[1])), timeout=10) as connection:
        length = b"content-length: 50000000" if announced else b"transfer-encoding: chunked"
        head = b"POST /v1/completions HTTP/1.1\r\nhost: x\r\n" + length + b"\r\n\r\n"
        connection.sendall(head)
        piece = b"x" * 50_000
        with contextlib.suppress(ConnectionError):
            while sent < 50_000_000:
                connection.sendall(piece if announced else b"c350\r\n" + piece + b"\r\n")
                sent += len(piece)
            if not announced:
                connection.sendall(b"0\r\n\r\n")
        answer = connection.recv(10_000).decode()
    assert answer.startswith("HTTP/1.1 413") and '"code":"request_too_large"' in answer
    assert peak_memory(server.process.pid) - before < (8e6 if announced else 40e6)
    with client_of(server) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.completions.create(model="tiny", prompt="x" * 50_000_000)
        assert caught.value.status_code == 413
        assert client.completions.create(model="tiny", prompt="x").choices


def test_a_prompt_beyond_the_context_is_refused_with_the_numbers(server):
    with client_of(server) as client:
        for prompt in ("a?" * 3_000, [5] * 4097, "word " * 2_000_000):
            began = time.monotonic()
            with pytest.raises(openai.BadRequestError) as caught:
                client.completions.create(model="tiny", prompt=prompt)
            assert caught.value.code == "context_length_exceeded" and caught.value.param == "prompt"
            assert "4096" in caught.value.message
            assert time.monotonic() - began < 3
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model="tiny", messages=[{"role": "user", "content": "a?"}], max_tokens=4096)
        assert caught.value.code == "context_length_exceeded" and caught.value.param == "messages"
        with pytest.raises(openai.BadRequestError, match="token ids must be between 0 and 319"):
            client.completions.create(model="tiny", prompt=[320])
        with pytest.raises(openai.NotFoundError) as missing:
            client.completions.create(model="gpt-4", prompt="x")
        assert missing.value.code == "model_not_found" and missing.value.request_id


@pytest.mark.parametrize("field", ['"temperature": NaN', '"top_p": Infinity', '"n": 0', '"n": -1', '"wrong": 1'])
def test_raw_bodies_with_bad_values_are_bad_requests(server, field):
    body = f'{{"model": "tiny", "prompt": "x", {field}}}'.encode()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/v1/completions", body))
    error = json.load(caught.value)["error"]
    assert caught.value.code == 400 and error["param"] == field.split('"')[1]
    assert error["type"] == "invalid_request_error"


def test_unknown_routes_and_methods_are_errors_in_the_same_shape(server):
    for path, body, status in (("/v1/nothing", None, 404), ("/v1/completions", None, 405), ("/v1/models", b"{}", 405)):
        request = urllib.request.Request(server.url + path, body, {"x-request-id": "mine-1"})
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request)
        assert caught.value.code == status and json.load(caught.value)["error"]["message"]
        assert caught.value.headers["x-request-id"] == "mine-1"
    assert any('route="other"' in name for name in server.metrics())
    assert not any("nothing" in name for name in server.metrics())


def test_a_key_is_asked_for_and_never_shown(scripted, capfd):
    async def main():
        settings = Settings(scripted, port=0, key="sk-canary")
        async with serving(settings, worker=tiny.SCRIPTED) as running, aiohttp.ClientSession() as session:
            for given, status in (("sk-canary", 200), ("sk-canarx", 401), ("", 401), ("ключ", 401), (None, 401)):
                headers = {} if given is None else {"authorization": f"Bearer {given}"}
                async with session.get(f"{running.url}/v1/models", headers=headers) as response:
                    assert response.status == status
                    shown = await response.text()
                    assert "sk-" not in shown and ("invalid_api_key" in shown) == (status == 401)
            async with session.get(f"{running.url}/health") as response:
                assert response.status == 200
            async with session.get(f"{running.url}/metrics") as response:
                assert "sk-" not in await response.text()

    asyncio.run(main())
    out, err = capfd.readouterr()
    assert "sk-" not in out + err


def test_a_caller_that_leaves_before_the_first_token_is_cancelled_within_one_step(checkpoint, cache, monkeypatch):
    """Over the real engine, on one event loop, so that steps and the leaving can be put in order."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))
    waiting: list[int] = []
    cancelled: list[int] = []
    unfinished: list[int] = []
    hand_out, cancel = EngineProcess._hand_out, EngineProcess._cancel

    def watched_line(self, message):
        waiting.append(message["stats"]["waiting"])
        hand_out(self, message)
        unfinished.append(self.unfinished)

    def watched_cancel(self, answer):
        cancelled.append(len(waiting))
        cancel(self, answer)

    monkeypatch.setattr(EngineProcess, "_hand_out", watched_line)
    monkeypatch.setattr(EngineProcess, "_cancel", watched_cancel)

    async def main():
        settings = Settings(checkpoint, port=0, slots=2, threads=1)
        async with serving(settings) as running, aiohttp.ClientSession() as session:
            url = f"{running.url}/v1/completions"
            body = {"model": "tiny", "prompt": "The", "ignore_eos": True, "max_tokens": 3000}
            async with session.post(url, json=body | {"n": 2, "stream": True}) as busy:
                await busy.content.readline()
                for stream in (False, True):
                    asking = asyncio.create_task(session.post(url, json=body | {"stream": stream}).__aenter__())
                    while unfinished[-1] != 3 or not waiting[-1]:
                        await asyncio.sleep(0.001)
                    before = len(cancelled)
                    asking.cancel()
                    while waiting[-1] or len(cancelled) == before:
                        await asyncio.sleep(0.001)
                    # The step under way when it was told may still count it; the next may not.
                    after = waiting[cancelled[-1] :]
                    assert sum(after) <= 2, after

    asyncio.run(asyncio.wait_for(main(), 30))


def test_slow_readers_hold_nobody_up_and_lose_nothing(scripted, monkeypatch):
    monkeypatch.setenv("SCRIPTED_PAUSE", "0.0005")

    async def main():
        settings = Settings(scripted, port=0, name="m")
        async with serving(settings, worker=tiny.SCRIPTED) as running, aiohttp.ClientSession() as session:
            body = {"model": "m", "prompt": [9], "max_tokens": 900, "stream": True}
            async with session.post(f"{running.url}/v1/completions", json=body) as slow:
                began = time.monotonic()
                body = {"model": "m", "prompt": [9], "max_tokens": 5}
                async with session.post(f"{running.url}/v1/completions", json=body) as quick:
                    assert (await quick.json())["choices"][0]["text"] == "ab" * 5
                assert time.monotonic() - began < 2
                await asyncio.sleep(0.3)
                text = (await slow.read()).decode()
            parts = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
            assert "".join(part["choices"][0]["text"] for part in parts) == "ab" * 900
            assert text.endswith("data: [DONE]\n\n")

    asyncio.run(main())


def test_a_rush_does_not_slip_past_the_queue_while_prompts_are_tokenised(scripted, monkeypatch):
    monkeypatch.setattr(tokens, "OFF_LOOP", -1)

    async def main():
        settings = Settings(scripted, port=0, name="m", queue=3)  # beyond two slots
        async with serving(settings, worker=tiny.SCRIPTED) as running, aiohttp.ClientSession() as session:

            async def ask() -> int:
                body = {"model": "m", "prompt": "hello", "max_tokens": 50}
                async with session.post(f"{running.url}/v1/completions", json=body) as response:
                    assert response.status == 200 or int(response.headers["retry-after"]) >= 1
                    return response.status

            statuses = await asyncio.gather(*(ask() for _ in range(40)))
            assert statuses.count(200) == 5 and statuses.count(429) == 35

    asyncio.run(main())


@pytest.mark.slow
def test_memory_stays_flat_over_thousands_of_requests_with_aborts(scripted, cache, monkeypatch):
    monkeypatch.setenv("SCRIPTED_PAUSE", "0")
    from inference.server import soak

    found = soak.run(scripted, 800, cache=cache)
    assert found["answered"] + found["left"] == 800 and found["left"] >= 30
    assert found["unfinished"] == 0
    assert found["memory_end"] - found["memory_middle"] < 1_500_000

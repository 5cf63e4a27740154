from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from inference.client.scripted_server import completion, refusal
from orionlm.errors import UserError
from orionlm.progress import Progress
from orionlm.synth.desk import Ask, Reply
from orionlm.synth.teachers import Asked, TeacherSettings, asked, check, separated
from synth.teaching import Teaching


class Said(Progress):
    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lines: list[str] = []

    def say(self, line: str) -> None:
        self.lines.append(line)


def with_one(server: Teaching, store: Path, work: Callable[[Asked], Awaitable[Any]], **settings: Any) -> Any:
    progress, spent = Said(), []

    async def main() -> Any:
        async with server:
            told = [server.settings(**settings)]
            record = lambda purpose, **more: spent.append({"purpose": purpose} | more)  # noqa: E731
            async with asked(told, store, progress=progress, record=record) as ready:
                return await work(next(iter(ready.values())))

    return asyncio.run(main()), progress.lines, spent


def test_terms_that_forbid_training_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"teacher m: its terms forbid training on its answers \(§ 2c\); take another"):
        check([TeacherSettings(url="http://127.0.0.1:1/v1", model="m", terms="forbidden", terms_text="§ 2c")])
    server = Teaching()
    with pytest.raises(UserError, match="forbid"):
        with_one(server, tmp_path, lambda one: one.reply(Ask("x"), 1), terms="forbidden")
    assert not server.bought and not list(tmp_path.iterdir())


def test_a_teacher_is_at_one_place_and_has_a_name_of_its_own() -> None:
    for wrong in ({}, {"url": "http://h/v1", "checkpoint": "x"}):
        with pytest.raises(ValidationError, match="a url or a checkpoint, one of the two"):
            TeacherSettings(**wrong)
    twice = TeacherSettings(url="http://127.0.0.1:1/v1", model="m")
    with pytest.raises(UserError, match="two are called 'm'; give each a name"):
        check([twice, twice])
    with pytest.raises(UserError, match="there is none"):
        check([])
    assert TeacherSettings(checkpoint="x").known_terms == "allowed" and twice.known_terms == "unknown"


@pytest.mark.parametrize(
    ("message", "thoughts", "text"),
    [
        ({"content": "Yes.", "reasoning_content": "They ask."}, "They ask.", "Yes."),
        ({"content": "Yes.", "reasoning": "They ask."}, "They ask.", "Yes."),
        ({"content": "<think>They ask.</think>\n\nYes."}, "They ask.", "Yes."),
        ({"content": "\n<thinking>a</thinking><think>b</think>Yes."}, "a\n\nb", "Yes."),
        ({"content": "They ask.</think>\nYes."}, "They ask.", "Yes."),
        ({"content": "<think>They ask, and ask"}, "They ask, and ask", ""),
        ({"content": "Use the <think> tag."}, "", "Use the <think> tag."),
        ({"content": "Yes.", "reasoning_content": None}, "", "Yes."),
    ],
)
def test_thoughts_are_kept_apart_from_the_answer(message: dict[str, Any], thoughts: str, text: str) -> None:
    assert separated({"message": message}, message["content"]) == (thoughts, text)


def test_thoughts_arrive_apart_over_http(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: completion("<think>Shall I?</think>I shall."))
    reply, _, _ = with_one(server, tmp_path, lambda one: one.reply(Ask([{"role": "user", "content": "go"}]), 1))
    assert (reply.text, reply.thoughts, reply.tokens) == ("I shall.", "Shall I?", 7)


def test_a_teacher_that_goes_away_is_waited_for_and_nothing_is_bought_twice(tmp_path: Path) -> None:
    server = Teaching(delay=0.01)

    async def work(one: Asked) -> list[Reply]:
        first = await asyncio.gather(*(one.reply(Ask(f"a{number}"), 1) for number in range(20)))
        await server.go_away()
        later = [asyncio.ensure_future(one.reply(Ask(f"b{number}"), 1)) for number in range(200)]
        await asyncio.sleep(3)
        assert not any(task.done() for task in later)
        await server.come_back()
        return first + await asyncio.gather(*later)

    replies, lines, spent = with_one(server, tmp_path, work)
    assert len(replies) == 220 and not any(reply.error for reply in replies)
    assert len(server.bought) == 220 and set(server.bought.values()) == {1}
    assert len(lines) == 1 and "teacher m is away (no connection: Connection refused); waiting up to 30 s" in lines[0]
    assert sum(entry["tokens"] for entry in spent) == 220 * 12


_TEACHES = """
import asyncio, sys
from synth.teaching import Teaching

class Uneven(Teaching):
    async def _reply(self, request):
        await asyncio.sleep(float(sys.argv[2]) if "slow" in await request.text() else 0)
        return await super()._reply(request)

async def main():
    server = Uneven()
    server.port = int(sys.argv[1])
    async with server:
        print(server.port, flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""


def test_requests_in_flight_when_a_teacher_is_killed_are_not_lost_because_others_were_answered(tmp_path: Path) -> None:
    async def start(port: int, slow: float) -> asyncio.subprocess.Process:
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
        return await asyncio.create_subprocess_exec(
            sys.executable, "-c", _TEACHES, str(port), str(slow), env=environment, stdout=asyncio.subprocess.PIPE
        )

    async def port_of(process: asyncio.subprocess.Process) -> int:
        assert process.stdout
        return int(await process.stdout.readline())

    async def main() -> list[Reply]:
        process = await start(0, 60.0)
        try:
            url = f"http://127.0.0.1:{await port_of(process)}/v1"
            settings = TeacherSettings(url=url, model="m", terms="allowed", tries=1, patience=60.0)
            async with asked([settings], tmp_path) as ready:
                await asyncio.gather(*(ready["m"].reply(Ask(f"a{number}"), 1) for number in range(60)))  # more at once
                slow = [asyncio.ensure_future(ready["m"].reply(Ask(f"slow{number}"), 1)) for number in range(40)]
                quick = await asyncio.gather(*(ready["m"].reply(Ask(f"b{number}"), 1) for number in range(20)))
                assert not any(task.done() for task in slow)
                process.send_signal(signal.SIGKILL)
                await process.wait()
                await asyncio.sleep(0.5)
                process = await start(int(url.split(":")[2].split("/")[0]), 0.0)
                return quick + await asyncio.gather(*slow)
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()

    replies = asyncio.run(main())
    assert len(replies) == 60 and [reply.error for reply in replies if reply.error] == []


def test_a_proxy_whose_teacher_dies_behind_it_loses_nothing_that_was_in_flight(tmp_path: Path) -> None:
    away = False

    class Proxy(Teaching):
        async def _models(self, request: web.Request) -> web.Response:
            return refusal(502, "bad gateway") if away else await super()._models(request)

        async def _reply(self, request: web.Request) -> web.StreamResponse:
            while "slow" in await request.text() and not seen:
                await asyncio.sleep(0.01)
            return await super()._reply(request)

    seen: list[bool] = []

    async def work(one: Asked) -> list[Reply]:
        nonlocal away
        await asyncio.gather(*(one.reply(Ask(f"a{number}"), 1) for number in range(60)))
        slow = [asyncio.ensure_future(one.reply(Ask(f"slow{number}"), 1)) for number in range(20)]
        quick = await asyncio.gather(*(one.reply(Ask(f"b{number}"), 1) for number in range(20)))
        away = True
        seen.append(True)
        await asyncio.sleep(1.5)
        assert not any(task.done() for task in slow)
        away = False
        return quick + await asyncio.gather(*slow)

    server = Proxy(lambda prompt, body: refusal(502, "bad gateway") if away else None)
    replies, _, _ = with_one(server, tmp_path, work, tries=1)
    assert len(replies) == 40 and not any(reply.error for reply in replies)


def test_a_proxy_that_stands_before_a_teacher_who_is_away_is_waited_for_too(tmp_path: Path) -> None:
    away = True

    def script(prompt: str, body: dict[str, Any]) -> Any:
        return refusal(502, "bad gateway") if away else None

    async def work(one: Asked) -> list[Reply]:
        nonlocal away
        later = [asyncio.ensure_future(one.reply(Ask(f"b{number}"), 1)) for number in range(30)]
        await asyncio.sleep(2.5)
        assert not any(task.done() for task in later)
        away = False
        return await asyncio.gather(*later)

    replies, _, _ = with_one(Teaching(script), tmp_path, work)
    assert len(replies) == 30 and not any(reply.error for reply in replies)


def test_one_row_that_a_proxy_never_passes_on_is_lost_alone(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: refusal(502) if prompt == "b13" else None, delay=0.05)

    async def work(one: Asked) -> list[Reply]:
        asks = [one.reply(Ask(f"b{number}"), 1) for number in range(200)]
        return await asyncio.gather(*asks)

    replies, _, _ = with_one(server, tmp_path, work, concurrency=2)
    assert [number for number, reply in enumerate(replies) if reply.error] == [13]


def test_the_last_row_that_is_never_answered_is_lost_and_ends(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: refusal(503) if prompt == "last" else None)

    async def work(one: Asked) -> list[Reply]:
        return [await one.reply(Ask(prompt), 1) for prompt in ("first", "last")]

    replies, lines, _ = with_one(server, tmp_path, work, tries=1)
    assert [reply.error for reply in replies] == ["", "HTTP 503: no"] and len(lines) == 1


def test_where_patience_ends_the_next_run_goes_on_and_buys_nothing_again(tmp_path: Path) -> None:
    server = Teaching()

    async def work(one: Asked, leaves: bool = True) -> list[Reply]:
        first = await asyncio.gather(*(one.reply(Ask(f"a{number}"), 1) for number in range(20)))
        if leaves:
            await server.go_away()
        return first + await asyncio.gather(*(one.reply(Ask(f"b{number}"), 1) for number in range(20)))

    with pytest.raises(UserError, match=r"teacher m: away for 1 s \(.*refused.*\); run this again when it is back: it"):
        with_one(server, tmp_path, work, patience=1.0)
    replies, _, spent = with_one(server, tmp_path, lambda one: work(one, False))
    assert not any(reply.error for reply in replies)
    assert len(server.bought) == 40 and set(server.bought.values()) == {1}
    assert sum(entry["tokens"] for entry in spent) == 20 * 12  # the first 20 were told when the first run ended


def test_one_row_that_is_refused_is_one_row_lost(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: refusal(400, "I will not") if prompt == "b13" else None)

    async def work(one: Asked) -> list[Reply]:
        return await asyncio.gather(*(one.reply(Ask(f"b{number}"), 1) for number in range(100)))

    replies, _, _ = with_one(server, tmp_path, work)
    assert [(n, reply.error) for n, reply in enumerate(replies) if reply.error] == [(13, "HTTP 400: I will not")]


def test_a_prompt_beyond_the_context_says_so_and_an_answer_that_would_be_is_asked_shorter(tmp_path: Path) -> None:
    def script(prompt: str, body: dict[str, Any]) -> Any:
        if len(prompt) + body["max_tokens"] > 100:
            told = f"This model's maximum context length is 100 tokens, but the prompt has {len(prompt)} tokens"
            return refusal(400, told, "context_length_exceeded")
        return completion(f"{body['max_tokens']}")

    async def work(one: Asked) -> list[Reply]:
        return [await one.reply(Ask("x" * length, max_tokens=50), 1) for length in (10, 60, 150)]

    replies, _, _ = with_one(Teaching(script), tmp_path, work)
    assert [reply.text for reply in replies] == ["50", "40", ""]
    assert replies[2].error == "the prompt exceeds the teacher's context"


def test_a_key_that_is_refused_ends_the_work_with_its_reason(tmp_path: Path) -> None:
    server = Teaching(lambda prompt, body: refusal(401, "bad key"))

    async def work(one: Asked) -> list[Reply]:
        return await asyncio.gather(*(one.reply(Ask(f"b{number}"), 1) for number in range(100)))

    with pytest.raises(UserError, match="teacher m: 10 answers in a row: HTTP 401: bad key; what was answered is kept"):
        with_one(server, tmp_path, work)


def test_a_budget_is_never_passed_and_says_what_would_do(tmp_path: Path) -> None:
    server = Teaching()

    async def work(one: Asked) -> list[Reply]:
        return await asyncio.gather(*(one.reply(Ask(f"b{number}", max_tokens=20), 1) for number in range(100)))

    with pytest.raises(UserError, match=r"its budget does not cover what is left to ask; a limit of tokens \d+ covers"):
        with_one(server, tmp_path, work, tokens=300)
    assert 12 * sum(server.bought.values()) <= 300


def test_the_ledger_hears_purpose_by_purpose_what_was_spent(tmp_path: Path) -> None:
    prices = tmp_path / "prices.toml"
    prices.write_text('[[price]]\nmodel = "m"\nprompt = 1.0\ncompletion = 10.0\nsource = "test"\ndate = 2025-01-01\n')

    async def work(one: Asked) -> None:
        await one.reply(Ask("a"), 1)
        await one.reply(Ask("b", purpose="verify"), 1)
        await one.reply(Ask("c", purpose="verify"), 1)

    _, _, spent = with_one(Teaching(), tmp_path / "s", work, prices=prices)
    assert [(entry["purpose"], entry["tokens"], entry["flops_kind"]) for entry in spent] == [
        ("teacher", 12, "unknown"),
        ("verify", 24, "unknown"),
    ]
    assert [entry["dollars"] for entry in spent] == pytest.approx([75e-6, 150e-6])
    _, _, again = with_one(Teaching(flops_per_token=1000.0), tmp_path / "t", work)
    assert [(entry["flops"], entry["flops_kind"]) for entry in again] == [(12e3, "estimated"), (24e3, "estimated")]
    assert again[0]["dollars"] is None

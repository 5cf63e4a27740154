"""The engine's process, kept by `EngineProcess`: against a scripted worker that misbehaves."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time

import pytest

from inference.server.tiny import SCRIPTED
from orionlm.errors import UserError
from orionlm.inference.server import process
from orionlm.inference.server.process import EngineError, EngineProcess
from orionlm.sampling import Sampling

DIES, STALLS, GARBAGE, GIVES_UP = 1, 2, 3, 4
FEW, MANY = Sampling(max_tokens=5), Sampling(max_tokens=100_000)


@pytest.fixture
def engine(tmp_path, monkeypatch):
    monkeypatch.setattr(process, "BACK_OFF", 0.05)
    monkeypatch.setenv("SCRIPTED_LOG", str(tmp_path / "log"))

    @contextlib.asynccontextmanager
    async def start(pause: float = 0.01):
        made = EngineProcess([str(tmp_path), "--pause", str(pause)], worker=SCRIPTED)
        await made.start()
        try:
            yield made
        finally:
            await made.close()

    start.log = tmp_path / "log"
    start.folder = tmp_path
    return start


async def until(true, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not true():
            await asyncio.sleep(0.005)


def test_events_come_in_order_to_whoever_asked(engine):
    async def main():
        async with engine() as made:
            with made.submit([([9], FEW), ([8], Sampling(max_tokens=3, n=2))]) as answer:
                events = []
                while batch := await answer.next():
                    events += batch
            assert [event["finish"] for event in events].count("length") == 3
            assert len(events) == 5 + 2 * 3
            with made.submit([([9], FEW)]) as answer:
                assert len(await answer.rest()) == 5
            assert made.unfinished == 0 and not made._answers

    asyncio.run(main())


def test_a_slow_reader_gets_what_came_meanwhile_in_one_go(engine):
    async def main():
        async with engine(pause=0.001) as made:
            with made.submit([([9], Sampling(max_tokens=20))]) as answer:
                await answer.next()
                await until(lambda: not made.unfinished)
                assert len(await answer.next()) >= 18
                assert await answer.next() == []

    asyncio.run(main())


@pytest.mark.parametrize("leave", ["break", "exception", "cancelled"])
def test_leaving_early_cancels_in_the_engine_within_a_step(engine, leave):
    async def reading(made, started):
        with made.submit([([9], MANY), ([9], MANY)]) as answer:
            while await answer.next():
                started.set()
                if leave == "break":
                    return
                if leave == "exception":
                    raise KeyError

    async def main():
        async with engine(pause=0.05) as made:
            started = asyncio.Event()
            task = asyncio.create_task(reading(made, started))
            await started.wait()
            if leave == "cancelled":
                task.cancel()
            with contextlib.suppress(KeyError, asyncio.CancelledError):
                await task
            left = time.monotonic()
            assert made.unfinished == 0 and not made._answers
            await until(lambda: engine.log.read_text().count("cancel") == 2)
        lines = [line.split() for line in engine.log.read_text().splitlines()]
        cancelled = next(place for place, line in enumerate(lines) if line[1] == "cancel")
        steps = [line for line in lines[:cancelled] if line[1] == "step" and float(line[0]) > left]
        assert len(steps) <= 1

    asyncio.run(main())


def test_a_request_that_never_gets_a_token_can_be_left(engine):
    async def main():
        async with engine() as made:
            with made.submit([([STALLS], MANY)]) as answer:
                asyncio.get_running_loop().call_later(0.05, answer.cancel)
                assert await answer.rest() == [] and answer.cancelled
            await until(lambda: "cancel 0" in engine.log.read_text())

    asyncio.run(main())


def test_the_engines_own_error_is_an_event(engine):
    async def main():
        async with engine() as made:
            with made.submit([([GIVES_UP], FEW)]) as answer:
                (event,) = await answer.rest()
            assert (event["finish"], event["error"]) == ("error", "scripted")

    asyncio.run(main())


@pytest.mark.parametrize("end", [DIES, GARBAGE, "killed"])
def test_a_dead_engine_fails_what_ran_and_is_started_again(engine, end):
    async def main():
        async with engine() as made:
            with made.submit([([STALLS], MANY)]) as other, made.submit([([9 if end == "killed" else end], MANY)]) as it:
                if end == "killed":
                    await it.next()
                    os.kill(made._process.pid, signal.SIGKILL)
                with pytest.raises(EngineError, match="died"):
                    while await it.next():
                        pass
                with pytest.raises(EngineError, match="died"):
                    await other.rest()
            assert made.state == "restarting" and made.unfinished == 0
            with pytest.raises(EngineError, match="restarting"):
                made.submit([([9], FEW)])
            await until(lambda: made.state == "ready")
            with made.submit([([9], FEW)]) as answer:
                assert len(await answer.rest()) == 5

    asyncio.run(main())


def test_an_engine_that_dies_again_soon_stays_down(engine):
    said = []

    async def main():
        async with engine() as made:
            made._say = said.append
            for state in ("ready", "failed"):
                with made.submit([([DIES], MANY)]) as answer, contextlib.suppress(EngineError):
                    while await answer.next():
                        pass
                await until(lambda state=state: made.state == state)
        assert "twice" in said[-1]

    asyncio.run(main())


def test_an_engine_that_cannot_be_started_again_is_said_so(engine):
    said = []

    async def main():
        (engine.folder / "start-2").write_text("the disk is gone")
        async with engine() as made:
            made._say = said.append
            os.kill(made._process.pid, signal.SIGKILL)
            await until(lambda: made.state == "failed")
        assert "the disk is gone" in said[-1]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("how", "line"), [("weights do not fit", "weights do not fit"), ("die", "before it was ready")]
)
def test_a_model_that_cannot_be_loaded_is_one_line(engine, how, line):
    (engine.folder / "start-1").write_text(how)

    async def main():
        async with engine():
            pass

    with pytest.raises(UserError, match=line):
        asyncio.run(main())


def test_closing_ends_the_worker_and_what_waits_for_it(engine):
    async def main():
        async with engine() as made:
            process = made._process
            waiting = asyncio.create_task(made.submit([([STALLS], MANY)]).rest())
            await asyncio.sleep(0.05)
            began = time.monotonic()
            await made.close()
            assert time.monotonic() - began < 2 and process.returncode is not None
            with pytest.raises(EngineError, match="shutting down"):
                await waiting

    asyncio.run(main())

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest

from inference.client.scripted_server import asked
from orionlm.cli.failures import disk_full
from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount
from orionlm.inference.client.response import Answer
from orionlm.inference.client.store import BALLAST, FILE, Store

TEN = Amount(10, 100, 1000)


def answer(request, finish="stop", **more) -> Answer:
    return Answer(request.key, request.max_tokens, b'{"x": 1}', finish, status=200, attempts=1, model="m", **more)


def failure(request, **more) -> Answer:
    return Answer(request.key, request.max_tokens, error="HTTP 500", status=500, attempts=6, **more)


async def buy(store: Store, request, result: Answer, actual: Amount = TEN) -> None:
    call = store.next_call()
    await store.reserve(call, request, TEN)
    await (store.settle(call, actual, result) if result.ok else store.release(call, result))


def as_if_killed(store: Store, where) -> Store:
    """What another process finds if this one were gone now: the files as they are on disk."""
    where.mkdir()
    for name in os.listdir(store.directory):
        if name.startswith(FILE):
            shutil.copy(store.directory / name, where / name)
    return Store(where)


def test_what_no_store_can_hold_is_told_and_nobody_waits_in_vain(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            for wrong in (Amount(2**70, 0, 0), Amount(1, 2**70, 0)):
                async with asyncio.timeout(10):
                    with pytest.raises(OverflowError):
                        await store.reserve(store.next_call(), asked("a"), wrong)
                store.failure = None
            await buy(store, asked("a"), answer(asked("a")))

    asyncio.run(main())


def test_an_answer_that_ended_by_itself_serves_under_any_limit(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            await buy(store, asked("a", max_tokens=100), answer(asked("a", max_tokens=100)))
            for limit in (1, 100, 5000):
                assert store.find(asked("a", max_tokens=limit)).body == b'{"x": 1}'
            assert store.find(asked("b", max_tokens=100)) is None
            assert store.find(asked("a", max_tokens=100, temperature=0.5)) is None

    asyncio.run(main())


def test_a_cut_answer_serves_up_to_where_it_was_cut(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            await buy(store, asked("a", max_tokens=100), answer(asked("a", max_tokens=100), "length"))
            assert store.find(asked("a", max_tokens=50)).ok and store.find(asked("a", max_tokens=100)).ok
            assert store.find(asked("a", max_tokens=101)) is None
            await buy(store, asked("a", max_tokens=200), answer(asked("a", max_tokens=200), "length"))
            assert store.find(asked("a", max_tokens=60)).max_tokens == 100  # what was found before stays found
            assert store.find(asked("a", max_tokens=150)).max_tokens == 200

    asyncio.run(main())


def test_a_failure_stands_for_its_own_limit_and_never_hides_an_answer(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            await buy(store, asked("a", max_tokens=100), failure(asked("a", max_tokens=100)))
            assert store.find(asked("a", max_tokens=100)).error == "HTTP 500"
            assert store.find(asked("a", max_tokens=99)) is None
            await buy(store, asked("a", max_tokens=50), answer(asked("a", max_tokens=50)))
            assert store.find(asked("a", max_tokens=100)).ok

    asyncio.run(main())


def test_failures_stand_for_their_session_and_longer_only_if_nothing_mends_them(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            await buy(store, asked("passing"), failure(asked("passing")))
            await buy(store, asked("bad"), failure(asked("bad"), permanent=True))
            assert store.standing(asked("passing")) and store.standing(asked("bad"), retry_failed=True)
        with Store(tmp_path) as store:
            assert store.standing(asked("passing")) is None
            assert store.standing(asked("bad")).permanent
            assert store.standing(asked("bad"), retry_failed=True) is None

    asyncio.run(main())


def test_nothing_is_seen_before_it_is_on_disk(tmp_path):
    async def main() -> None:
        with Store(tmp_path / "s") as store:
            call = store.next_call()
            await store.reserve(call, asked("a"), TEN)
            await store.settle(call, Amount(4, 40, 400), answer(asked("a")))
            with as_if_killed(store, tmp_path / "k") as copy:
                assert copy.find(asked("a")).ok
                assert copy.spent() == Amount(4, 40, 400)

    asyncio.run(main())


def test_what_was_in_flight_at_a_kill_stays_spent(tmp_path):
    async def main() -> None:
        with Store(tmp_path / "s") as store:
            calls = [store.next_call() for _ in range(4)]
            await asyncio.gather(*(store.reserve(call, asked(str(call)), TEN) for call in calls))
            await store.settle(calls[0], Amount(1, 2, 3), answer(asked("0")))
            await store.release(calls[1])
            await store.lose(calls[2])
            with as_if_killed(store, tmp_path / "k") as copy:
                assert copy.orphaned == 1
                assert copy.spent() == Amount(21, 202, 2003)
                states = [state for (state,) in copy.rows("SELECT state FROM calls ORDER BY id")]
                assert states == ["settled", "lost", "orphaned"]
                assert copy.next_call() == 5

    asyncio.run(main())


def test_many_responses_share_a_commit(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            commits = []
            transact = store._transact
            store._transact = lambda group: (commits.append(len(group)), transact(group))
            await asyncio.gather(*(store.reserve(store.next_call(), asked(str(n)), TEN) for n in range(500)))
            assert sum(commits) == 500 and len(commits) < 50
            assert store.spent().tokens == 5000

    asyncio.run(main())


def test_a_second_client_gets_one_line_with_the_holders_number(tmp_path):
    with Store(tmp_path), pytest.raises(UserError, match=f"in use by process {os.getpid()}"):
        Store(tmp_path)
    Store(tmp_path).close()


def test_a_killed_holder_holds_nothing(tmp_path):
    program = f"import os, signal; from orionlm.inference.client.store import Store; s = Store({str(tmp_path)!r}); "
    subprocess.run([sys.executable, "-c", program + "os.kill(os.getpid(), signal.SIGKILL)"], check=False)
    Store(tmp_path).close()


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_store_is_named(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    if not content:
        Store(tmp_path).close()
        return
    with pytest.raises(UserError, match=FILE):
        Store(tmp_path)


def test_another_programs_database_is_left_alone(tmp_path):
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("CREATE TABLE theirs (x)")
    other.close()
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(UserError, match="another program's"):
        Store(tmp_path)
    assert (tmp_path / FILE).read_bytes() == before


def test_a_newer_schema_is_not_touched(tmp_path):
    Store(tmp_path).close()
    with sqlite3.connect(tmp_path / FILE) as other:
        other.execute("PRAGMA user_version = 99")
    other.close()
    with pytest.raises(UserError, match="schema 99"):
        Store(tmp_path)


def test_a_damaged_page_is_one_line(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            for n in range(200):
                await buy(store, asked(str(n)), replace(answer(asked(str(n))), body=os.urandom(2000)))

    asyncio.run(main())
    with open(tmp_path / FILE, "r+b") as file:
        size = file.seek(0, 2)
        for page in range(1, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xde\xad" * 1024)
    with pytest.raises(UserError, match="damaged"):
        Store(tmp_path)


def fill(store: Store, pages: int) -> None:
    """SQLite's own limit stands for the disk's."""
    used = store._connection.execute("PRAGMA page_count").fetchone()[0]
    store._connection.execute(f"PRAGMA max_page_count = {used + pages}")


def test_on_a_full_disk_the_ballast_keeps_what_is_paid_for(tmp_path):
    async def main() -> None:
        with Store(tmp_path) as store:
            assert (tmp_path / "ballast").stat().st_size == BALLAST
            calls = [store.next_call() for _ in range(8)]
            await asyncio.gather(*(store.reserve(call, asked(str(call)), TEN) for call in calls))
            lighten = store._lighten
            store._lighten = lambda: lighten() and (fill(store, 1000) or True)
            fill(store, 4)
            for call in calls:
                await store.settle(call, TEN, replace(answer(asked(str(call))), body=os.urandom(5000)))
            assert not (tmp_path / "ballast").exists()
            with pytest.raises(OSError) as full:  # but nothing more is begun
                await store.reserve(store.next_call(), asked("new"), TEN)
            assert full.value.errno == errno.ENOSPC and disk_full(full.value)
        with Store(tmp_path) as store:
            assert sum(store.find(asked(str(call))).ok for call in calls) == 8
            assert (tmp_path / "ballast").stat().st_size == BALLAST

    asyncio.run(main())


def test_on_a_full_disk_what_was_committed_is_kept(tmp_path):
    async def main() -> None:
        kept = 0
        with Store(tmp_path) as store:
            (tmp_path / "ballast").unlink()
            fill(store, 20)
            with pytest.raises(OSError) as full:
                for n in range(1000):
                    await buy(store, asked(str(n)), replace(answer(asked(str(n))), body=os.urandom(3000)))
                    kept += 1
            assert disk_full(full.value)
        with Store(tmp_path) as store:
            assert kept > 3
            assert all(store.find(asked(str(n))).ok for n in range(kept))

    asyncio.run(main())


def test_time_is_counted_over_sessions_and_each_session_is_told_once(tmp_path):
    async def main() -> None:
        for round in range(3):
            with Store(tmp_path) as store:
                assert store.seconds() == 5.0 * round
                store.asking_seconds = lambda: 5.0
                await buy(store, asked(str(round)), answer(asked(str(round))), Amount(round + 1, 0, 0))
        with Store(tmp_path) as store:
            sessions = store.unrecorded()
            assert [(session.spent.tokens, session.seconds) for session in sessions] == [(1, 5.0), (2, 5.0), (3, 5.0)]
            await store.recorded(sessions)
            assert [session.id for session in store.unrecorded()] == [4]

    asyncio.run(main())

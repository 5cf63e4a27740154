"""A small provider of batch files, and everything that may go wrong between it and the store."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from inference.client.scripted_server import asked, completion
from orionlm.errors import UserError
from orionlm.inference.client.batches import Batches
from orionlm.inference.client.budget import Amount, Budget, Limits, Tariff
from orionlm.inference.client.client import Client
from orionlm.inference.client.endpoint import Endpoint
from orionlm.inference.client.prices import Price, PriceList
from orionlm.inference.client.store import Store

PRICES = PriceList((Price(model="m", prompt=1.0, completion=1.0, batch=0.5, source="s", date="d"),))


class Killed(BaseException):
    """Stands for kill -9: nothing after it runs."""


class Provider:
    """Files and batches as OpenAI's API has them. A batch is done after `polls` looks at it."""

    def __init__(self, polls: int = 2) -> None:
        self.polls = polls
        self.files: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.uploads = self.created = self.billed = 0
        self.status = "completed"
        self.leave_out: set[str] = set()
        self.refuse: set[str] = set()
        self.fail_after: list[str] = []  # answers to these are lost on their way back

    async def __aenter__(self) -> Provider:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files", self._list(self.files))
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list(self.batches))
        app.router.add_get("/v1/batches/{id}", self._look)
        self.runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", 0).start()
        self.endpoint = Endpoint(f"http://127.0.0.1:{self.runner.addresses[0][1]}/v1")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.runner.cleanup()

    def _list(self, what: dict[str, dict[str, Any]]):
        async def answer(request: web.Request) -> web.Response:
            rows = list(what.values())  # two a page, to be asked for the next
            after = request.query.get("after")
            start = [row["id"] for row in rows].index(after) + 1 if after else 0
            page = [{k: v for k, v in row.items() if k != "content"} for row in rows[start : start + 2]]
            return web.json_response({"data": page, "has_more": start + 2 < len(rows)})

        return answer

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        assert form["purpose"] == "batch"
        self.uploads += 1
        return self._told("upload", self._file(form["file"].filename, form["file"].file.read()))

    def _file(self, name: str, content: bytes) -> dict[str, Any]:
        file = {"id": f"file-{len(self.files)}", "filename": name, "content": content}
        self.files[file["id"]] = file
        return {"id": file["id"], "filename": name}

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["completion_window"] == "24h" and asked["endpoint"] == "/v1/chat/completions"
        self.created += 1
        batch = {"id": f"batch-{len(self.batches)}", "status": "in_progress", "looks": 0} | asked
        self.batches[batch["id"]] = batch
        return self._told("create", batch)

    def _told(self, step: str, document: dict[str, Any]) -> web.Response:
        if step in self.fail_after:
            self.fail_after.remove(step)
            return web.Response(status=502)
        return web.json_response(document)

    async def _look(self, request: web.Request) -> web.Response:
        batch = self.batches[request.match_info["id"]]
        batch["looks"] += 1
        if batch["looks"] == self.polls:
            self._finish(batch)
        return self._told("look", batch)

    def _finish(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.status
        if self.status == "failed":
            batch["errors"] = {"data": [{"message": "line 1 is bad"}]}
            return
        good, bad = [], []
        for line in self.files[batch["input_file_id"]]["content"].splitlines():
            row = json.loads(line)
            prompt = row["body"]["messages"][0]["content"]
            if prompt in self.leave_out:
                continue
            if prompt in self.refuse:
                response = {"status_code": 400, "body": {"error": {"message": "poison"}}}
                bad.append({"custom_id": row["custom_id"], "response": response, "error": None})
            else:
                self.billed += 1
                response = {"status_code": 200, "body": completion(f"you said {prompt}")}
                good.append({"custom_id": row["custom_id"], "response": response, "error": None})
        for kind, rows in (("output", good), ("error", bad)):
            if rows:
                text = "".join(json.dumps(row) + "\n" for row in reversed(rows))
                batch[f"{kind}_file_id"] = self._file(f"{kind}.jsonl", text.encode())["id"]

    async def _content(self, request: web.Request) -> web.Response:
        if "content" in self.fail_after:
            self.fail_after.remove("content")
            return web.Response(status=500)
        return web.Response(body=self.files[request.match_info["id"]]["content"])


def batches(provider: Provider, store: Store, limits: Limits | None = None, **options: Any) -> Batches:
    budget = Budget(limits, Tariff(PRICES))
    return Batches(provider.endpoint, store, budget, **{"poll_seconds": 0.01, "backoff_seconds": 0.01} | options)


def test_a_batch_answers_what_the_store_cannot(tmp_path):
    async def main() -> None:
        async with Provider() as provider:
            with Store(tmp_path) as store:
                provider.refuse = {"3"}
                tally = await batches(provider, store).run([asked(str(n % 10)) for n in range(15)])
                assert (tally.bought, tally.failed, provider.uploads, provider.created) == (9, 1, 1, 1)
                answer = store.find(asked("5"))
                assert answer.text == "you said 5" and answer.nanodollars == 6000
                assert store.find(asked("3")).error == "HTTP 400: poison" and store.find(asked("3")).permanent
                assert store.spent() == Amount(9 * 12, 9 * 6000, 0)
                tally = await batches(provider, store).run([asked(str(n)) for n in range(10)])
                assert tally.stored == 9 and provider.uploads == 1
                assert not list((tmp_path / "batches").iterdir())
            async with Client(provider.endpoint, tmp_path) as client:  # the same store serves the other transport
                assert (await client.answer(asked("5"))).stored

    asyncio.run(main())


def test_files_are_split_by_rows_and_by_size(tmp_path):
    async def main() -> None:
        async with Provider() as provider:
            with Store(tmp_path) as store:
                await batches(provider, store, rows=4).run([asked(str(n)) for n in range(10)])
                assert provider.uploads == 3
                await batches(provider, store, size=1000).run([asked(f"{n}" * 100) for n in range(10, 20)])
                sizes = [
                    len(file["content"]) for file in provider.files.values() if file["filename"].startswith("orion")
                ]
                assert len(sizes) == 8 and max(sizes[3:]) <= 1000
                assert all(store.find(asked(str(n))).ok for n in range(10))

    asyncio.run(main())


STEPS = ["_plan", "_upload", "_create", "_set", "_fetch_all", "_download", "_read", "_settle"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_at_any_step_uploads_and_buys_nothing_twice(tmp_path, step, when):
    requests = [asked(str(n)) for n in range(6)]

    async def main() -> None:
        async with Provider() as provider:
            with Store(tmp_path) as store:
                doomed = batches(provider, store)
                original = getattr(doomed, step)

                async def struck(*args):
                    if when == "after":
                        await original(*args)
                    raise Killed

                setattr(doomed, step, struck)
                with pytest.raises(Killed):
                    await doomed.run(requests)
            with Store(tmp_path) as store:
                tally = await batches(provider, store).run(requests)
                assert all(store.find(request).ok for request in requests)
                assert (provider.uploads, provider.created, provider.billed) == (1, 1, 6)
                assert store.spent() == Amount(6 * 12, 6 * 6000, 0)
                assert tally.failed == 0

    asyncio.run(main())


def test_an_answer_lost_on_its_way_back_repeats_nothing(tmp_path):
    async def main() -> None:
        async with Provider() as provider:
            provider.fail_after = ["upload", "create", "look", "content"]
            with Store(tmp_path) as store:
                await batches(provider, store).run([asked(str(n)) for n in range(3)])
                assert (provider.uploads, provider.created, provider.billed) == (1, 1, 3)
                assert all(store.find(asked(str(n))).ok for n in range(3))

    asyncio.run(main())


@pytest.mark.parametrize("status, spent", [("expired", 0), ("cancelled", 0), ("completed", 1)])
def test_a_missing_row_is_a_failure_and_spent_only_if_it_may_have_been_billed(tmp_path, status, spent):
    async def main() -> None:
        async with Provider() as provider:
            provider.status, provider.leave_out = status, {"1"}
            with Store(tmp_path) as store:
                running = batches(provider, store)
                await running.run([asked("0"), asked("1")])
                assert store.find(asked("0")).ok
                lost = store.find(asked("1"))
                assert f"batch {status}" in lost.error and "missing" in lost.error and not lost.permanent
                worst = running.budget.worst(asked("1"), batch=True)
                assert store.spent().tokens == 12 + spent * worst.tokens
                assert running.budget.spent + running.budget.reserved == store.spent()
            with Store(tmp_path) as store:  # the next run asks for what is missing
                provider.status, provider.leave_out = "completed", set()
                await batches(provider, store).run([asked("0"), asked("1")])
                assert store.find(asked("1")).ok and provider.uploads == 2

    asyncio.run(main())


def test_a_refused_file_costs_nothing_and_says_why(tmp_path):
    async def main() -> None:
        async with Provider() as provider:
            provider.status = "failed"
            with Store(tmp_path) as store:
                await batches(provider, store).run([asked("0")])
                assert "line 1 is bad" in store.find(asked("0")).error and store.spent() == Amount()

    asyncio.run(main())


def test_the_whole_file_is_reserved_before_it_is_sent(tmp_path):
    async def main() -> None:
        async with Provider() as provider:
            with Store(tmp_path) as store:
                running = batches(provider, store, Limits(tokens=1000))
                worst = running.budget.worst(asked("0"), batch=True)
                create = running._create

                async def watched(*args):
                    assert store.spent().tokens == 1000 // worst.tokens * worst.tokens <= 1000
                    return await create(*args)

                running._create = watched  # type: ignore[method-assign]
                tally = await running.run([asked(str(n)) for n in range(9)])
                assert tally.bought == 1000 // worst.tokens and tally.refused == 9 - tally.bought
                assert tally.refused_worst.tokens == tally.refused * worst.tokens

    asyncio.run(main())


def test_a_server_without_batch_files_says_so(tmp_path):
    async def main() -> None:
        app = web.Application()
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        endpoint = Endpoint(f"http://127.0.0.1:{runner.addresses[0][1]}/v1")
        with Store(tmp_path) as store:
            with pytest.raises(UserError, match="does this server take batch files"):
                await Batches(endpoint, store, Budget()).run([asked("a")])
            with pytest.raises(UserError, match="seconds"):
                Batches(endpoint, store, Budget(Limits(seconds=5)))
        await runner.cleanup()

    asyncio.run(main())

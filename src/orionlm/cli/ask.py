"""`orion ask`: a file of prompts, answered by any model; nothing paid for is ever bought again."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from orionlm.inference.client.budget import Budget
    from orionlm.inference.client.client import Client, Tally
    from orionlm.inference.client.endpoint import Endpoint
    from orionlm.inference.client.store import Store
    from orionlm.progress import Progress

GRACE_SECONDS = 10.0
INCOMPLETE = 3


def ask(
    prompts: Annotated[
        Path, typer.Argument(help="Prompts: .jsonl (or .gz), .parquet, .json, or .txt with one a line.")
    ],
    model: Annotated[str, typer.Option(metavar="URL|CHECKPOINT", help="An OpenAI-compatible API, or a checkpoint.")],
    out: Annotated[Path, typer.Option(help="Where responses go: .parquet or .jsonl.")],
    model_name: Annotated[str | None, typer.Option(help="Which model there.  [default: the only one]")] = None,
    store: Annotated[Path | None, typer.Option(help="What is paid for lives here.  [default: OUT as .store]")] = None,
    samples: Annotated[int, typer.Option(min=1, help="Answers per prompt.")] = 1,
    max_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 256,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 1.0,
    top_p: Annotated[float, typer.Option(help="Share of the probability to draw from.")] = 1.0,
    seed: Annotated[int | None, typer.Option(help="Sample k is asked with seed + k.")] = None,
    stop: Annotated[list[str] | None, typer.Option(help="Text that ends an answer; may be given again.")] = None,
    system: Annotated[str | None, typer.Option(help="A system message for every prompt.")] = None,
    completions: Annotated[
        bool | None,
        typer.Option("--completions/--chat", help="Send prompts raw, or as chat.  [default: raw for a CHECKPOINT]"),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Most requests at once.")] = 64,
    max_dollars: Annotated[float | None, typer.Option(help="Hard limit on what the store ever spends.")] = None,
    max_tokens_total: Annotated[int | None, typer.Option(help="The same in tokens, prompts included.")] = None,
    max_flops: Annotated[float | None, typer.Option(help="The same in FLOPs, where the server says them.")] = None,
    max_seconds: Annotated[float | None, typer.Option(help="The same in seconds of asking.")] = None,
    prices: Annotated[Path | None, typer.Option(help="Your prices, a TOML file; they go before ours.")] = None,
    api_key_env: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Variable with the API key.  [default: OPENAI_API_KEY, for OpenAI only]"),
    ] = None,
    revision: Annotated[str | None, typer.Option(help="The model's version, if you pin one; part of the key.")] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Ask for streams: a stall is noticed sooner.")] = False,
    sequential: Annotated[bool, typer.Option("--sequential", help="One at a time, in order, printed.")] = False,
    batch: Annotated[
        bool, typer.Option("--batch", help="By the provider's batch files: cheaper, within a day.")
    ] = False,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Try rows again that were refused for good, such as by a 400.")
    ] = False,
    timeout: Annotated[float, typer.Option(help="Seconds for one call.")] = 600.0,
    purpose: Annotated[str, typer.Option(help="What the ledger is told it was for.")] = "teacher",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what there is to buy and the most it costs.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress lines.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Ask a model every prompt of a file. Kill it, run it again: it goes on, and buys nothing twice.

    \b
    Examples:
      orion ask prompts.jsonl --model runs/quickstart/artifacts/train --out answers.parquet
      orion ask prompts.jsonl --model http://127.0.0.1:8000/v1 --out answers.jsonl --samples 4 --max-tokens 512
      orion ask prompts.jsonl --model https://api.openai.com/v1 --model-name gpt-4o-mini --max-dollars 2 --out a.parquet
    """
    options = dict(locals())

    from orionlm.errors import UserError
    from orionlm.inference.client.asking import survey
    from orionlm.inference.client.budget import Limits
    from orionlm.inference.client.prices import PriceList
    from orionlm.inference.client.prompts import check_readable, check_writable
    from orionlm.ledger import PURPOSES
    from orionlm.progress import Progress
    from orionlm.sampling import Sampling
    from orionlm.settings import nearest

    sampling = Sampling(max_tokens, temperature, top_p, stop=tuple(stop or ()), seed=seed)
    if purpose not in PURPOSES:
        raise UserError(f"--purpose {purpose}: {nearest(purpose, PURPOSES)}")
    check_readable(prompts)
    check_writable(out)
    if out.resolve() == prompts.resolve():
        raise UserError(f"--out {out}: the prompts themselves; give the responses a file of their own")
    _check_model(model)
    limits = Limits(max_dollars, max_tokens_total, max_flops, max_seconds)
    price_list = PriceList.read(prices)
    progress = Progress(quiet=quiet)
    with progress.task("reading prompts") as task:
        found = survey(prompts, lambda rows: task.update(rows) if rows % 1000 == 0 else None)
    directory = store or out.with_suffix(".store")
    result = _run(
        lambda stopping: _ask(options, sampling, limits, price_list, found, directory, progress, stopping), directory
    )
    _print(result, as_json)
    if not dry_run and (result["failed"] or result["not_asked"]):
        raise typer.Exit(INCOMPLETE)


def _check_model(model: str) -> None:
    from orionlm.errors import UserError

    if "://" in model or Path(model).is_dir():
        return
    where = (
        f"; for a server write http://{model}" if ":" in model else "; give a checkpoint's directory or a server's URL"
    )
    raise UserError(f"--model {model}: {'a file' if Path(model).is_file() else 'no such directory'}{where}")


class _Stopping:
    """Ctrl-C or SIGTERM: nothing new is sent, what is in flight has GRACE_SECONDS; at the second, none."""

    def __init__(self, progress: Progress | None = None) -> None:
        import asyncio

        self.number = 0
        self.client: Client | None = None
        self.progress = progress
        self.task = asyncio.current_task()

    def heard(self, number: int) -> None:
        import asyncio

        again, self.number = bool(self.number), number
        if self.client is None:
            if self.task:
                self.task.cancel()
        elif again:
            self.client.cancel()
        else:
            if self.progress and self.client.in_flight:
                self.progress.say(
                    f"stopping: {self.client.in_flight} in flight are paid for and waited for; again to leave"
                )
            self.client.stop("stopped")
            asyncio.get_running_loop().call_later(GRACE_SECONDS, self.client.cancel)


def _run(main: Callable[[_Stopping], Awaitable[dict[str, Any]]], directory: Path) -> dict[str, Any]:
    import asyncio

    from orionlm.cli.failures import Stopped

    numbers = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.getsignal(number) for number in numbers}
    heard = 0

    async def whole() -> dict[str, Any]:
        nonlocal heard
        stopping = _Stopping()
        for number in numbers:
            asyncio.get_running_loop().add_signal_handler(number, stopping.heard, number)
        try:
            return await main(stopping)
        finally:
            heard = stopping.number

    stopped = False
    result: dict[str, Any] = {}
    try:
        result = asyncio.run(whole())
    except asyncio.CancelledError:
        stopped = True
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if stopped or heard:
        stop = Stopped(heard or signal.SIGINT)
        stop.advice = f"run it again to go on; what was answered is kept in {directory}"
        raise stop
    return result


async def _ask(
    options: dict[str, Any],
    sampling: Any,
    limits: Any,
    price_list: Any,
    found: Any,
    directory: Path,
    progress: Progress,
    stopping: _Stopping,
) -> dict[str, Any]:
    from orionlm.errors import UserError
    from orionlm.inference.client.asking import Asking, record, summary
    from orionlm.inference.client.budget import Budget, Tariff
    from orionlm.inference.client.prompts import Form
    from orionlm.inference.client.store import Store

    stopping.progress = progress
    local = "://" not in options["model"]
    dry_run, batch = options["dry_run"], options["batch"]
    async with _endpoint(options, progress) as endpoint:
        chosen = await endpoint.choose(options["model_name"])
        tariff = Tariff(price_list, {chosen.name: chosen.flops_per_token} if chosen.flops_per_token else {})
        tariff.check(chosen.name, limits)
        budget = Budget(limits, tariff)
        raw = options["completions"] if options["completions"] is not None else local
        pinned = chosen.revision if options["revision"] is None else options["revision"]
        form = Form(chosen.name, sampling, pinned, options["system"], raw)
        asking = Asking(options["prompts"], form, options["samples"])
        if found.bad:
            progress.say(f"{found.bad} of {found.rows} rows cannot be asked; the output says why")
        head = {"model": chosen.name, "revision": pinned or "unpinned", "prompts": found.rows, "store": str(directory)}
        if dry_run and not directory.exists():
            return head | asking.rehearse(None, budget, False, batch)
        with Store(directory) as store:
            budget.resume(store.spent(), store.seconds())
            if dry_run:
                return head | asking.rehearse(store, budget, options["retry_failed"], batch)
            under_way = store.rows("SELECT count(*) FROM batches WHERE state <> 'done'")[0][0]
            if under_way and not batch:
                raise UserError(f"{directory}: {under_way} batch files are under way; add --batch to fetch them")
            if store.orphaned:
                progress.say(
                    f"{store.orphaned} calls were in flight when a run was killed; their worst case stays spent"
                )
            before = budget.spent
            total = (found.rows - found.bad) * options["samples"]
            try:
                if batch:
                    tally = await _by_batches(endpoint, store, budget, asking, options, progress)
                else:
                    tally = await _by_calls(endpoint, store, budget, asking, options, progress, stopping, total)
            finally:
                await record(store, options["purpose"], "cpu" if local else "http", budget, chosen.name)
            if stopping.number:
                return {}
            why = tally.stopped_by or ("the time is used up" if tally.out_of_time else "the budget does not cover it")
            outcomes = asking.write(store, options["out"], found.columns, f"not asked: {why}")
            done = summary(outcomes, tally, budget, store, before)
            return head | {"out": str(options["out"]), "priced": tariff.price(chosen.name) is not None} | done


@asynccontextmanager
async def _endpoint(options: dict[str, Any], progress: Progress) -> AsyncIterator[Endpoint]:
    from orionlm.inference.client.endpoint import Endpoint, served

    if "://" in options["model"]:
        yield Endpoint.at(options["model"], options["api_key_env"])
        return
    with progress.task(f"starting a server for {options['model']}") as task:
        task.update(0)
        context = served(Path(options["model"]))
        endpoint = await context.__aenter__()
    try:
        yield endpoint
    finally:
        await context.__aexit__(None, None, None)


async def _by_calls(
    endpoint: Endpoint,
    store: Store,
    budget: Budget,
    asking: Any,
    options: dict[str, Any],
    progress: Progress,
    stopping: _Stopping,
    total: int,
) -> Tally:
    import asyncio

    from orionlm.inference.client.asking import Pace
    from orionlm.inference.client.client import Client

    timeout, sequential = options["timeout"], options["sequential"]
    client = Client(
        endpoint,
        store,
        budget,
        concurrency=options["concurrency"],
        timeout=timeout,
        stall=min(60.0, timeout),
        stream=options["stream"],
        sequential=sequential,
        retry_failed=options["retry_failed"],
    )
    async with client:
        stopping.client = client
        pace = Pace(client, total, budget.tariff.price(asking.form.model) is not None)
        with progress.task("asking") as task:

            async def tell() -> None:
                while True:
                    task.update(0, pace.note())
                    await asyncio.sleep(0.2)

            telling = asyncio.create_task(tell())
            try:
                async for request, answer in client.ask(asking.requests()):
                    if sequential:
                        typer.echo(_spoken(request, answer), err=options["as_json"])
            finally:
                telling.cancel()
    return client.tally


async def _by_batches(
    endpoint: Endpoint, store: Store, budget: Budget, asking: Any, options: dict[str, Any], progress: Progress
) -> Tally:
    from orionlm.inference.client.batches import Batches

    batches = Batches(endpoint, store, budget, retry_failed=options["retry_failed"], say=progress.say)
    return await batches.run(asking.requests())


def _spoken(request: Any, answer: Any) -> str:
    asked = (
        request.prompt
        if request.messages is None
        else "\n".join(f"{m['role']}: {m['content']}" for m in request.messages)
    )
    said = answer.text if answer.ok else f"({answer.error})"
    return f"── {request.key[:12]} · sample {request.sample} ──\n{asked}\n→ {said}\n"


def _print(result: dict[str, Any], as_json: bool) -> None:
    from orionlm.cli.output import number, print_json, print_table

    if as_json:
        print_json(result)
        return
    if "to_buy" in result:
        print_table(
            ["prompts", "to buy", "in the store", "duplicates", "worst tokens", "worst dollars", "budget"],
            [[
                number(result["prompts"]), number(result["to_buy"]), number(result["stored"]),
                number(result["duplicates"]), number(result["worst_tokens"]), f"{result['worst_dollars']:.4f}",
                "covers it" if result["covered"] else "does not cover it",
            ]],
        )  # fmt: skip
        return
    spent = result["spent"]
    print_table(
        ["answered", "failed", "not asked", "bought now", "from store", "tokens", "dollars"],
        [[
            number(result["answered"]), number(result["failed"]), number(result["not_asked"]),
            number(result["bought"]), number(result["from_store"]), number(spent["tokens"]),
            f"{spent['dollars']:.4f}" if result["priced"] else "–",
        ]],
    )  # fmt: skip
    for reason, count in list(result["reasons"].items())[:5]:
        print(f"failed: {count:,} × {reason}")
    if result["bill_unknown"]:
        print(f"{result['bill_unknown']:,} calls broke off with their bill unknown; their worst case counts as spent")
    if result["cut_by_length"]:
        print(f"{result['cut_by_length']:,} answers were cut by --max-tokens; with more, only these are asked again")
    if result["warning"]:
        print(f"warning: {result['warning']}")
    if result["stopped_by"]:
        print(f"stopped: {result['stopped_by']}")
    if result["would_cover"]:
        limits = ", ".join(result["would_cover"])
        print(f"the budget left {result['not_asked']:,} out; a limit of {limits} surely covers them")
    print(f"responses: {result['out']} · what is paid for: {result['store']}")

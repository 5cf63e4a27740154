"""How does a model behind an HTTP API answer? Through the one client: what was answered once is never bought again.

Likelihoods come from /completions that echo the prompt with its log-probabilities, as `orion serve` and vLLM do.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import re
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, Messages, Pair, Prompt, Rendered, Scored, TooLong, Written
from orionlm.inference.client.budget import Budget, Limits, Tariff
from orionlm.inference.client.client import Client
from orionlm.inference.client.endpoint import Endpoint
from orionlm.inference.client.endpoint import Model as Served
from orionlm.inference.client.prices import PriceList
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer
from orionlm.inference.client.store import Store
from orionlm.sampling import Sampling

NO_LIKELIHOODS = (
    "this suite needs log-probabilities of given text, and {url} does not echo them; take a server that does, such as "
    "orion serve, or a suite of questions that are answered in words"
)


@dataclass(frozen=True)
class _Echo(Request):
    """A prompt that is only read: its tokens come back with their log-probabilities."""

    @cached_property
    def text(self) -> str:
        return json.dumps({"echo": True, "asked": super().text}, sort_keys=True, ensure_ascii=False)

    def body(self, stream: bool = False, limit_name: str = "max_tokens") -> dict[str, Any]:
        return super().body(False, limit_name) | {"echo": True}


class Remote:
    """The model called `model` (None: the only one) at `endpoint`, as an `Answerer`.

    What it said, and what that cost, is in a store of its own under `store`; `limits` hold for all that store ever
    spends, at the `prices` given."""

    device = "http"

    def __init__(
        self,
        endpoint: Endpoint,
        store: Path,
        model: str | None = None,
        *,
        limits: Limits | None = None,
        prices: PriceList | None = None,
        concurrency: int = 64,
        timeout: float = 600.0,
        **options: Any,
    ) -> None:
        self._loop = asyncio.new_event_loop()
        try:
            self.served: Served = self._loop.run_until_complete(endpoint.choose(model))
            self.name = self.served.name
            self.flops_per_token = self.served.flops_per_token
            each = {self.name: self.flops_per_token} if self.flops_per_token else {}
            self._budget = Budget(limits, Tariff(prices or PriceList(), each))
            self._budget.tariff.check(self.name, self._budget.limits)
            # Without a revision the address stands for the model: another server's model of that name may be another.
            known = self.served.revision or endpoint.url
            self.digest = hashlib.sha256(f"{self.name}\n{known}".encode()).hexdigest()
            self._store = Store(store / self.digest[:8])
        except BaseException:
            self._loop.close()
            raise
        self.endpoint = endpoint
        self.context = self.served.context
        client = Client(endpoint, self._store, self._budget, concurrency=concurrency, timeout=timeout, **options)
        self._client: Client = self._loop.run_until_complete(client.__aenter__())

    @property
    def tokens(self) -> int:
        return self._client.tally.prompt_tokens + self._client.tally.completion_tokens

    @property
    def paid(self) -> tuple[float, str] | None:
        price = self._budget.tariff.price(self.name)
        return (self._budget.spent.nanodollars / 1e9, price.origin) if price else None

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._client.stop("the evaluation has ended")
        # Where the evaluation broke off, calls in flight are waited for as long as after any error, and no longer.
        self._loop.run_until_complete(self._client.__aexit__(InterruptedError, None, None))
        self._store.close()
        self._loop.close()

    def render(self, messages: Messages) -> Rendered:
        raise UserError(
            f"choices within a chat need the model's chat template, which {self.endpoint.url} does not show; evaluate "
            "the checkpoint itself, or set chat = false"
        )

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Scored | TooLong | Failed]]:
        """The first token of a text has no likelihood here: nothing comes before it. It and its bytes do not count."""
        sampling = Sampling(max_tokens=0, temperature=1.0, alternatives=1)
        requests = [
            _Echo(self.name, None, context + continuation, sampling, self.served.revision)
            for context, continuation in pairs
        ]
        for index, answer in self._answers(requests):
            yield index, self._scored(pairs[index], answer)

    def write(self, asked: Sequence[tuple[Prompt, Sampling]]) -> Iterator[tuple[int, list[Written] | TooLong | Failed]]:
        requests: list[Request] = []
        owners: list[tuple[int, int]] = []
        for index, (prompt, sampling) in enumerate(asked):
            text, messages = (prompt, None) if isinstance(prompt, str) else (None, tuple(prompt))
            for sample in range(sampling.n):
                one = replace(sampling, n=1)
                requests.append(Request(self.name, messages, text, one, self.served.revision, sample))
                owners.append((index, sample))
        found: dict[int, dict[int, Written | TooLong | Failed]] = {}
        while requests:
            # An answer may take what the context leaves, as it may with a checkpoint; only the server knows how much.
            shorter: list[tuple[Request, tuple[int, int]]] = []
            for place, answer in self._answers(requests):
                room = _room(answer)
                if 0 < room < requests[place].max_tokens:
                    less = replace(requests[place].sampling, max_tokens=room)
                    shorter.append((replace(requests[place], sampling=less), owners[place]))
                    continue
                index, sample = owners[place]
                samples = found.setdefault(index, {})
                samples[sample] = _written(answer)
                if len(samples) == asked[index][1].n:
                    ordered = [samples[number] for number in range(len(samples))]
                    faults = [one for one in ordered if not isinstance(one, Written)]
                    yield index, faults[0] if faults else [one for one in ordered if isinstance(one, Written)]
            requests, owners = [request for request, _ in shorter], [owner for _, owner in shorter]

    def _answers(self, requests: Sequence[Request]) -> Iterator[tuple[int, Answer]]:
        """The client works while its next answer is waited for, and rests while that one is dealt with."""
        places: dict[tuple[str, int], list[int]] = {}
        for place, request in enumerate(requests):
            places.setdefault((request.key, request.max_tokens), []).append(place)
        unlike = [requests[found[0]] for found in places.values()]
        stream: AsyncIterator[tuple[Request, Answer]] = self._client.ask(unlike)
        step: asyncio.Future[tuple[Request, Answer]] | None = None
        try:
            while True:
                step = asyncio.ensure_future(stream.__anext__(), loop=self._loop)
                try:
                    request, answer = self._loop.run_until_complete(step)
                except StopAsyncIteration:
                    break
                for place in places[request.key, request.max_tokens]:
                    yield place, answer
        finally:
            if step and not step.done():  # a signal broke off the wait for it
                step.cancel()
                self._loop.run_until_complete(asyncio.wait([step]))
            self._loop.run_until_complete(stream.aclose())  # type: ignore[attr-defined]
        words = self._budget.would_cover(self._client.tally.refused_worst)
        if self._client.tally.refused and words:
            raise UserError(
                f"the budget leaves {self._client.tally.refused:,} requests unasked; a limit of {' and '.join(words)} "
                "surely covers them; what was answered is kept"
            )

    def _scored(self, pair: Pair, answer: Answer) -> Scored | TooLong | Failed:
        fault = _fault(answer)
        if fault:
            if answer.status in (400, 404, 422) and not isinstance(fault, TooLong):
                raise UserError(f"{NO_LIKELIHOODS.format(url=self.endpoint.url)} (it said: {fault.reason})")
            return fault
        assert answer.said is not None
        context, continuation = pair
        try:
            said = answer.said.choice["logprobs"]
            logs, offsets, tops = said["token_logprobs"], said["text_offset"], said.get("top_logprobs") or []
            tokens, whole = said["tokens"], context + continuation
            # What is written at the end of a token that began in the context counts with the continuation.
            ends = [*offsets[1:], len(whole)]
            start = len(context.rstrip())
            first = next((n for n, end in enumerate(ends) if end > start), len(logs))
            first = max(first, 1) if logs and logs[0] is None else first
            values = [float(log) for log in logs[first:]]
            if not all(math.isfinite(value) and value <= 0 for value in values):
                return Failed("the server gave log-probabilities that are none")
            greedy = bool(tops) and all(
                top and max(top, key=top.__getitem__) == token
                for top, token in zip(tops[first:], tokens[first:], strict=True)
            )
        except (KeyError, TypeError, ValueError, AttributeError):
            raise UserError(NO_LIKELIHOODS.format(url=self.endpoint.url)) from None
        bytes_ = len(continuation.encode()) if context else len(whole[offsets[first] :].encode() if values else b"")
        return Scored(sum(values), greedy, len(values), bytes_)


def _written(answer: Answer) -> Written | TooLong | Failed:
    fault = _fault(answer)
    if fault:
        return fault
    assert answer.said is not None
    return Written(answer.said.text, answer.said.finish, answer.completion_tokens or 0)


def _room(answer: Answer) -> int:
    """Tokens that an answer may have where the server refused one for its length and said the numbers, as `orion serve`
    and vLLM do; else 0."""
    if answer.ok or answer.status != 400:
        return 0
    told = f"{answer.error or ''} {answer.excerpt}"
    context = re.search(r"maximum context length is (\d{1,9}) tokens", told)
    prompt = re.search(r"prompt has (\d{1,9}) tokens|(\d{1,9}) in the (?:messages|prompt)", told)
    return int(context[1]) - int(prompt[1] or prompt[2]) if context and prompt else 0


def _fault(answer: Answer) -> TooLong | Failed | None:
    if answer.ok:
        return None
    told = f"{answer.error or ''} {answer.excerpt}"
    if answer.status == 400 and ("context_length_exceeded" in told or "maximum context length" in told):
        return TooLong(" ".join((answer.error or "").split())[:200])
    return Failed(" ".join((answer.error or "no answer").split())[:200])

"""From a file of prompts to a file of responses: what must be bought, and what came of each row?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount, Budget
from orionlm.inference.client.client import Client, Tally
from orionlm.inference.client.prompts import Columns, Form, Row, read_prompts, write_responses
from orionlm.inference.client.request import Request
from orionlm.inference.client.store import Store
from orionlm.ledger import Ledger
from orionlm.progress import duration

MOST_REASONS = 1000


@dataclass
class Survey:
    """What a first reading of the prompts found."""

    rows: int = 0
    bad: int = 0
    columns: Columns = field(default_factory=Columns)


@dataclass
class Outcomes:
    """What was written, by kind, and why rows have no answer."""

    answered: int = 0
    failed: int = 0
    not_asked: int = 0
    cut: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Asking:
    """Every row of `prompts`, `samples` times, as `form` says."""

    prompts: Path
    form: Form
    samples: int = 1

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UserError(f"samples = {self.samples}: give at least 1")

    def requests(self) -> Iterator[Request]:
        for _, _, request in self._each():
            if request:
                yield request

    def rehearse(self, store: Store | None, budget: Budget, retry_failed: bool, batch: bool) -> dict[str, Any]:
        """How many must be bought, and the most that can cost; nothing is asked."""
        stored, duplicates, to_buy, unbounded = 0, 0, 0, 0
        worst = Amount()
        seen: set[int] = set()
        for request in self.requests():
            name = hash((request.key, request.max_tokens))
            if name in seen:
                duplicates += 1
                continue
            seen.add(name)
            if store and store.standing(request, retry_failed):
                stored += 1
                continue
            to_buy += 1
            amount = budget.worst(request, batch)
            unbounded += amount is None
            worst += amount or Amount()
        return {
            "to_buy": to_buy, "stored": stored, "duplicates": duplicates, "unbounded": unbounded,
            "worst_tokens": worst.tokens, "worst_dollars": worst.nanodollars / 1e9, "worst_flops": worst.flops,
            "covered": budget.fits(worst),
        }  # fmt: skip

    def write(self, store: Store, out: Path, columns: Columns, not_asked: str) -> Outcomes:
        """The responses, in the order of the prompts."""
        outcomes = Outcomes()
        write_responses(out, columns, self._responses(store, columns, not_asked, outcomes))
        return outcomes

    def _responses(
        self, store: Store, columns: Columns, not_asked: str, outcomes: Outcomes
    ) -> Iterator[Mapping[str, Any]]:
        for row, sample, request in self._each():
            line = columns.carry(row) | {"sample": sample}
            answer = store.find(request) if request else None
            if answer and answer.ok:
                outcomes.answered += 1
                outcomes.cut += answer.finish == "length"
                line |= {
                    "response": answer.text, "finish_reason": answer.finish, "prompt_tokens": answer.prompt_tokens,
                    "completion_tokens": answer.completion_tokens, "dollars": answer.dollars,
                }  # fmt: skip
            else:
                asked = bool(answer) or not request
                outcomes.failed += asked
                outcomes.not_asked += not asked
                error = row.error if not request else answer.error if answer else not_asked
                line["error"] = error
                reason = "a bad row of the prompts" if not request else str(error)
                if asked and (reason in outcomes.reasons or len(outcomes.reasons) < MOST_REASONS):
                    outcomes.reasons[reason] += 1
            if request:
                line |= {"key": request.key, "model": request.model, "revision": request.revision}
            if answer:
                line |= {"model": answer.model, "revision": answer.revision}
            yield line

    def _each(self) -> Iterator[tuple[Row, int, Request | None]]:
        for row in read_prompts(self.prompts):
            for sample in range(self.samples):
                yield row, sample, None if row.error else self.form.request(row, sample)


def survey(prompts: Path, tick: Callable[[int], None] = lambda rows: None) -> Survey:
    """Read the prompts once, and see that there are any."""
    found = Survey()
    for row in read_prompts(prompts):
        found.rows += 1
        found.bad += bool(row.error)
        found.columns.see(row)
        tick(found.rows)
    if not found.rows:
        raise UserError(f"{prompts}: no prompts in it; write one JSON object with a prompt a line")
    return found


async def record(store: Store, purpose: str, device: str, budget: Budget, model: str) -> None:
    """One ledger entry for each session that has none: this one, and those that were killed before they could."""
    await store.flush()
    sessions = store.unrecorded()
    price = budget.tariff.price(model)
    ledger = Ledger(store.directory / "ledger.jsonl")
    there = {(entry.tokens, entry.flops, entry.seconds) for entry in ledger.entries()}
    for session in sessions:
        if (session.spent.tokens, session.spent.flops, session.seconds) in there:
            continue  # a kill came between its entry and the store's word for it
        ledger.record(
            "ask",
            purpose,
            device=device,
            flops=session.spent.flops,
            flops_kind="estimated" if model in budget.tariff.flops_per_token else "unknown",
            tokens=session.spent.tokens,
            seconds=session.seconds,
            dollars=session.spent.nanodollars / 1e9 if price else None,
            dollars_source=price.origin if price else "",
        )
    if sessions:
        await store.recorded(sessions)


class Pace:
    """What a person is told while it goes on."""

    def __init__(self, client: Client, total: int, priced: bool) -> None:
        self.client, self.total, self.priced = client, total, priced
        self._began = time.monotonic()
        self._before = client.budget.spent.nanodollars

    def done(self) -> int:
        tally = self.client.tally
        return tally.bought + tally.stored + tally.failed

    def note(self) -> str:
        tally, client = self.client.tally, self.client
        elapsed = max(time.monotonic() - self._began, 1e-3)
        done, left = self.done(), max(0, self.total - self.done())
        parts = [f"{done:,} of {self.total:,} ({100 * min(1.0, done / max(self.total, 1)):.0f}%)"]
        if tally.failed:
            parts.append(f"{tally.failed:,} failed")
        parts.append(f"{client.in_flight} of {client.limiter.limit} at once")
        if client.waiting_seconds >= 1:
            parts.append(f"the server asks to wait {client.waiting_seconds:.0f} s")
        if tally.bought:
            parts.append(f"{(tally.prompt_tokens + tally.completion_tokens) / elapsed:,.0f} tokens/s")
            if self.priced:
                spent = (client.budget.spent.nanodollars - self._before) / 1e9
                parts.append(f"${spent:.4g}, about ${spent * (1 + left / tally.bought):.4g} in all")
            if left:
                parts.append(f"{duration(elapsed * left / tally.bought)} left")
        return " · ".join(parts)


def summary(outcomes: Outcomes, tally: Tally, budget: Budget, store: Store, before: Amount) -> dict[str, Any]:
    """What this run did, and what the store has spent in all."""
    spent = budget.spent + budget.reserved
    now = spent - before
    cover = budget.would_cover(tally.refused_worst) if tally.refused else []
    if tally.out_of_time and tally.bought:
        whole = store.seconds_in_all() * (1 + tally.refused / tally.bought)
        cover.append(f"seconds {whole:.0f} (at this pace)")
    return {
        "answered": outcomes.answered,
        "failed": outcomes.failed,
        "not_asked": outcomes.not_asked,
        "cut_by_length": outcomes.cut,
        "bought": tally.bought,
        "from_store": tally.stored,
        "calls": tally.calls,
        "retries": tally.retries,
        "bill_unknown": tally.lost,
        "orphaned": store.orphaned,
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "spent": _amount(now),
        "spent_in_all": _amount(spent),
        "stopped_by": tally.stopped_by,
        "warning": tally.warning,
        "would_cover": cover,
        "reasons": dict(outcomes.reasons.most_common(20)),
    }


def _amount(amount: Amount) -> dict[str, float]:
    return {"tokens": amount.tokens, "dollars": amount.nanodollars / 1e9, "flops": amount.flops}

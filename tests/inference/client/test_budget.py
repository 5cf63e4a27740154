from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from inference.client.scripted_server import asked
from orionlm.errors import UserError
from orionlm.inference.client.budget import Amount, Budget, Limits, Tariff
from orionlm.inference.client.prices import Price, PriceList
from orionlm.inference.client.request import Request
from orionlm.inference.client.response import Answer, Usage
from orionlm.inference.client.store import FILE, Store

PRICES = PriceList((Price(model="m", prompt=1.5, completion=3.0, source="s", date="d"),))
TARIFF = Tariff(PRICES, {"m": 1e6})
LIMITS = Limits(dollars=0.005, tokens=2500, flops=2.4e9)


class SpendingUnderKills(RuleBasedStateMachine):
    """Whatever is asked, answered, lost and killed: at every committed moment, no more is spent or reserved than may
    be, and never less is counted than was billed."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.lives = 0
        self.billed = 0  # tokens, by the provider's own count
        self.flying: list[tuple[int, Amount]] = []
        self.begin(self.directory / "0")

    def begin(self, directory: Path) -> None:
        self.store = Store(directory)
        self.budget = Budget(LIMITS, TARIFF)
        self.budget.resume(self.store.spent(), 0.0)
        self.flying = []

    def do(self, future) -> None:
        async def main() -> None:
            await future()

        self.loop.run_until_complete(main())

    @rule(size=st.integers(1, 300), most=st.integers(0, 400))
    def reserve(self, size: int, most: int) -> None:
        request = Request("m", prompt="x" * size, sampling=asked("", max_tokens=most).sampling)
        worst = self.budget.worst(request)
        assert worst is not None
        if self.budget.reserve(worst):
            call = self.store.next_call()
            self.do(lambda: self.store.reserve(call, request, worst))
            self.flying.append((call, worst))
        else:
            assert not worst.within(self.left())

    @precondition(lambda self: self.flying)
    @rule(share=st.floats(0, 1), which=st.integers(0, 99))
    def settle(self, share: float, which: int) -> None:
        call, worst = self.flying.pop(which % len(self.flying))
        used = int(worst.tokens * share)
        actual = TARIFF.cost("m", Usage(used, 0))
        self.billed += used
        assert self.budget.settle(worst, actual)
        answer = Answer(f"{self.lives}-{call}", 1, b"{}", "stop")
        self.do(lambda: self.store.settle(call, actual, answer))

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        call, worst = self.flying.pop(which % len(self.flying))
        self.budget.release(worst)
        self.do(lambda: self.store.release(call))

    @precondition(lambda self: self.flying)
    @rule(which=st.integers(0, 99), share=st.floats(0, 1))
    def lose(self, which: int, share: float) -> None:
        call, worst = self.flying.pop(which % len(self.flying))
        self.billed += int(worst.tokens * share)
        self.budget.lose(worst)
        self.do(lambda: self.store.lose(call))

    @rule(share=st.floats(0, 1))
    def kill(self, share: float) -> None:
        self.billed += sum(int(worst.tokens * share) for _, worst in self.flying)
        before, self.lives = self.store, self.lives + 1
        after = self.directory / str(self.lives)
        after.mkdir()
        for name in os.listdir(before.directory):
            if name.startswith(FILE):
                shutil.copy(before.directory / name, after / name)
        before.close()
        in_flight = len(self.flying)
        self.begin(after)
        assert self.store.orphaned == in_flight

    def left(self) -> Amount:
        tokens, nanodollars, flops = self.committed()
        return Amount(2500 - tokens, 5_000_000 - nanodollars, 2_400_000_000 - flops)

    def committed(self) -> tuple[int, int, int]:
        connection = sqlite3.connect(self.store.path)
        try:
            sums = "SELECT ifnull(sum(tokens), 0), ifnull(sum(nanodollars), 0), ifnull(sum(flops), 0) FROM calls"
            return connection.execute(sums).fetchone()
        finally:
            connection.close()

    @invariant()
    def never_more_than_may_be(self) -> None:
        tokens, nanodollars, flops = self.committed()
        assert tokens <= 2500 and nanodollars <= 5_000_000 and flops <= 2.4e9
        assert self.billed <= tokens
        total = self.budget.spent + self.budget.reserved
        assert (total.tokens, total.nanodollars, total.flops) == (tokens, nanodollars, flops)

    def teardown(self) -> None:
        self.store.close()
        self.loop.close()
        shutil.rmtree(self.directory)


SpendingUnderKills.TestCase.settings = settings(max_examples=10, stateful_step_count=30, deadline=None)
TestSpendingUnderKills = SpendingUnderKills.TestCase


def test_each_limit_binds_by_itself():
    worst = Amount(100, 300_000, 10**8)
    assert not Budget(Limits(tokens=99), TARIFF).reserve(worst)
    assert Budget(Limits(tokens=100), TARIFF).reserve(worst)
    assert not Budget(Limits(dollars=0.000299), TARIFF).reserve(worst)
    assert Budget(Limits(dollars=0.0003), TARIFF).reserve(worst)
    assert not Budget(Limits(flops=1e8 - 1), TARIFF).reserve(worst)
    assert Budget(Limits(), TARIFF).reserve(Amount(10**30, 10**30, 10**60))


def test_a_limit_that_could_not_be_held_is_refused():
    Tariff().check("m", Limits(tokens=5, seconds=5))
    with pytest.raises(UserError, match="no price is known for model 'm'.*--prices"):
        Tariff().check("m", Limits(dollars=1.0))
    with pytest.raises(UserError, match="FLOPs"):
        Tariff().check("m", Limits(flops=1.0))
    for wrong in (-1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="dollars"):
            Limits(dollars=wrong)


def test_a_lying_bill_is_recorded_and_told():
    budget = Budget(Limits(tokens=1000), TARIFF)
    reserved = Amount(100, 0, 0)
    assert budget.reserve(reserved)
    assert not budget.settle(reserved, Amount(101, 0, 0))
    assert budget.spent.tokens == 101 and budget.reserved == Amount()


def test_it_says_what_would_cover_the_rest():
    budget = Budget(Limits(tokens=10, dollars=1.0), TARIFF)
    budget.resume(Amount(8, 10**8, 0), 0.0)
    assert budget.would_cover(Amount(5, 10**8, 0)) == ["tokens 13"]
    assert budget.would_cover(Amount(2, 10**9, 0)) == ["dollars 1.1"]
    assert budget.would_cover(Amount(2, 1, 0)) == []

from __future__ import annotations

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.inference.client.limiter import LONGEST_WAIT, Limiter, backoff, retry_after


def test_it_begins_modestly_doubles_and_keeps_its_ceiling():
    limiter = Limiter(64)
    assert limiter.limit == 8
    for _ in range(8):
        limiter.succeeded()
    assert limiter.limit == 16
    for _ in range(1000):
        limiter.succeeded()
    assert limiter.limit == 64


def test_after_a_push_back_it_grows_by_one_a_window():
    limiter = Limiter(64)
    limiter.pushed_back(sent=1.0, now=2.0)
    assert limiter.limit == 5
    for _ in range(6):
        limiter.succeeded()
    assert limiter.limit == 6


def test_it_shrinks_once_a_round_trip():
    limiter = Limiter(64)
    for _ in range(100):
        limiter.succeeded()
    for sent in [1 + n / 100 for n in range(20)]:  # all were sent before the first push-back was heard
        limiter.pushed_back(sent, now=2.0)
    assert limiter.limit == 44
    limiter.pushed_back(sent=2.5, now=3.0)
    assert limiter.limit == 31


def test_few_single_push_backs_neither_shrink_nor_pause_it():
    limiter = Limiter(64)
    for number in range(2000):
        limiter.succeeded()
        if number % 12 == 11:
            limiter.pushed_back(sent=float(number), now=number + 1.0, wait=5.0)
    assert limiter.limit == 64
    assert limiter.paused_until == 0.0


def test_a_crowded_server_that_says_when_is_left_alone_until_then():
    limiter = Limiter(64)
    limiter.pushed_back(sent=1.0, now=2.0, wait=5.0)
    assert limiter.paused_until == 7.0


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e6)), max_size=200), st.integers(1, 100))
def test_it_stays_between_one_and_the_ceiling(events, ceiling):
    limiter = Limiter(ceiling)
    for good, at in events:
        if good:
            limiter.succeeded()
        else:
            limiter.pushed_back(at, at + 1)
        assert 1 <= limiter.limit <= ceiling


@pytest.mark.parametrize(
    "headers, wait",
    [
        ({}, None),
        ({"Retry-After": "3"}, 3.0),
        ({"Retry-After": "0.25"}, 0.25),
        ({"Retry-After": "-5"}, 0.0),
        ({"Retry-After": "99999"}, LONGEST_WAIT),
        ({"Retry-After": "inf"}, LONGEST_WAIT),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, 0.0),
        ({"retry-after-ms": "250", "Retry-After": "9"}, 0.25),
        ({"retry-after-ms": "x", "Retry-After": "9"}, 9.0),
    ],
)
def test_the_server_says_how_long_to_wait(headers, wait):
    assert retry_after(headers) == wait


def test_a_date_is_understood():
    wait = retry_after({"Retry-After": formatdate(time.time() + 30, usegmt=True)})
    assert wait is not None and 28 < wait <= 30


@given(st.integers(1, 10_000), st.floats(0.001, 10))
def test_back_off_is_bounded(attempt, base):
    assert 0 <= backoff(attempt, base) <= min(60, base * 2.0 ** min(attempt, 30))

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.goodput import goodput


def test_mean_time_between_failures_of_large_clusters():
    assert goodput([16_384, 50_000, 100_000]).mtbf_hours == pytest.approx([3.1, 1.0, 0.5], rel=0.025)


def test_youngs_interval_and_first_order_share_where_failures_are_rare():
    said = goodput(1000, checkpoint_seconds=30, restart_seconds=200)
    mean = said.mtbf_hours * 3600
    young = math.sqrt(2 * 30 * mean)
    assert said.interval_seconds == pytest.approx(young, rel=0.02)
    assert said.share == pytest.approx(1 - 30 / young - (young / 2 + 200) / mean, abs=5e-4)


def test_the_defaults_reach_what_llama_3_reports():
    assert 0.90 < goodput(16_384).share < 0.94


def test_the_share_is_that_of_a_simulated_run():
    said = goodput(50_000, checkpoint_seconds=60, restart_seconds=600)
    mean, segment = said.mtbf_hours * 3600, said.interval_seconds
    rng, clock, done = np.random.default_rng(0), 0.0, 0
    while done < 20_000:
        failure = rng.exponential(mean)
        whole = int(failure // (segment + 60))
        done += whole
        clock += failure
        while rng.exponential(mean) < 600:  # the restart fails too: it begins again
            clock += 300
        clock += 600
    assert done * segment / clock == pytest.approx(said.share, rel=0.03)


def test_no_interval_is_better():
    said = goodput(100_000, 60, 300)
    mean = said.mtbf_hours * 3600

    def share(tau):
        return tau / (mean * math.exp(300 / mean) * math.expm1((tau + 60) / mean))

    assert share(said.interval_seconds) == pytest.approx(said.share)
    assert max(share(said.interval_seconds * f) for f in (0.8, 0.95, 1.05, 1.25)) < said.share


@given(st.floats(1, 1e12), st.floats(1e-3, 1e5), st.floats(0, 1e6), st.floats(1.01, 100))
def test_a_share_that_falls_with_size_and_never_leaves_0_to_1(devices, checkpoint, restart, factor):
    small, large = goodput(devices, checkpoint, restart).share, goodput(devices * factor, checkpoint, restart).share
    assert 0 <= large <= small * (1 + 1e-3) <= 1 + 1e-3


def test_it_saturates_when_failures_outrun_restarts():
    assert goodput(1e9).share == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("bad", [
    {"devices": 0}, {"devices": -5}, {"devices": math.nan}, {"devices": 8, "checkpoint_seconds": 0},
    {"devices": 8, "restart_seconds": -1}, {"devices": 8, "failures_per_device_hour": math.inf},
])  # fmt: skip
def test_impossible_values_are_named(bad):
    with pytest.raises(UserError, match=list(bad)[-1]):
        goodput(**bad)

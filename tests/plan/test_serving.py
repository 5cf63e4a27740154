from __future__ import annotations

import math
from dataclasses import replace

import pytest

from orionlm.errors import UserError
from orionlm.plan.accelerators import load
from orionlm.plan.quantity import Quantity
from orionlm.plan.serving import BANDWIDTH_SHARE, COMPUTE_SHARE, USABLE, serve

TABLE = load()
H100 = TABLE["H100"]
KV_70B = 2 * 80 * 8 * 128 * 2  # bytes a token: keys and values, layers, heads, width, bf16


def test_one_step_by_hand():
    said = serve(7e9, 7e9, H100, 1, 131072, 2048, 2048, seconds_per_token=10)
    batch = int((USABLE * 80e9 - 14e9) // (131072 * 2048))
    step = (14e9 + batch * 131072 * 1024) / (3.35e12 * BANDWIDTH_SHARE)
    assert (said.batch, said.bound, said.batch_bound) == (batch, "memory bandwidth", "memory")
    assert said.seconds_per_token == pytest.approx(step) and said.tokens_per_second == pytest.approx(batch / step)
    assert said.requests_per_day == pytest.approx(said.tokens_per_second / 2048 * 86400)


def test_with_a_tiny_cache_compute_binds():
    said = serve(7e9, 7e9, H100, 1, 100, 2048, 2048, seconds_per_token=1)
    assert said.bound == "compute"
    assert said.tokens_per_second == pytest.approx(989e12 * COMPUTE_SHARE / 14e9, rel=0.01)


def test_dollars_are_rent_over_tokens():
    said = serve(70e9, 70e9, H100, 64, KV_70B, 4096)
    assert said.dollars_per_million_tokens.median == pytest.approx(64 * 2.35 / 3600 / said.tokens_per_second * 1e6)
    assert serve(70e9, 70e9, TABLE["MI300X"], 64, KV_70B, 4096).dollars_per_million_tokens is None
    rented = serve(70e9, 70e9, H100, 64, KV_70B, 4096, rent=Quantity.exact(4.7))
    assert rented.dollars_per_million_tokens.median == pytest.approx(2 * said.dollars_per_million_tokens.median)


def test_more_of_everything_serves_more():
    base = serve(70e9, 70e9, H100, 64, KV_70B, 4096).tokens_per_second
    assert serve(70e9, 70e9, H100, 128, KV_70B, 4096).tokens_per_second == pytest.approx(2 * base, rel=0.2)
    assert serve(70e9, 70e9, TABLE["H200"], 64, KV_70B, 4096).tokens_per_second > base
    assert serve(70e9, 70e9, H100, 64, KV_70B, 32768).tokens_per_second < base
    assert serve(70e9, 70e9, H100, 64, KV_70B, 4096, seconds_per_token=0.02).tokens_per_second <= base
    assert serve(10e9, 70e9, H100, 64, KV_70B, 4096).tokens_per_second > base
    assert serve(70e9, 70e9, H100, 64, KV_70B, 4096, bytes_per_param=1).tokens_per_second > base


def test_a_tight_latency_bounds_the_batch():
    said = serve(70e9, 70e9, H100, 8, KV_70B, 4096, seconds_per_token=0.012)
    assert said.batch_bound == "latency" and said.seconds_per_token <= 0.012


def test_a_mixture_reads_only_what_its_batch_touches():
    chip = replace(H100, memory=1e13)
    alone = serve(1e9, 64e9, chip, 1, 1.0, 2, 1, seconds_per_token=2e9 * 1.05 / (3.35e12 * BANDWIDTH_SHARE))
    assert alone.batch == 1


def test_a_fleet_too_small_is_told_the_size():
    with pytest.raises(UserError, match="need 16 H100"):
        serve(405e9, 405e9, H100, 8, 5e5, 8000)
    assert serve(405e9, 405e9, H100, 16, 5e5, 8000).replicas == 1
    with pytest.raises(UserError, match="seconds_per_token"):
        serve(405e9, 405e9, H100, 16, 5e5, 8000, seconds_per_token=1e-4)


@pytest.mark.parametrize("bad", [{"params": -1}, {"devices": 0}, {"context": math.inf}, {"tokens_per_request": 1e6},
                                 {"active_params": 1e12}, {"kv_bytes_per_token": 0}])  # fmt: skip
def test_impossible_values_are_named(bad):
    good = {
        "active_params": 7e9,
        "params": 7e9,
        "accelerator": H100,
        "devices": 8,
        "kv_bytes_per_token": 1e5,
        "context": 4096,
    }
    with pytest.raises(UserError, match=next(iter(bad))):
        serve(**good | bad)

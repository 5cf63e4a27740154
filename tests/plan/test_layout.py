from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.plan.accelerators import load
from orionlm.plan.layout import USABLE, layout

TABLE = load()
H100 = TABLE["H100"]


def test_a_small_model_needs_nothing_but_data_parallelism():
    said = layout(1e9, 1e9, 24, 1536, 2048, H100, 8, 2**19)
    assert (said.data, said.tensor, said.pipeline, said.expert, said.recompute, said.zero_stage) == (
        8,
        1,
        1,
        1,
        False,
        1,
    )


def test_bytes_by_hand():
    said = layout(1e9, 1e9, 24, 1536, 2048, H100, 8, 2**19, micro_batch=2, recompute=False)
    state = 1e9 * (2 + 2 + 12 / 8)
    assert said.bytes_per_device == pytest.approx(state + 34 * 2 * 2048 * 1536 * 24)
    again = layout(1e9, 1e9, 24, 1536, 2048, H100, 8, 2**19, micro_batch=2, recompute=True)
    assert again.bytes_per_device == pytest.approx(state + (2 * 24 + 34) * 2 * 2048 * 1536)


@pytest.mark.parametrize("case", [
    (70e9, 70e9, 80, 8192, 8192, H100, 2048, 4e6, 1), (405e9, 405e9, 126, 16384, 8192, H100, 16384, 16e6, 1),
    (671e9, 37e9, 61, 7168, 4096, H100, 2048, 63e6, 256), (1.8e12, 280e9, 120, 12288, 8192, H100, 20000, 60e6, 16),
])  # fmt: skip
def test_known_large_models_fit_the_clusters_they_were_trained_on(case):
    said = layout(*case)
    assert said.devices <= case[6] and said.devices > 0.9 * case[6] and said.bytes_per_device <= USABLE * 80e9
    assert case[3] % said.tensor == 0 and case[2] % said.pipeline == 0 and case[8] % said.expert == 0
    assert said.data * said.micro_batch <= case[7] // case[4] and said.tensor <= 8


def test_one_gpu_does_not_hold_seven_billion_and_the_smallest_cluster_is_named():
    with pytest.raises(UserError, match=r"devices = 1: .* 2 devices"):
        layout(7e9, 7e9, 32, 4096, 4096, TABLE["A100"], 1, 1e6)
    assert layout(7e9, 7e9, 32, 4096, 4096, TABLE["A100"], 2, 1e6)


def test_the_named_cluster_fits_and_one_device_fewer_does_not():
    with pytest.raises(UserError) as caught:
        layout(405e9, 405e9, 126, 16384, 8192, H100, 8, 16e6)
    size = int(str(caught.value).split("has ")[-1].split()[0].replace(",", ""))
    assert layout(405e9, 405e9, 126, 16384, 8192, H100, size, 16e6)
    with pytest.raises(UserError):
        layout(405e9, 405e9, 126, 16384, 8192, H100, size - 1, 16e6)
    assert size * USABLE * 80e9 > 16 * 405e9


def test_pinned_choices_are_relaxed_first():
    pinned = (7e9, 7e9, 32, 4096, 8192, H100, 8, 2**21)
    with pytest.raises(UserError, match="recompute = true"):
        layout(*pinned, recompute=False, micro_batch=16)
    with pytest.raises(UserError, match="micro_batch = "):
        layout(7e9, 7e9, 32, 4096, 131072, H100, 8, 2**24, micro_batch=64)


def test_what_no_cluster_holds_says_so():
    with pytest.raises(UserError, match="shorten the context"):
        layout(1e12, 1e12, 7, 8191, 10**9, H100, 64, 10**9)


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([1e8, 3e9, 3e10, 4e11]), st.integers(1, 5000), st.sampled_from([1, 8, 64]), st.integers(1, 500))
def test_what_comes_back_fits_and_more_memory_never_hurts(params, devices, experts, sequences):
    width = 2 ** round(math.log2(params) / 3 + 1)
    case = (params, params / math.sqrt(experts), 32, width, 4096)
    rest = (devices, sequences * 4096, experts)
    try:
        said = layout(*case, H100, *rest)
    except UserError as error:
        assert "\n" not in str(error)
        return
    assert (
        said.bytes_per_device <= USABLE * 80e9 and said.devices <= devices and said.data * said.micro_batch <= sequences
    )
    assert layout(*case, TABLE["H200"], *rest).speed >= said.speed - 1e-9


@pytest.mark.parametrize("bad", [{"params": 0}, {"params": math.nan}, {"devices": 0}, {"batch_tokens": 100},
                                 {"layers": -1},
                                 {"active_params": 2e9}, {"micro_batch": 0}])  # fmt: skip
def test_impossible_values_are_named(bad):
    good = {"params": 1e9, "active_params": 1e9, "layers": 24, "width": 1536, "context": 2048, "accelerator": H100,
            "devices": 8, "batch_tokens": 2**19}  # fmt: skip
    with pytest.raises(UserError, match=next(iter(bad))):
        layout(**good | bad)

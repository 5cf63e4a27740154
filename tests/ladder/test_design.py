from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.data.mixing.mixture import Mixture
from orionlm.errors import UserError
from orionlm.ladder.design import LadderSettings, check_text, design


@settings(max_examples=30, deadline=None)
@given(st.floats(1e12, 1e16))
def test_the_dial_gives_four_sizes_that_all_end_at_it(flops):
    rungs = design(LadderSettings(largest_flops=flops), 2048, 0)
    assert len(rungs) in (3, 4)
    for rung in rungs:
        ends = [steps * rung.step_flops for steps in rung.branches]
        assert ends[-1] == pytest.approx(flops, rel=0.02)
        assert ends == sorted(ends)


def test_branches_off_one_trajectory_cost_less_than_runs_of_their_own():
    for rung in design(LadderSettings(largest_flops=2e12), 2048, 0):
        assert rung.flops < 0.75 * sum(steps * rung.step_flops for steps in rung.branches)


def test_a_text_too_small_for_the_ladder_is_one_line_with_both_sizes():
    rungs = design(LadderSettings(largest_flops=2e12), 2048, 0)
    with pytest.raises(UserError, match=r"the longest run reads [\d,]+ tokens and the text has 1,000"):
        check_text(rungs, 1000)


def test_a_ladder_on_a_mixture_reads_no_domain_twice():
    rungs = design(LadderSettings(largest_flops=2e12), 2048, 0)
    longest = max(rung.branches[-1] * rung.settings.batch_tokens for rung in rungs)
    unique = (longest, longest // 2 + 1000)
    even = Mixture(("code", "text"), (128, 128), (), 0.0, 10 * longest, unique)
    check_text(rungs, sum(unique), even)
    with pytest.raises(UserError, match=r"reads domain 'text' again after [\d,]+; add text, .* the weight of 'text'"):
        check_text(rungs, sum(unique), replace(even, main=(64, 192)))
    with pytest.raises(UserError, match="it holds for runs of up to 100 tokens"):
        check_text(rungs, sum(unique), replace(even, tokens=100))


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"largest_flops": 1e6, "widths": (32, 48), "training": {"warmup_steps": 0}}, "raise it"),
        ({"largest_flops": 2e11, "widths": (32, 48)}, "at most half of them"),
        ({"largest_flops": 2e12, "widths": (64, 64)}, "none of them twice"),
        ({"largest_flops": 2e12, "branches": (0.5,)}, "at least two ascending shares"),
        ({"largest_flops": 2e12, "branches": (0.5, 0.2, 1.0)}, "at least two ascending shares"),
        ({"largest_flops": 1e11}, "too little for two sizes"),
        ({"largest_flops": 2e12, "widths": (64,)}, "two widths, none of them twice"),
        ({"largest_flops": 2e12, "widths": (60, 64)}, "multiple of 16"),
    ],
)
def test_a_ladder_that_cannot_be_built_says_what_to_change(wrong, said):
    with pytest.raises(UserError, match=said):
        design(LadderSettings(**wrong), 2048, 0)

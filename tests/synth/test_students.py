from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.synth.students import REAL, Settings, plan_students, synthetic_shares

SIZE = st.integers(1_000, 3_000_000)


def planned(settings: Settings, **sizes: int):
    tokens = SimpleNamespace(vocabulary=512, parts={name: range(size) for name, size in sizes.items()})
    return plan_students(settings, tokens, 1, list(sizes))  # type: ignore[arg-type]


@given(SIZE, SIZE, st.floats(0.1, 0.9))
def test_synthetic_text_is_read_as_much_as_asked_but_no_more_often_than_real(real, ungated, share):
    _, mixtures = planned(Settings(flops=1e11, share=share), real=real, ungated=ungated)
    names, places = mixtures["ungated"].domains, mixtures["ungated"].main
    read = {name: count / sum(places) for name, count in zip(names, places, strict=True)}
    assert read["ungated"] <= share + 1 / 256
    as_often = ungated / (ungated + real)
    assert read["ungated"] <= max(as_often + 1 / 256, 1 / 256)
    if ungated / real > share / (1 - share) * 1.01:
        assert read["ungated"] == pytest.approx(share, abs=1 / 256)


def test_every_arm_trains_equally_long_from_the_same_starts():
    runs, mixtures = planned(Settings(flops=1e11, seeds=3), real=50_000, ungated=50_000, admitted=10_000)
    assert len({run.branches for run in runs}) == 1 and len({run.step_flops for run in runs}) == 1
    assert [run.name for run in runs][:3] == ["real-0", "ungated-0", "admitted-0"]
    for number in range(3):
        assert len({run.seed for run in runs if run.name.endswith(f"-{number}")}) == 1
    assert mixtures[REAL].domains == (REAL,)


def test_the_share_that_is_told_is_the_one_that_is_read():
    _, mixtures = planned(Settings(flops=1e11, share=0.5), real=90_000, ungated=200_000, admitted=10_000)
    assert synthetic_shares(mixtures) == pytest.approx({"real": 0.0, "ungated": 0.5, "admitted": 0.1}, abs=1 / 256)


def test_a_budget_too_small_for_its_branches_is_refused():
    with pytest.raises(UserError, match="give ascending shares and more flops"):
        planned(Settings(flops=1e7), real=1000)

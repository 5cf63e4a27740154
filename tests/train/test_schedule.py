from hypothesis import given
from hypothesis import strategies as st

from orionlm.train.schedule import Schedule


@given(st.integers(0, 50), st.integers(1, 100), st.integers(0, 300), st.data())
def test_rate_rises_stays_and_falls_but_never_reaches_zero(warmup, decay, stable, data):
    schedule = Schedule(warmup, decay, warmup + stable + decay)
    rates = [schedule(step) for step in range(schedule.steps)]
    assert all(0 < rate <= 1 for rate in rates)
    assert all(a <= b for a, b in zip(rates[:warmup], rates[1:warmup], strict=False))
    assert all(rate == 1 for rate in rates[warmup : schedule.decay_start])
    falling = rates[schedule.decay_start :]
    assert all(a > b for a, b in zip(falling, falling[1:], strict=False))


def test_branches_share_the_stable_phase_exactly():
    short, long = Schedule(10, 20, 100), Schedule(10, 80, 400)
    assert [short(s) for s in range(short.decay_start)] == [long(s) for s in range(short.decay_start)]

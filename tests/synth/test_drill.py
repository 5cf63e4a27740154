import numpy as np
import pytest

from orionlm.synth.drill import judged


def generations(replaced, guarded, seeds=2, noise=0.005):
    rng = np.random.default_rng(0)
    return [
        {
            f"{arm}-{seed}": {"bits_per_byte": 2 + rise * generation + noise * rng.standard_normal()}
            for arm, rise in (("replaced", replaced), ("guarded", guarded))
            for seed in range(seeds)
        }
        for generation in range(4)
    ]


@pytest.mark.parametrize(
    ("replaced", "guarded", "expected"),
    [(0.2, 0.0, ("collapse", "no collapse")), (0.2, 0.2, ("collapse", "collapse")), (0.0, -0.1, ("no collapse",) * 2)],
)
def test_a_rise_past_the_harm_is_a_collapse_and_none_is_none(replaced, guarded, expected):
    found = judged(generations(replaced, guarded), harm=0.05)["arms"]
    assert (found["replaced"]["verdict"], found["guarded"]["verdict"]) == expected


def test_what_the_first_reader_loses_at_once_is_said_and_is_no_collapse():
    measured = generations(0.0, 0.0, noise=0.0)
    for generation in measured[1:]:
        for one in generation.values():
            one["bits_per_byte"] += 0.3
    found = judged(measured, harm=0.05)["arms"]["guarded"]
    assert (
        found["verdict"] == "no collapse"
        and found["at_once"] == pytest.approx(0.3)
        and "+0.300 at once" in found["says"]
    )


def test_one_seed_or_much_noise_cannot_tell():
    assert judged(generations(0.2, 0.0, seeds=1), 0.05)["arms"]["replaced"]["verdict"] == "cannot tell"
    unlike = generations(0.1, 0.0, noise=0.0)
    unlike[-1]["guarded-0"]["bits_per_byte"] += 0.3
    unlike[-1]["guarded-1"]["bits_per_byte"] -= 0.2
    assert judged(unlike, 0.05)["arms"]["guarded"]["verdict"] == "cannot tell"

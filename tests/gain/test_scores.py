from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.gain.runs import RunTable
from orionlm.gain.scores import score_gain

CHANCE = 0.25


def accuracy(flops):
    return CHANCE + (1 - CHANCE) / (1 + np.exp(-(np.log(flops / 1e18) - 1) * 0.5))


def rows(gain=2.0, questions=2000, seed=0, scale=1.0, plain=accuracy):
    rng, out = np.random.default_rng(seed), []
    for lever, g, sizes in (("", 1.0, np.geomspace(1e17, 1e20, 8)), ("x", gain, [1e18, 1e19])):
        for c in np.array(sizes) * scale:
            p = float(np.clip(plain(c * g), 0, 1))
            score = rng.binomial(questions, p) / questions
            out.append({"lever": lever, "params": (c / 120) ** 0.5, "flops": c, "loss": 2.0, "arc": score,
                        "n_questions": questions})  # fmt: skip
    return RunTable.from_rows(out)


def test_a_gain_in_a_score_is_recovered_inside_its_interval():
    exact = score_gain(rows(2.0, 10**8), "x", "arc", CHANCE).gain
    assert exact.value == pytest.approx(2.0, rel=0.02)
    inside = [
        (g := score_gain(rows(2.0, 2000, seed), "x", "arc", CHANCE).gain).low <= 2.0 <= g.high for seed in range(40)
    ]
    assert np.mean(inside) > 0.75


def test_fewer_questions_widen_the_interval():
    wide, narrow = (score_gain(rows(2.0, n), "x", "arc", CHANCE).gain.width for n in (300, 30_000))
    assert wide > 2 * narrow or wide - 1 > 2 * (narrow - 1)


@pytest.mark.parametrize(
    ("table", "why"),
    [
        (rows(scale=1e-6), "at chance"),
        (rows(scale=1e9), "saturated"),
        (rows(plain=lambda c: 0.6), "does not clearly rise"),
        (rows(gain=1e3), "refused: the plain recipe would need more"),
    ],
)
def test_a_metric_that_cannot_see_is_said_to_be_blind_and_one_out_of_range_is_refused(table, why):
    said = score_gain(table, "x", "arc", CHANCE)
    assert said.gain is None and why in said.why


def test_mistakes_are_named():
    table = rows()
    with pytest.raises(UserError, match="no column 'mmlu'"):
        score_gain(table, "x", "mmlu")
    with pytest.raises(UserError, match="no row"):
        score_gain(table, "y", "arc")
    with pytest.raises(UserError, match="between 0 and 1"):
        score_gain(table, "x", "n_questions")
    with pytest.raises(UserError, match="at least 3 plain rows"):
        score_gain(table.select(np.array([0, 1, 8])), "x", "arc")

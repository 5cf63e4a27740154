from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.plan.fit import Points
from orionlm.plan.isoflop import isoflop_curves, isoflop_frontier


def curve(flops, low=-1.5, high=1.5, bend=0.05, count=7):
    """Losses along one budget, lowest at N = 0.1·√(C/6)·…, from `low` to `high` in ln N about it."""
    best = 0.5 * np.log(flops / 6)
    x = best + np.linspace(low, high, count)
    n = np.exp(x)
    return Points(n, flops / 6 / n, 3 * np.exp(bend * (x - best) ** 2), np.arange(count).astype(object))


def together(*parts):
    return Points(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("params", "tokens", "loss", "run")))


def test_the_frontier_of_clean_parabolas_is_exact():
    frontier = isoflop_frontier(together(curve(6e17), curve(6e18), curve(6e19)))
    assert frontier.exponent == pytest.approx(0.5, abs=1e-6)
    assert frontier.params(6e20) == pytest.approx(1e10, rel=1e-4)
    assert all(not c.refused for c in frontier.curves)


@pytest.mark.parametrize(
    ("points", "word"),
    [
        (curve(6e18, bend=-0.05), "concave"),
        (curve(6e18, low=0.1, high=3), "edge.*smallest"),
        (curve(6e18, low=-3, high=-0.1), "edge.*largest"),
        (curve(6e18, low=0.0, high=3), "edge"),
        (curve(6e18, count=3), "too few"),
    ],
)
def test_minima_that_are_none_are_refused(points, word):
    (refused,) = isoflop_curves(points)
    assert refused.params is None
    with pytest.raises(UserError, match=word):
        isoflop_frontier(points)


def test_a_refused_budget_does_not_enter_the_frontier():
    frontier = isoflop_frontier(together(curve(6e17), curve(6e18), curve(6e19, bend=-0.1)))
    assert frontier.exponent == pytest.approx(0.5, abs=1e-6) and frontier.curves[-1].refused

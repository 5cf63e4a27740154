from __future__ import annotations

import numpy as np
import pytest

from orionlm.errors import UserError
from orionlm.gain.costs import read_costs


def test_costs_are_read_with_their_units_and_intervals(tmp_path):
    path = tmp_path / "costs.toml"
    path.write_text(
        '[rephrase]\nonce = "2e12 FLOP"\nper_token = 4e6\nonce_dollars = "$40"\n'
        'per_million_tokens_dollars = ["$0.10", "$0.30"]\n'
    )
    cost = read_costs(path)["rephrase"]
    rng = np.random.default_rng(0)
    assert cost.flops(1e6, 2, rng).tolist() == [6e12, 6e12]
    dollars = cost.dollars(1e9, 4000, rng)
    assert np.quantile(dollars, [0.05, 0.95]) == pytest.approx([140, 340], rel=0.05)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[x]\nonce = -1\n", "costs.toml:2"),
        ("[x]\nonce_dollars = 40\n", "unit is missing"),
        ("[x]\nevery_day = 1\n", "unknown key"),
        ("[x]\nper_request = 1e6\n", "x.requests: missing"),
        ("x = 3\n", "give each lever a table"),
    ],
)
def test_a_mistake_in_a_cost_is_named(tmp_path, text, words):
    path = tmp_path / "costs.toml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_costs(path)

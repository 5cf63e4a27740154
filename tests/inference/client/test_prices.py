from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.errors import UserError
from orionlm.inference.client.prices import Price, PriceList
from orionlm.inference.client.response import Usage

OWN = """[[price]]
model = ["mine-*", "gpt-4o-mini"]
prompt = 1.0
completion = 2.0
source = "our contract"
date = 2025-06-01
"""


def price(**more) -> Price:
    return Price(**{"model": "m", "prompt": 0.15, "completion": 0.6, "source": "s", "date": "d"} | more)


def test_ours_say_where_they_are_from():
    ours = PriceList.read()
    assert ours.prices
    for entry in ours.prices:
        assert entry.source.startswith("https://") and len(entry.date) == 10
        assert entry.cached_prompt is None or entry.cached_prompt < entry.prompt
        assert entry.completion >= entry.prompt
    assert ours.find("gpt-4o-mini").prompt == 0.15
    assert ours.find("gpt-4o-mini-audio-preview") is None
    assert ours.find("llama") is None


def test_a_users_file_goes_first_and_takes_patterns(tmp_path):
    (tmp_path / "p.toml").write_text(OWN)
    prices = PriceList.read(tmp_path / "p.toml")
    assert prices.find("mine-7b").completion == 2.0
    assert prices.find("gpt-4o-mini").origin == "our contract, 2025-06-01"
    assert prices.find("gpt-4.1").prompt == 2.0


@pytest.mark.parametrize(
    "text, said",
    [
        ("[[price]]\nmodel = 'a'\nprompt = -1.0\ncompletion = 1.0\nsource = 's'\ndate = 2025-01-01", "prompt"),
        ("[[price]]\nmodel = 'a'\nprompt = 1.0\nsource = 's'\ndate = 2025-01-01", "completion"),
        ("[[price]]\nmodel = 'a'\nprompt = 1.0\ncompletion = 1.0\ndate = 2025-01-01", "source"),
        ("price = 3", "price"),
        ("[[price]]\nmodel = 'a'\nprompt = 1.0\ncompletion = 1.0\nsource = 's'\ndate = 'd'\nbatches = 1.0", "batches"),
    ],
)
def test_a_wrong_price_is_named(tmp_path, text, said):
    (tmp_path / "p.toml").write_text(text)
    with pytest.raises(UserError, match=said):
        PriceList.read(tmp_path / "p.toml")


def test_money_is_exact_and_rounded_up():
    assert price().nanodollars(Usage(1_000_000, 0)) == 150_000_000
    assert price().nanodollars(Usage(1, 1)) == 750
    assert price(prompt=0.0001).nanodollars(Usage(1, 0)) == 1
    assert price(cached_prompt=0.075).nanodollars(Usage(1000, 0, 1000)) == 75_000
    assert price(batch=0.5).nanodollars(Usage(1000, 1000), batch=True) == 375_000


@given(
    *(st.integers(0, 10**9) for _ in range(3)),
    st.floats(0, 1000),
    st.floats(0, 1000),
    st.none() | st.floats(0, 1000),
)
def test_the_worst_case_is_never_cheaper(prompt, completion, less, dear, cheap, cached):
    entry = price(prompt=dear, completion=cheap, cached_prompt=cached)
    worst = entry.nanodollars(Usage(prompt, completion))
    assert entry.nanodollars(Usage(min(prompt, less), min(completion, less), min(prompt, less) // 2)) <= worst

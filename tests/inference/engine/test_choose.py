from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from orionlm.inference.engine.choose import Draws, choose, distribution, uniform

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def draws(rows: int, temperature=1.0, top_k=0, top_p=1.0, min_p=0.0) -> Draws:
    return Draws(
        np.full(rows, temperature), np.full(rows, top_k), np.full(rows, top_p), np.full(rows, min_p),
        uniform(np.arange(rows, dtype=np.uint64), np.zeros(rows, np.uint64)),
    )  # fmt: skip


def kept(**asked: float) -> list[int]:
    return torch.isfinite(distribution(LOGITS[None], draws(1, **asked))[0]).nonzero().flatten().tolist()


def test_each_filter_keeps_what_its_paper_says():
    # softmax: .529 .195 .118 .072 .026 .004 (of the whole, .056 the rest) computed below
    share = LOGITS.softmax(-1)
    assert kept(top_k=2) == [0, 1]
    assert kept(top_p=float(share[0]) - 1e-4) == [0]
    assert kept(top_p=float(share[0]) + 1e-4) == [0, 1]
    assert kept(top_p=1e-9) == [0]
    assert kept(min_p=float(share[2] / share[0]) - 1e-4) == [0, 1, 2]
    assert kept(min_p=1.0) == [0]
    assert kept() == [0, 1, 2, 3, 4, 5]
    # Of the two likeliest, the first alone has .73: the filters apply in order.
    assert kept(top_k=2, top_p=0.72) == [0]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-20, 20, width=32), min_size=2, max_size=30),
    st.sampled_from([0.1, 0.7, 1.0, 3.0]),
    st.integers(0, 8),
    st.floats(0.05, 1.0),
    st.floats(0, 1.0),
)
def test_filters_agree_with_transformers(logits, temperature, top_k, top_p, min_p):
    from transformers import MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

    x = torch.tensor([logits])
    expected = x / temperature
    if top_k:
        expected = TopKLogitsWarper(top_k)(None, expected)
    if len(set(logits)) < len(logits) or min(abs(a - b) for a in logits for b in logits if a is not b) < 1e-3:
        return  # ties are kept together there and cut here
    expected = TopPLogitsWarper(top_p)(None, expected) if top_p < 1 else expected
    expected = MinPLogitsWarper(min_p)(None, expected) if min_p > 0 else expected
    found = distribution(x, draws(1, temperature, top_k, top_p, min_p))
    if torch.equal(torch.isfinite(found), torch.isfinite(expected)):
        torch.testing.assert_close(found, expected.log_softmax(-1), atol=1e-4, rtol=1e-4)
    else:  # one token lies on a filter's very edge
        assert (torch.isfinite(found) != torch.isfinite(expected)).sum() == 1


@pytest.mark.parametrize("asked", [{"temperature": 2.0}, {"top_k": 3}, {"top_p": 0.8}, {"min_p": 0.2}])
def test_samples_have_the_frequencies_of_the_distribution_they_report(asked):
    rows = 20_000
    choices = choose(LOGITS.expand(rows, -1).clone(), draws(rows, **asked), True)
    log_q_v = distribution(LOGITS[None], draws(1, **asked))[0]
    share_v = torch.bincount(choices.token_r, minlength=6) / rows
    torch.testing.assert_close(share_v, log_q_v.exp(), atol=0.015, rtol=0)
    torch.testing.assert_close(choices.log_q_r, log_q_v[choices.token_r])
    torch.testing.assert_close(choices.log_p_r, LOGITS.log_softmax(-1)[choices.token_r])


def test_flat_distributions_are_filtered_as_exactly_as_peaked_ones():
    """Where the few likeliest do not suffice, all are looked at."""
    generator = torch.Generator().manual_seed(0)
    logits_rv = torch.randn(4, 3000, generator=generator) * torch.tensor([[0.01], [0.5], [8.0], [0.01]])
    asked = Draws(np.ones(4), np.array([0, 0, 0, 500]), np.array([0.9, 0.9, 0.9, 1.0]), np.zeros(4), np.zeros(4))
    kept_rv = torch.isfinite(distribution(logits_rv, asked))
    share_rv = logits_rv.softmax(-1)
    for row in range(3):
        mass = float(share_rv[row][kept_rv[row]].sum())
        smallest = float(share_rv[row][kept_rv[row]].min())
        assert mass >= 0.9 > mass - smallest
        assert smallest >= float(share_rv[row][~kept_rv[row]].max())
    assert int(kept_rv[3].sum()) == 500
    assert [int(kept_rv[row].sum()) > 128 for row in range(3)] == [True, True, False]


def test_temperature_zero_takes_the_likeliest_with_certainty():
    choices = choose(LOGITS.expand(5, -1).clone(), draws(5, temperature=0.0), True)
    assert choices.token_r.tolist() == [0] * 5
    assert choices.log_q_r.tolist() == [0.0] * 5


def test_what_is_filtered_out_is_never_drawn_even_at_the_ends_of_the_interval():
    ends = Draws(np.ones(2), np.full(2, 2), np.ones(2), np.zeros(2), np.array([0.0, np.nextafter(1.0, 0)]))
    assert choose(torch.tensor([[-9.0, 1.0, 1.5, -9.0]]).expand(2, -1).clone(), ends, False).token_r.tolist() == [1, 2]


def test_a_row_does_not_see_its_neighbours():
    generator = torch.Generator().manual_seed(0)
    logits_rv = torch.randn(9, 50, generator=generator) * 3
    mixed = Draws(
        np.linspace(0, 2, 9), np.arange(9) * 3, np.linspace(0.2, 1, 9), np.linspace(0, 0.3, 9),
        uniform(np.arange(9, dtype=np.uint64), np.zeros(9, np.uint64)),
    )  # fmt: skip
    together = choose(logits_rv.clone(), mixed, True)
    for row in range(9):
        one = Draws(*(values[row : row + 1] for values in vars(mixed).values()))
        alone = choose(logits_rv[row : row + 1].clone(), one, True)
        assert alone.token_r[0] == together.token_r[row]
        assert alone.log_q_r[0] == together.log_q_r[row]


def test_uniform_numbers_are_uniform_and_depend_on_key_and_place():
    keys, places = np.meshgrid(np.arange(100, dtype=np.uint64), np.arange(100, dtype=np.uint64))
    numbers = uniform(keys.ravel(), places.ravel())
    assert len(np.unique(numbers)) == 10_000
    assert 0 <= numbers.min() < numbers.max() < 1
    assert np.abs(np.histogram(numbers, 10)[0] - 1000).max() < 120
    assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) < 0.03

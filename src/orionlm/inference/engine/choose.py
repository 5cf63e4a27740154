"""Which token next? Drawn from exactly the distribution whose log-probability is reported."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

CANDIDATES = 128  # tokens among which the filters look first


@dataclass(frozen=True)
class Choices:
    """One entry a row: the token, its log-probability under the model (temperature 1, unfiltered) and under the
    distribution drawn from. The last two are None unless asked for."""

    token_r: Tensor
    log_p_r: Tensor | None
    log_q_r: Tensor | None
    log_p_rv: Tensor | None


@dataclass(frozen=True)
class Draws:
    """How each row is drawn: `sampling.Sampling`'s numbers as arrays, and a uniform number in [0, 1) a row."""

    temperature_r: np.ndarray
    top_k_r: np.ndarray
    top_p_r: np.ndarray
    min_p_r: np.ndarray
    uniform_r: np.ndarray


def choose(logits_rv: Tensor, draws: Draws, log_probabilities: bool) -> Choices:
    """Rows do not see each other. A row of temperature 0 takes its likeliest token, with log-probability 0."""
    token_r = logits_rv.argmax(-1)
    drawn = np.flatnonzero(draws.temperature_r > 0)
    log_p_rv = logits_rv.log_softmax(-1) if log_probabilities else None
    log_q_r = torch.zeros(len(logits_rv), device=logits_rv.device) if log_probabilities else None
    if len(drawn):
        row_d = torch.from_numpy(drawn).to(logits_rv.device)
        log_q_dv = distribution(logits_rv[row_d], Draws(*(getattr(draws, name)[drawn] for name in _FIELDS)))
        # The inverse of the cumulative distribution: a token of probability 0 has no width to be hit.
        # A draw of 53 bits cannot tell below e^-40 from 0, and denormal numbers are slow.
        mass_dv = log_q_dv.masked_fill(log_q_dv < -40, -torch.inf).exp().cumsum(-1, dtype=torch.float64)
        target_d1 = torch.from_numpy(draws.uniform_r[drawn]).to(mass_dv)[:, None] * mass_dv[:, -1:]
        # Rounding may put the target on the very end, past the last token that has a width.
        target_d1 = torch.minimum(target_d1, torch.nextafter(mass_dv[:, -1:], torch.zeros_like(target_d1)))
        token_d = torch.searchsorted(mass_dv, target_d1, right=True)
        token_r[row_d] = token_d.squeeze(1)
        if log_q_r is not None:
            log_q_r[row_d] = log_q_dv.gather(-1, token_d).squeeze(1)
    log_p_r = log_p_rv.gather(-1, token_r[:, None]).squeeze(1) if log_p_rv is not None else None
    return Choices(token_r, log_p_r, log_q_r, log_p_rv)


def distribution(logits_rv: Tensor, draws: Draws) -> Tensor:
    """Log-probabilities after temperature, then the filters in `Sampling`'s order; -inf for what they leave out."""

    def column(values: np.ndarray) -> Tensor:
        return torch.from_numpy(values).to(logits_rv.device)[:, None]

    vocabulary = logits_rv.shape[-1]
    # The likeliest at 0, so that a small temperature cannot overflow.
    scaled_rv = (logits_rv - logits_rv.amax(-1, keepdim=True)) / column(np.maximum(draws.temperature_r, 1e-6)).float()
    in_order = ((draws.top_k_r > 0) & (draws.top_k_r < vocabulary)) | (draws.top_p_r < 1)
    if in_order.any():
        row_o = torch.from_numpy(np.flatnonzero(in_order)).to(logits_rv.device)
        top_k_o1 = column(np.where(draws.top_k_r > 0, draws.top_k_r, vocabulary)[in_order])
        scaled_rv[row_o] = _likeliest(scaled_rv[row_o], top_k_o1, column(draws.top_p_r[in_order]), CANDIDATES)
    if (draws.min_p_r > 0).any():
        floor_r1 = torch.log(column(draws.min_p_r).float())
        scaled_rv = scaled_rv.masked_fill(scaled_rv < floor_r1, -torch.inf)
    return scaled_rv.log_softmax(-1)


def _likeliest(scaled_rv: Tensor, top_k_r1: Tensor, top_p_r1: Tensor, width: int) -> Tensor:
    """`top_k`, then `top_p`: -inf for what they leave out. Looks among the `width` likeliest, which is cheaper than to
    sort them all, and further only for rows that need more."""
    vocabulary = scaled_rv.shape[-1]
    width = min(width, vocabulary)
    best_rk, token_rk = scaled_rv.topk(width, dim=-1)
    rank_k = torch.arange(width, device=scaled_rv.device)
    best_rk = best_rk.masked_fill(rank_k >= top_k_r1, -torch.inf)
    within_r1 = top_k_r1 <= width
    total_r1 = torch.where(within_r1, best_rk.logsumexp(-1, True), scaled_rv.logsumexp(-1, True))
    share_rk = (best_rk - total_r1).exp()
    through_rk = share_rk.cumsum(-1)
    # At top_p = 1 nothing may go, however the sum rounds; the likeliest always stays.
    past_rk = (through_rk - share_rk >= top_p_r1) & (top_p_r1 < 1) & (rank_k > 0)
    kept_rv = torch.full_like(scaled_rv, -torch.inf)
    kept_rv.scatter_(-1, token_rk, best_rk.masked_fill(past_rk, -torch.inf))
    more_r = ~(within_r1 | ((top_p_r1 < 1) & (through_rk[:, -1:] >= top_p_r1))).squeeze(1)
    if width < vocabulary and more_r.any():
        kept_rv[more_r] = _likeliest(scaled_rv[more_r], top_k_r1[more_r], top_p_r1[more_r], vocabulary)
    return kept_rv


_FIELDS = ("temperature_r", "top_k_r", "top_p_r", "min_p_r", "uniform_r")


def uniform(key_r: np.ndarray, index_r: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each (uint64 key, uint64 index): SplitMix64's output function (Steele et al. 2014) over
    both, so that a draw depends on its request's seed and its place in the answer alone."""
    with np.errstate(over="ignore"):
        bits = _mixed(_mixed(key_r + _GAMMA) + (index_r + np.uint64(1)) * _GAMMA)
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53


_GAMMA = np.uint64(0x9E3779B97F4A7C15)


def _mixed(z: np.ndarray) -> np.ndarray:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))

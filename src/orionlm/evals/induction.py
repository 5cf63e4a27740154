"""Has the model learned to copy from its context? Small models learn it abruptly, and laws fitted across that fail."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from orionlm.model.transformer import Transformer


@torch.no_grad()
def induction_score(model: Transformer, *, sequences: int = 32, seed: int = 0) -> float:
    """Share of the nats of a random sequence that are saved when it comes a second time (Olsson et al. 2209.11895).

    0: the second half is as surprising as the first, nothing is copied; 1: the second half is known by heart.
    """
    device = next(model.parameters()).device
    half = model.shape.context // 2
    generator = torch.Generator().manual_seed(seed)
    first_bt = torch.randint(0, model.shape.vocabulary, (sequences, half), generator=generator)
    tokens_bt = torch.cat([first_bt, first_bt], dim=1).to(device)
    logits_btv = model(tokens_bt[:, :-1]).float()
    nats_bt = F.cross_entropy(logits_btv.transpose(1, 2), tokens_bt[:, 1:], reduction="none")
    # The repeat's first tokens have nothing before them that could be recognised.
    settled = half + half // 4
    again, chance = float(nats_bt[:, settled:].mean()), math.log(model.shape.vocabulary)
    fresh = max(float(nats_bt[:, : half - 1].mean()), chance)
    return max(0.0, 1 - again / fresh)

"""Has the model learned to copy from its context? Small models learn it abruptly, and laws fitted across that fail."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from orionlm.data.loader import Evaluation
from orionlm.model.transformer import Transformer


@torch.no_grad()
def induction_score(model: Transformer, windows: Evaluation, *, sequences: int = 64) -> float:
    """Share of the nats of a random sequence that are saved when it comes a second time (Olsson et al. 2209.11895).

    The sequence is real tokens in random order, so that nothing but copying helps. 0: the second time is as surprising
    as the first; 1: it is known by heart.
    """
    device = next(model.parameters()).device
    half = model.shape.context // 2
    tokens = torch.from_numpy(windows.tokens_bt).flatten()
    generator = torch.Generator().manual_seed(0)
    places = torch.randint(0, len(tokens), (sequences, half), generator=generator)
    once_bt = tokens[places].to(device)
    twice_bt = torch.cat([once_bt, once_bt], dim=1)
    logits_btv = model(twice_bt[:, :-1]).float()
    nats_bt = F.cross_entropy(logits_btv.transpose(1, 2), twice_bt[:, 1:], reduction="none")
    # The repeat's first token has nothing before it that could be recognised.
    return float(1 - nats_bt[:, half:].mean() / nats_bt[:, : half - 1].mean())

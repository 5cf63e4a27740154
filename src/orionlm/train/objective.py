"""What is minimised. An objective is `loss(model, batch) -> (loss, metrics)`; the trainer knows no other."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

TensorBatch = tuple[Tensor, Tensor, Tensor]
Objective = Callable[[nn.Module, TensorBatch], tuple[Tensor, dict[str, Tensor]]]


def next_token(model: nn.Module, batch: TensorBatch) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean cross-entropy in nats a token over (tokens, targets, documents), all (b, t); targets of -1 do not count."""
    tokens_bt, targets_bt, documents_bt = batch
    logits_btv = model(tokens_bt, documents_bt)
    loss = F.cross_entropy(logits_btv.flatten(0, 1).float(), targets_bt.flatten(), ignore_index=-1)
    return loss, {}

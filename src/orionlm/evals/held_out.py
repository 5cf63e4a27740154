"""How well does a model predict held-out text? Bits per byte, so that tokenizers can differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F

from orionlm.data.loader import Evaluation
from orionlm.model.transformer import Transformer


@dataclass(frozen=True)
class HeldOut:
    """Bits per byte and nats per token over `tokens` targets; `standard_error` is over windows, in bits per byte.
    `by_domain`: bits per byte of each domain, where the windows are of several."""

    bits_per_byte: float
    nats_per_token: float
    standard_error: float
    tokens: int
    bytes: int
    by_domain: dict[str, float] = field(default_factory=dict)


@torch.no_grad()
def held_out(model: Transformer, windows: Evaluation, batch_size: int = 32) -> HeldOut:
    """Bits per byte = sum of nats / (ln 2 · sum of bytes). The first token of a document does not count: nothing
    precedes it. The end of a document is predicted, and has no bytes."""
    device = next(model.parameters()).device
    nats_per_window: list[float] = []
    tokens = 0
    for first in range(0, len(windows.tokens_bt), batch_size):
        rows = slice(first, first + batch_size)
        tokens_bt, targets_bt, documents_bt = (torch.from_numpy(a[rows]).to(device) for a in windows[:3])
        logits_btv = model(tokens_bt, documents_bt)
        nats_bt = F.cross_entropy(
            logits_btv.flatten(0, 1).float(), targets_bt.flatten(), ignore_index=-1, reduction="none"
        ).view_as(targets_bt)
        nats_per_window += nats_bt.double().sum(1).tolist()
        tokens += int((targets_bt >= 0).sum())
    nats = torch.tensor(nats_per_window, dtype=torch.float64)
    scale = math.log(2) * windows.bytes
    spread = float(nats.std()) * math.sqrt(len(nats))
    by_domain, first = {}, 0
    for name, count, size in windows.domains:
        if size:
            by_domain[name] = float(nats[first : first + count].sum()) / (math.log(2) * size)
        first += count
    total = float(nats.sum())
    return HeldOut(total / scale, total / tokens, spread / scale, tokens, windows.bytes, by_domain)

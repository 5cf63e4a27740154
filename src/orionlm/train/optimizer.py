"""Which optimizer updates which parameter, and how its rate follows the width."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

BASE_WIDTH = 64


class OptimizerSettings(BaseModel):
    """Peak rates are those of a model of width 64; `build` carries them to any other."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Literal["adamw", "muon"] = "adamw"
    rate: float = Field(default=4e-3, gt=0, description="AdamW's peak rate for matrices at width 64")
    embedding_rate: float = Field(default=8e-3, gt=0)
    muon_rate: float = Field(default=0.02, gt=0)
    weight_decay: float = Field(default=0.1, ge=0)
    beta1: float = Field(default=0.9, ge=0, lt=1)
    beta2: float = Field(default=0.95, ge=0, lt=1)


def build(masters: Mapping[str, nn.Parameter], width: int, settings: OptimizerSettings) -> list[torch.optim.Optimizer]:
    """Optimizers over the fp32 parameters.

    AdamW's step does not depend on a matrix's size, and what it adds to an activation grows with the fan-in: its rate
    for matrices falls as 1/width (Yang et al. 2203.03466, table 8), the embedding's and the norms' stay. Muon's
    orthogonalised step has unit spectral norm at any size, so its rate stays (Bernstein & Newhouse 2410.21265).
    """
    embeddings = [p for name, p in masters.items() if "embed_tokens" in name or "lm_head" in name]
    matrices = [
        p for name, p in masters.items() if p.ndim == 2 and "embed_tokens" not in name and "lm_head" not in name
    ]
    vectors = [p for p in masters.values() if p.ndim < 2]
    rate = settings.rate * BASE_WIDTH / width
    adamw = [
        {"params": embeddings, "lr": settings.embedding_rate, "weight_decay": 0.0},
        {"params": vectors, "lr": settings.rate, "weight_decay": 0.0},
    ]
    if settings.name == "adamw":
        # torch's decay is a share of the rate, so dividing by the rate's own factor keeps it equal at every width.
        decay = settings.weight_decay * width / BASE_WIDTH
        adamw.append({"params": matrices, "lr": rate, "weight_decay": decay})
    betas = (settings.beta1, settings.beta2)
    optimizers: list[torch.optim.Optimizer] = [torch.optim.AdamW(adamw, lr=rate, betas=betas, eps=1e-10, fused=True)]
    if settings.name == "muon":
        muon = torch.optim.Muon(matrices, lr=settings.muon_rate, weight_decay=settings.weight_decay, momentum=0.95)
        optimizers.append(muon)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak"] = group["lr"]
    return optimizers

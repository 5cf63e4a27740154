"""How fast does this machine train a shape? A second's worth of real steps, remembered."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import torch

from orionlm.model.initialization import initialize
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape
from orionlm.train.execution import choose
from orionlm.train.objective import next_token
from orionlm.train.trainer import DTYPES

if TYPE_CHECKING:
    from orionlm.recipe.context import Context

TOKENS, SECONDS = 512, 1.0


def train_rate(context: Context, shape: Shape) -> float:
    """Training FLOP/s of uncompiled steps: compiled ones are faster, so a time computed from it is on the safe side."""
    execution = choose(context, shape, 0.0)
    return float(
        context.choose(
            f"train_rate_d{shape.width}_l{shape.layers}", lambda: _timed(shape, execution.precision, execution.threads)
        )
    )


def faster_threads(shape: Shape, precision: str, cores: int) -> int:
    """All cores where they train this shape at least a tenth faster than one does, else one."""
    return cores if _timed(shape, precision, cores) > 1.1 * _timed(shape, precision, 1) else 1


def _timed(shape: Shape, precision: str, threads: int) -> float:
    torch.set_num_threads(threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = Transformer(shape)
    initialize(model, 0)
    model.to(device).compute_in(DTYPES[precision])
    rows = max(1, TOKENS // shape.context)
    tokens_bt = torch.randint(0, shape.vocabulary, (rows, shape.context), device=device)
    documents_bt = torch.zeros_like(tokens_bt)
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < SECONDS:
        start = time.perf_counter()
        loss, _ = next_token(model, (tokens_bt, tokens_bt, documents_bt))
        loss.backward()
        loss.item()
        times.append(time.perf_counter() - start)
    return shape.train_flops_per_token() * tokens_bt.numel() / sorted(times)[len(times) // 2]

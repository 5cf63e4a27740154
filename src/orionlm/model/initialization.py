"""Where training starts: scales that carry over widths, and one head that can already copy from the context.

Small models learn to copy late and abruptly: one head must look at the previous token, and a later one match what
followed it (Olsson et al. 2209.11895). Laws fitted to runs on both sides of that transition fail. Here that circuit
stands from the start, as weights, in the plain Qwen3 shape; training is free to keep or to undo it. docs/NOTES.md has
what it changes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from orionlm.model.transformer import Attention, Transformer

CONSTANT = 0.5  # every embedding's first coordinate: what a purely positional head has to work with
SHARPNESS = 1.5  # QK-norm gain: the largest attention score becomes SHARPNESS² · sqrt(head_dim)
COPY = 1.0  # how strongly the copying head writes what it found


@torch.no_grad()
def initialize(model: Transformer, seed: int, *, copying: bool = True) -> None:
    """Normal(0, 1/fan_in) matrices, zero where they write to the residual stream, and embeddings of unit norm, so
    that one set of rates serves every width (Yang et al. 2203.03466, table 3); then `_induce`, if `copying`."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if name.endswith(("q_norm.weight", "k_norm.weight")):
            parameter.fill_(SHARPNESS if copying else 1.0)
        elif parameter.ndim < 2:
            parameter.fill_(1.0)
        elif name.endswith(("o_proj.weight", "down_proj.weight")):
            parameter.zero_()
        else:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / math.sqrt(parameter.shape[1]))
    if copying and model.shape.layers > 1:
        _induce(model)


def _induce(model: Transformer) -> None:
    """Embeddings use the first half of the stream. Head 0 of layer 0 looks one token back and copies what it reads
    there to the second half; head 0 of layer 1 looks where that copy equals the present token, and repeats what stood
    there."""
    shape = model.shape
    half, size = shape.width // 2, min(shape.head_dim, shape.width // 2 - 1)
    embedding = model.model.embed_tokens.weight
    embedding[:, half:] = 0
    embedding[:, 0] = CONSTANT
    # Query and key differ by one position's turn, so the score, which depends on the distance alone (2104.09864,
    # eq. 16), is highest at the previous token.
    frequency_k = shape.rope_theta ** (-torch.arange(0, shape.head_dim, 2, dtype=torch.float32) / shape.head_dim)
    key_k = torch.cat([torch.ones_like(frequency_k), torch.zeros_like(frequency_k)])
    query_k = torch.cat([torch.cos(frequency_k), -torch.sin(frequency_k)])
    identity = torch.eye(shape.head_dim, size)
    here, previous = slice(1, 1 + size), slice(half, half + size)
    look_back: Attention = model.model.layers[0].self_attn  # type: ignore[assignment]
    _set(look_back, query_k[:, None], slice(0, 1), key_k[:, None], slice(0, 1), identity, here, previous, 1.0)
    match: Attention = model.model.layers[1].self_attn  # type: ignore[assignment]
    # The slowest rotations, last in each half of a head, hardly turn within the context: content belongs there.
    order = torch.arange(shape.head_dim).view(2, -1).flip(1).T.flatten()[:size]
    slow = torch.zeros(shape.head_dim, size)
    slow[order, torch.arange(size)] = 1
    _set(match, slow, here, slow, previous, identity, here, here, COPY)


def _set(
    head: Attention,
    query: Tensor,
    query_from: slice,
    key: Tensor,
    key_from: slice,
    value: Tensor,
    value_from: slice,
    write_to: slice,
    strength: float,
) -> None:
    """Overwrite head 0: which coordinates its query, key and value read, and where its output goes."""
    size = head.head_dim
    for projection, matrix, source in (
        (head.q_proj, query, query_from),
        (head.k_proj, key, key_from),
        (head.v_proj, value, value_from),
    ):
        projection.weight[:size] = 0
        projection.weight[:size, source] = matrix.to(projection.weight)
    head.o_proj.weight[write_to, :size] = strength * value.T.to(head.o_proj.weight)

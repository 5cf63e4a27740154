"""The dense transformer, Qwen3-shaped, written for one device; parallelism is applied from outside.

Parameter names are those of Hugging Face's `Qwen3ForCausalLM`, so a checkpoint of ours is one of theirs.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from orionlm.shape import Shape


class RMSNorm(nn.Module):
    """x / rms(x) * weight, computed in fp32 (Zhang & Sennrich 1910.07467, eq. 4)."""

    def __init__(self, width: int, epsilon: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.epsilon = epsilon

    def forward(self, x: Tensor) -> Tensor:
        x_fp32 = x.float()
        scale = torch.rsqrt(x_fp32.square().mean(-1, keepdim=True) + self.epsilon)
        # A row of weights a sequence: compiled on a CPU, the gradient's sum then runs in parallel over the batch.
        weight = self.weight.float().expand(x.shape[0], *(1 for _ in x.shape[1:-1]), -1)
        return (x_fp32 * scale * weight).to(x.dtype)


class Rotary(nn.Module):
    """Rotary position embedding (Su et al. 2104.09864, eq. 34) in the half-split layout that Qwen and Llama use."""

    cos_tk: Tensor
    sin_tk: Tensor

    def __init__(self, head_dim: int, positions: int, theta: float) -> None:
        super().__init__()
        frequency_k = theta ** (-torch.arange(0, head_dim, 2, dtype=torch.float32) / head_dim)
        angle_tk = torch.outer(torch.arange(positions, dtype=torch.float32), frequency_k)
        self.register_buffer("cos_tk", angle_tk.cos(), persistent=False)
        self.register_buffer("sin_tk", angle_tk.sin(), persistent=False)

    def forward(self, x_bthk: Tensor) -> Tensor:
        """Rotates heads at positions 0 … t - 1."""
        cos, sin = self.cos_tk[: x_bthk.shape[1], None], self.sin_tk[: x_bthk.shape[1], None]
        first, second = x_bthk.float().chunk(2, dim=-1)
        return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1).to(x_bthk.dtype)


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = shape.heads, shape.kv_heads, shape.head_dim
        self.q_proj = nn.Linear(shape.width, shape.heads * shape.head_dim, bias=False)
        self.k_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.v_proj = nn.Linear(shape.width, shape.kv_heads * shape.head_dim, bias=False)
        self.o_proj = nn.Linear(shape.heads * shape.head_dim, shape.width, bias=False)
        self.q_norm = RMSNorm(shape.head_dim, shape.norm_epsilon)
        self.k_norm = RMSNorm(shape.head_dim, shape.norm_epsilon)

    def forward(self, x_btd: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        batch, length, _ = x_btd.shape
        # One product instead of three: on small widths the call costs more than the concatenation.
        projection = torch.cat([self.q_proj.weight, self.k_proj.weight, self.v_proj.weight])
        heads_bthk = F.linear(x_btd, projection).view(batch, length, -1, self.head_dim)
        q_bthk, k_bthk, v_bthk = heads_bthk.split([self.heads, self.kv_heads, self.kv_heads], dim=2)
        q_bhtk = rotary(self.q_norm(q_bthk)).transpose(1, 2)
        k_bhtk = rotary(self.k_norm(k_bthk)).transpose(1, 2)
        y_bhtk = attend(q_bhtk, k_bhtk, v_bthk.transpose(1, 2), mask)
        return self.o_proj(y_bhtk.transpose(1, 2).reshape(batch, length, -1))


def attend(q_bhtk: Tensor, k_bhsk: Tensor, v_bhsk: Tensor, mask_b1ts: Tensor | None) -> Tensor:
    """Softmax attention; `mask_b1ts` is added to the scores, and None lets every query see every key.

    On a CPU explicit products beat the fused kernel at the head sizes and contexts of small models
    (docs/NOTES.md); elsewhere torch picks its own.
    """
    repeats = q_bhtk.shape[1] // k_bhsk.shape[1]
    if q_bhtk.device.type != "cpu":
        return F.scaled_dot_product_attention(q_bhtk, k_bhsk, v_bhsk, attn_mask=mask_b1ts, enable_gqa=repeats > 1)
    if repeats > 1:
        k_bhsk, v_bhsk = k_bhsk.repeat_interleave(repeats, 1), v_bhsk.repeat_interleave(repeats, 1)
    y_bhtk: Tensor = ExplicitAttention.apply(q_bhtk, k_bhsk, v_bhsk, mask_b1ts)  # type: ignore[no-untyped-call]
    return y_bhtk


class ExplicitAttention(torch.autograd.Function):
    """softmax(q kᵀ / sqrt(k) + mask) v, differentiated by hand: the derived backward pass computes the softmax again
    and lays the keys' gradient out so that the compiler gathers it element by element."""

    @staticmethod
    def forward(ctx: Any, q_bhtk: Tensor, k_bhsk: Tensor, v_bhsk: Tensor, mask_b1ts: Tensor | None) -> Tensor:
        ctx.scale = 1 / math.sqrt(q_bhtk.shape[-1])
        score_bhts = (q_bhtk @ k_bhsk.transpose(-1, -2)).float() * ctx.scale
        if mask_b1ts is not None:
            score_bhts = score_bhts + mask_b1ts
        share_bhts = score_bhts.softmax(-1).to(v_bhsk.dtype)
        ctx.save_for_backward(q_bhtk, k_bhsk, v_bhsk, share_bhts)
        return share_bhts @ v_bhsk

    @staticmethod
    def backward(ctx: Any, dy_bhtk: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # type: ignore[override]
        q_bhtk, k_bhsk, v_bhsk, share_bhts = ctx.saved_tensors
        share_fp32 = share_bhts.float()
        product_bhts = share_fp32 * (dy_bhtk @ v_bhsk.transpose(-1, -2)).float()
        dscore_bhts = product_bhts - share_fp32 * product_bhts.sum(-1, keepdim=True)
        dscore_bhts = (dscore_bhts * ctx.scale).to(q_bhtk.dtype)
        dv_bhsk = share_bhts.transpose(-1, -2) @ dy_bhtk
        return dscore_bhts @ k_bhsk, dscore_bhts.transpose(-1, -2) @ q_bhtk, dv_bhsk, None


class MLP(nn.Module):
    """SwiGLU (Shazeer 2002.05202, eq. 6)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.up_proj = nn.Linear(shape.width, shape.mlp_width, bias=False)
        self.down_proj = nn.Linear(shape.mlp_width, shape.width, bias=False)

    def forward(self, x_btd: Tensor) -> Tensor:
        gate_up = F.linear(x_btd, torch.cat([self.gate_proj.weight, self.up_proj.weight]))
        gate_btf, up_btf = gate_up.chunk(2, dim=-1)
        # silu spelled out: the derivative of F.silu computes the exponential twice.
        gate_fp32 = gate_btf.float()
        return self.down_proj((gate_fp32 * gate_fp32.sigmoid() * up_btf.float()).to(x_btd.dtype))


class Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.self_attn = Attention(shape)
        self.mlp = MLP(shape)
        self.input_layernorm = RMSNorm(shape.width, shape.norm_epsilon)
        self.post_attention_layernorm = RMSNorm(shape.width, shape.norm_epsilon)

    def forward(self, x_btd: Tensor, rotary: Rotary, mask: Tensor | None) -> Tensor:
        x_btd = x_btd + self.self_attn(self.input_layernorm(x_btd), rotary, mask)
        return x_btd + self.mlp(self.post_attention_layernorm(x_btd))


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(Block(shape) for _ in range(shape.layers))
        self.norm = RMSNorm(shape.width, shape.norm_epsilon)
        self.rotary = Rotary(shape.head_dim, shape.context, shape.rope_theta)

    def forward(self, tokens_bt: Tensor, mask: Tensor | None) -> Tensor:
        x_btd = self.embed_tokens(tokens_bt)
        for layer in self.layers:
            x_btd = layer(x_btd, self.rotary, mask)
        return self.norm(x_btd)


class Transformer(nn.Module):
    """tokens (b, t) → logits (b, t, vocabulary)."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        self.lm_head = nn.Linear(shape.width, shape.vocabulary, bias=False)
        if shape.tied:
            self.lm_head.weight = self.model.embed_tokens.weight

    def compute_in(self, dtype: torch.dtype) -> Transformer:
        """Cast the weights; the rotary tables stay fp32, since rounded angles would misplace tokens."""
        for parameter in self.parameters():
            parameter.data = parameter.data.to(dtype)
        return self

    def forward(self, tokens_bt: Tensor, documents_bt: Tensor | None = None) -> Tensor:
        mask = causal_mask(tokens_bt.shape[1], documents_bt, tokens_bt.device)
        return self.lm_head(self.model(tokens_bt, mask))


def causal_mask(length: int, documents_bt: Tensor | None, device: torch.device) -> Tensor:
    """0 where a query may look, -inf elsewhere: at itself and before, and only inside its own document.

    Returns (t, t), or (b, 1, t, t) when `documents_bt` gives each position's document.
    """
    allowed = torch.ones(length, length, dtype=torch.bool, device=device).tril()
    if documents_bt is not None:
        allowed = allowed & (documents_bt[:, :, None] == documents_bt[:, None, :])
        allowed = allowed[:, None]
    return torch.zeros(allowed.shape, device=device).masked_fill(~allowed, -torch.inf)

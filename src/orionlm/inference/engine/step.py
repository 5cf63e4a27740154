"""One step of the model over ragged rows: reads prompts and extends answers in the same products."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from orionlm.inference.engine.rows import Rows

if TYPE_CHECKING:
    from typing import Any

    from orionlm.model.transformer import Transformer
    from orionlm.shape import Shape


class Kernels(Protocol):
    """The passes a step is made of. `exact`: a row's result does not depend on other rows."""

    exact: bool
    page: int

    def cache(self, pages: int) -> tuple[Tensor, Tensor]: ...
    def pack(self, weight_nk: Tensor) -> Any: ...
    def linear(self, x_rk: Tensor, weight: Any) -> Tensor: ...
    def add_linear(self, to_rn: Tensor, x_rk: Tensor, weight: Any) -> None: ...
    def rms_norm(self, x_rd: Tensor, weight_d: Tensor) -> Tensor: ...
    def attend(
        self,
        heads_rx: Tensor,
        q_weight_k: Tensor,
        k_weight_k: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor],
        rows: Rows,
    ) -> Tensor: ...
    def swiglu(self, gate_up_rx: Tensor) -> Tensor: ...


class Step:
    """A model's weights as the kernels want them, and the cache of `pages` pages they read and write."""

    def __init__(self, model: Transformer, kernels: Kernels, pages: int) -> None:
        self.shape: Shape = model.shape
        self.kernels = kernels
        self.keys, self.values = kernels.cache(pages)
        decoder = model.model
        self.embedding_vd = decoder.embed_tokens.weight
        self.rotary = (decoder.rotary.cos_tk, decoder.rotary.sin_tk)
        self.norm_d = decoder.norm.weight
        self.head = kernels.pack(model.lm_head.weight)
        self.layers = [_Layer(block, kernels) for block in decoder.layers]

    @torch.inference_mode()
    def __call__(self, rows: Rows) -> Tensor:
        """→ logits (wanted rows, vocabulary), fp32."""
        kernels = self.kernels
        x_rd = self.embedding_vd[rows.token_r]
        for index, layer in enumerate(self.layers):
            heads_rx = kernels.linear(kernels.rms_norm(x_rd, layer.attention_norm_d), layer.qkv)
            cache = (self.keys[index], self.values[index])
            y_rx = kernels.attend(heads_rx, layer.q_norm_k, layer.k_norm_k, self.rotary, cache, rows)
            kernels.add_linear(x_rd, y_rx, layer.output)
            gate_up_rx = kernels.linear(kernels.rms_norm(x_rd, layer.mlp_norm_d), layer.gate_up)
            kernels.add_linear(x_rd, kernels.swiglu(gate_up_rx), layer.down)
        return kernels.linear(kernels.rms_norm(x_rd[rows.wanted], self.norm_d), self.head).float()


class _Layer:
    def __init__(self, block: Any, kernels: Kernels) -> None:
        attention, mlp = block.self_attn, block.mlp
        self.attention_norm_d, self.mlp_norm_d = block.input_layernorm.weight, block.post_attention_layernorm.weight
        self.q_norm_k, self.k_norm_k = attention.q_norm.weight, attention.k_norm.weight
        self.qkv = kernels.pack(torch.cat([attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight]))
        self.output = kernels.pack(attention.o_proj.weight)
        self.gate_up = kernels.pack(torch.cat([mlp.gate_proj.weight, mlp.up_proj.weight]))
        self.down = kernels.pack(mlp.down_proj.weight)

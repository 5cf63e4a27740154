"""Architecture shapes: parameters and FLOPs. The one place that counts."""

from __future__ import annotations

import math
from dataclasses import dataclass

from orionlm.errors import UserError


@dataclass(frozen=True)
class Shape:
    """A dense Qwen3-shaped decoder: RMSNorm, QK-norm, RoPE, SwiGLU, grouped-query attention.

    Sizes are counts: `width` is the residual stream's, `mlp_width` the gated hidden layer's.
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp_width: int
    context: int
    rope_theta: float = 1_000_000.0
    norm_epsilon: float = 1e-6
    tied: bool = True

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "layers", "heads", "kv_heads", "head_dim", "mlp_width", "context"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise UserError(f"{name} = {value!r}: give a whole number of at least 1")
        if self.heads % self.kv_heads:
            raise UserError(f"kv_heads = {self.kv_heads}: must divide heads = {self.heads}")
        if self.head_dim % 2:
            raise UserError(f"head_dim = {self.head_dim}: rotary embeddings need an even number")

    @classmethod
    def from_width(cls, width: int, *, vocabulary: int, context: int, layers: int | None = None) -> Shape:
        """The one dial: every other size follows from the width.

        Heads of 32 up to width 512 and of 128 beyond; an MLP of 8/3 the width, rounded to 16, so that SwiGLU costs
        what a plain MLP of 4 x width does (Shazeer, 2002.05202 §2); one layer for each 64 of width (nanochat's aspect
        ratio), but at least four.
        """
        if width < 16 or width % 16:
            raise UserError(f"width = {width}: give a multiple of 16, at least 16")
        head_dim = 32 if width <= 512 else 128
        heads = math.ceil(width / head_dim)
        return cls(
            vocabulary=vocabulary,
            width=width,
            layers=layers or max(4, math.ceil(width / 64)),
            heads=heads,
            kv_heads=heads,
            head_dim=head_dim,
            mlp_width=max(16, round(8 * width / 3 / 16) * 16),
            context=context,
        )

    @property
    def matrix_parameters(self) -> int:
        """Weights that a token is multiplied with: all matrices and the head, which counts once when it is tied."""
        attention = self.width * self.head_dim * (2 * self.heads + 2 * self.kv_heads)
        mlp = 3 * self.width * self.mlp_width
        return self.layers * (attention + mlp) + self.vocabulary * self.width

    @property
    def parameters(self) -> int:
        """All parameters N, embeddings and norms included (Pearce 2406.12907: count them all)."""
        norms = self.layers * (2 * self.width + 2 * self.head_dim) + self.width
        return self.matrix_parameters + norms + (0 if self.tied else self.vocabulary * self.width)

    def forward_flops_per_token(self, context: int | None = None, *, causal: bool = True) -> float:
        """FLOPs of one token's forward pass: 2 a weight, and 4 a (query, key) pair, head and head dimension.

        A causal token at position t attends to t keys, (context + 1) / 2 on average; `causal=False` is the PaLM
        convention (2204.02311, appendix B) that counts the full square.
        """
        length = self.context if context is None else context
        keys = (length + 1) / 2 if causal else length
        return 2.0 * self.matrix_parameters + 4.0 * self.layers * self.heads * self.head_dim * keys

    def train_flops_per_token(self, context: int | None = None, *, causal: bool = True) -> float:
        """Forward and backward: three times the forward pass."""
        return 3.0 * self.forward_flops_per_token(context, causal=causal)

"""The passes of a step in plain torch: for GPUs, where the compiled ones do not serve, and to check those."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from orionlm.inference.engine.rows import Rows
from orionlm.shape import Shape

PAGE = 16


class Kernels:
    """In the weights' type. Products may add up in another order when other rows are in the step."""

    exact = False
    page = PAGE

    def __init__(self, shape: Shape, device: str, dtype: torch.dtype) -> None:
        self.shape, self.device, self.dtype = shape, device, dtype

    def cache(self, pages: int) -> tuple[Tensor, Tensor]:
        """Zeroed keys and values, (layers, pages, page, kv heads, head_dim) each."""
        shape = self.shape
        size = (shape.layers, pages, PAGE, shape.kv_heads, shape.head_dim)
        keys = torch.zeros(size, dtype=self.dtype, device=self.device)
        return keys, torch.zeros_like(keys)

    def pack(self, weight_nk: Tensor) -> Tensor:
        return weight_nk

    def linear(self, x_rk: Tensor, weight: Tensor) -> Tensor:
        return F.linear(x_rk, weight)

    def add_linear(self, to_rn: Tensor, x_rk: Tensor, weight: Tensor) -> None:
        to_rn += F.linear(x_rk, weight)

    def rms_norm(self, x_rd: Tensor, weight_d: Tensor) -> Tensor:
        return F.rms_norm(x_rd.float(), weight_d.shape, weight_d.float(), self.shape.norm_epsilon).to(x_rd.dtype)

    def attend(
        self,
        heads_rx: Tensor,
        q_weight_k: Tensor,
        k_weight_k: Tensor,
        rotary: tuple[Tensor, Tensor],
        cache: tuple[Tensor, Tensor],
        rows: Rows,
    ) -> Tensor:
        """heads (r, [q | k | v] heads x head_dim) → (r, q heads x head_dim); keys and values go to the cache first."""
        shape = self.shape
        heads_rhk = heads_rx.view(-1, shape.heads + 2 * shape.kv_heads, shape.head_dim)
        q_rhk, k_rhk, v_rhk = heads_rhk.split([shape.heads, shape.kv_heads, shape.kv_heads], dim=1)
        position_r, sequence_r = rows.position_r.long(), rows.sequence_r.long()
        cos_r1k, sin_r1k = (table_tk[position_r, None] for table_tk in rotary)
        q_rhk = _rotate(self.rms_norm(q_rhk, q_weight_k), cos_r1k, sin_r1k)
        k_rhk = _rotate(self.rms_norm(k_rhk, k_weight_k), cos_r1k, sin_r1k)
        keys_pshk, values_pshk = cache
        page_r = rows.table_sp[sequence_r, position_r // PAGE].long()
        keys_pshk[page_r, position_r % PAGE] = k_rhk
        values_pshk[page_r, position_r % PAGE] = v_rhk
        # Rows of one sequence share its pages: the step reads as far as its longest.
        used = -(-rows.longest // PAGE)
        pages_rp = rows.table_sp[sequence_r, :used].long()
        k_rhtk = keys_pshk[pages_rp].flatten(1, 2).transpose(1, 2)
        v_rhtk = values_pshk[pages_rp].flatten(1, 2).transpose(1, 2)
        seen_r11t = (torch.arange(used * PAGE, device=position_r.device) <= position_r[:, None])[:, None, None]
        y_rh1k = F.scaled_dot_product_attention(
            q_rhk[:, :, None], k_rhtk, v_rhtk, attn_mask=seen_r11t, enable_gqa=shape.heads > shape.kv_heads
        )
        return y_rh1k.flatten(1)

    def swiglu(self, gate_up_rx: Tensor) -> Tensor:
        gate_rf, up_rf = gate_up_rx.chunk(2, dim=-1)
        return F.silu(gate_rf) * up_rf


def _rotate(x_rhk: Tensor, cos_r1k: Tensor, sin_r1k: Tensor) -> Tensor:
    first, second = x_rhk.float().chunk(2, dim=-1)
    turned = torch.cat([first * cos_r1k - second * sin_r1k, second * cos_r1k + first * sin_r1k], dim=-1)
    return turned.to(x_rhk.dtype)

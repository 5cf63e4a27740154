"""Which tokens does one step read? Rows of any sequences, each at its own position."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor, device


@dataclass(frozen=True)
class Rows:
    """Row r is token `token_r` (int64) at `position_r` (int32) of the sequence whose pages are `table_sp[sequence_r]`
    (int32): decoding gives one row a sequence, reading a prompt a run of them. `wanted` rows get logits; no sequence
    is longer than `longest`."""

    token_r: Tensor
    position_r: Tensor
    sequence_r: Tensor
    table_sp: Tensor
    wanted: Tensor
    longest: int

    def to(self, where: device) -> Rows:
        tensors = {name: value.to(where) for name, value in vars(self).items() if name != "longest"}
        return replace(self, **tensors)

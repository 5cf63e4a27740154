"""Unfinished training on disk: exact state as safetensors, replaced atomically."""

from __future__ import annotations

import os
import time
import zlib
from pathlib import Path

import torch
from torch import Tensor

from orionlm.errors import UserError

SHORTEST_SECONDS = 2.0
LARGEST_SHARE = 0.02


def save_state(path: Path, tensors: dict[str, Tensor], marks: dict[str, str]) -> float:
    """Write tensors and text marks; when this returns they are durable. Gives the seconds it took."""
    from safetensors.torch import save_file

    began = time.monotonic()
    temporary = path.with_name(path.name + ".tmp")
    held = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    save_file(held, temporary, metadata=marks | {"checksum": _checksum(held)})
    with open(temporary, "rb") as file:
        os.fsync(file.fileno())
    os.replace(temporary, path)
    return time.monotonic() - began


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """What `save_state` wrote. Raises UserError if the file is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            names, marks = list(file.keys()), file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise UserError(f"{path}: damaged checkpoint ({error}); delete {path.parent} to train this run again") from None
    if marks.pop("checksum", None) != _checksum(tensors):
        raise UserError(f"{path}: damaged checkpoint; delete {path.parent} to train this run again")
    return tensors, marks


def _checksum(tensors: dict[str, Tensor]) -> str:
    total = 0
    for name in sorted(tensors):
        total = zlib.crc32(tensors[name].reshape(-1).view(torch.uint8).numpy().data, total)
    return str(total)


class Interval:
    """When to save next: often enough to lose seconds, rarely enough that saving takes at most 2% of the time."""

    def __init__(self) -> None:
        self.seconds = SHORTEST_SECONDS
        self.last = time.monotonic()

    def due(self) -> bool:
        return time.monotonic() - self.last >= self.seconds

    def saved(self, cost: float) -> None:
        self.seconds = max(SHORTEST_SECONDS, cost / LARGEST_SHARE)
        self.last = time.monotonic()

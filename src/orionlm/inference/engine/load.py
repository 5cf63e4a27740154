"""The engine for a checkpoint on disk, with its tokenizer."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from orionlm.data.tokenizer import END_OF_TEXT, load_tokenizer
from orionlm.errors import UserError
from orionlm.inference.engine.engine import Engine
from orionlm.inference.text import token_bytes
from orionlm.model.checkpoint import CONFIG, TOKENIZER, load

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from orionlm.shape import Shape


@dataclass(frozen=True)
class Loaded:
    engine: Engine
    tokenizer: Tokenizer
    shape: Shape


def load_engine(checkpoint: Path, *, slots: int = 64, cache_tokens: int | None = None, device: str = "cpu") -> Loaded:
    """fp32 on a CPU, bf16 on a GPU. Raises UserError for what is missing from the folder, or from the machine."""
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda: this machine has none that torch can use; leave --device out")
    path = checkpoint / TOKENIZER
    model = load(checkpoint, torch.float32 if device == "cpu" else torch.bfloat16, device)
    if not path.is_file():
        raise UserError(
            f"{checkpoint}: no {TOKENIZER}; put the tokenizer the model was trained with beside its weights"
        )
    tokenizer = load_tokenizer(path.read_text(encoding="utf-8"))
    end = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8")).get("eos_token_id")
    if isinstance(end, list):
        end = end[0] if end else None
    if end is None:
        end = tokenizer.token_to_id(END_OF_TEXT)
    engine = Engine(model, text=token_bytes(tokenizer), end=end, slots=slots, cache_tokens=cache_tokens)
    return Loaded(engine, tokenizer, model.shape)

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
    if device not in ("cpu", "cuda"):
        raise UserError(f"device = {device}: give cpu or cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise UserError("device = cuda: this machine has none that torch can use; leave --device out")
    path = checkpoint / TOKENIZER
    model = load(checkpoint, torch.float32 if device == "cpu" else torch.bfloat16, device)
    if not path.is_file():
        raise UserError(
            f"{checkpoint}: no {TOKENIZER}; put the tokenizer the model was trained with beside its weights"
        )
    if not all(tensor.isfinite().all() for tensor in model.state_dict().values()):
        raise UserError(f"{checkpoint}: its weights hold NaN or infinity; restore them, or train it again")
    try:
        tokenizer = load_tokenizer(path.read_text(encoding="utf-8"))
    except Exception as error:  # what the library raises has no class of its own
        raise UserError(f"{path}: not a tokenizer ({error}); restore it") from None
    given = json.loads((checkpoint / CONFIG).read_text(encoding="utf-8")).get("eos_token_id")
    ends = (
        [tokenizer.token_to_id(END_OF_TEXT)] if given in (None, []) else given if isinstance(given, list) else [given]
    )
    for end in ends:
        if end is not None and (type(end) is not int or not 0 <= end < model.shape.vocabulary):
            raise UserError(
                f"{checkpoint / CONFIG}: eos_token_id = {end!r}: give a token id from 0 to {model.shape.vocabulary - 1}"
            )
    engine = Engine(
        model,
        text=token_bytes(tokenizer),
        ends=tuple(end for end in ends if end is not None),
        slots=slots,
        cache_tokens=cache_tokens,
    )
    return Loaded(engine, tokenizer, model.shape)

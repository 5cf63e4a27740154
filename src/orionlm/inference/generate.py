"""Plain generation from one of our checkpoints: prefill, then one token at a time over a key-value cache."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from orionlm.errors import UserError

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from orionlm.model.transformer import Transformer


def generate(
    model: Transformer,
    prompts_bt: Tensor,
    max_new_tokens: int,
    *,
    temperature: float = 0.0,
    top_k: int = 0,
    eot: int | None = None,
    generator: Generator | None = None,
) -> Tensor:
    """prompts (b, t) of equal length → new tokens (b, at most `max_new_tokens`); rows that ended are padded with `eot`.

    Temperature 0 is greedy; `top_k` = 0 keeps the whole vocabulary.
    """
    import torch

    from orionlm.model.transformer import KeyValueCache

    batch, length = prompts_bt.shape
    context = model.shape.context
    if not 1 <= length <= context:
        raise UserError(f"prompt of {length} tokens: give between 1 and the model's context of {context}")
    if length + max_new_tokens > context:
        raise UserError(
            f"max_new_tokens = {max_new_tokens}: with a prompt of {length} tokens the context of {context} leaves "
            f"{context - length}"
        )
    weight = next(model.parameters())
    with torch.inference_mode():
        cache = KeyValueCache(model.shape, batch, length + max_new_tokens, weight.dtype, weight.device)
        logits_bv = model.step(prompts_bt, cache)
        ended_b = torch.zeros(batch, dtype=torch.bool, device=weight.device)
        new: list[Tensor] = []
        for index in range(max_new_tokens):
            token_b = choose(logits_bv, temperature, top_k, generator)
            if eot is not None:
                token_b = torch.where(ended_b, eot, token_b)
                ended_b |= token_b == eot
            new.append(token_b)
            if index + 1 == max_new_tokens or (eot is not None and bool(ended_b.all())):
                break
            logits_bv = model.step(token_b[:, None], cache)
        return torch.stack(new, dim=1)


def choose(logits_bv: Tensor, temperature: float, top_k: int, generator: Generator | None) -> Tensor:
    """One token a row, sampled from softmax(logits / temperature) over the `top_k` likeliest."""
    import torch

    if temperature == 0:
        return logits_bv.argmax(-1)
    logits_bv = logits_bv.float()
    # The likeliest at 0, so that a small temperature cannot overflow.
    logits_bv = (logits_bv - logits_bv.amax(-1, keepdim=True)) / max(temperature, 1e-6)
    if 0 < top_k < logits_bv.shape[-1]:
        floor_b1 = logits_bv.topk(top_k, dim=-1).values[:, -1:]
        logits_bv = logits_bv.masked_fill(logits_bv < floor_b1, -torch.inf)
    return torch.multinomial(logits_bv.softmax(-1), 1, generator=generator).squeeze(1)


def complete(
    checkpoint: Path, prompt: str, *, max_new_tokens: int = 128, temperature: float = 0.8, top_k: int = 0, seed: int = 0
) -> str:
    """The text that continues `prompt`, of any length; the model sees at most its context of it at a time."""
    import torch

    from orionlm.data.tokenizer import END_OF_TEXT, load_tokenizer
    from orionlm.model.checkpoint import TOKENIZER, load

    if max_new_tokens < 1:
        raise UserError(f"max_new_tokens = {max_new_tokens}: give at least 1")
    if not 0 <= temperature < float("inf"):
        raise UserError(f"temperature = {temperature}: give 0 for greedy or a positive number")
    if top_k < 0:
        raise UserError(f"top_k = {top_k}: give 0 for the whole vocabulary or a positive number")
    model = load(checkpoint)
    if not (checkpoint / TOKENIZER).is_file():
        raise UserError(
            f"{checkpoint}: no {TOKENIZER}; put the tokenizer the model was trained with beside its weights"
        )
    tokenizer = load_tokenizer((checkpoint / TOKENIZER).read_text(encoding="utf-8"))
    eot = tokenizer.token_to_id(END_OF_TEXT)
    if eot is None:
        raise UserError(f"{checkpoint / TOKENIZER}: it has no {END_OF_TEXT}; use a tokenizer that does")
    generator = torch.Generator().manual_seed(seed)
    context = model.shape.context
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UserError("prompt: not UTF-8 text; give it in UTF-8") from None
    ids: list[int] = tokenizer.encode(prompt, add_special_tokens=False).ids or [eot]
    given = len(ids)
    while len(ids) < given + max_new_tokens and (ids[-1] != eot or len(ids) == given):
        # A full context is cut to its later half, which is read again, and the text goes on from there.
        window = ids if len(ids) < context else ids[-(context // 2) :]
        count = min(given + max_new_tokens - len(ids), context - len(window))
        new_bt = generate(
            model, torch.tensor([window]), count, temperature=temperature, top_k=top_k, eot=eot, generator=generator
        )
        ids += new_bt[0].tolist()
    return tokenizer.decode([token for token in ids[given:] if token != eot])

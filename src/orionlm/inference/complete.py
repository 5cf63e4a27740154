"""What does a checkpoint say next? One prompt, of any length, continued for as long as asked."""

from __future__ import annotations

from pathlib import Path

from orionlm.errors import UserError
from orionlm.sampling import Sampling


def complete(
    checkpoint: Path, prompt: str, *, max_tokens: int = 128, temperature: float = 0.8, top_k: int = 0, seed: int = 0
) -> str:
    """The text that continues `prompt`; the model sees at most its context of it at a time."""
    from orionlm.inference.engine.load import load_engine

    Sampling(max_tokens=max_tokens, temperature=temperature, top_k=top_k, seed=seed)
    if max_tokens < 1:
        raise UserError(f"max_tokens = {max_tokens}: give at least 1")
    try:
        prompt.encode()
    except UnicodeEncodeError:
        raise UserError("prompt: not UTF-8 text; give it in UTF-8") from None
    loaded = load_engine(checkpoint, slots=1)
    engine, context = loaded.engine, loaded.shape.context
    if not engine.ends:
        raise UserError(
            f"{checkpoint}: no end of text in its configuration or tokenizer; name eos_token_id in config.json"
        )
    ids = loaded.tokenizer.encode(prompt, add_special_tokens=False).ids or [engine.ends[0]]
    given = len(ids)
    while True:
        # A full context is cut to its later half, which is read again, and the text goes on from there.
        window = ids if len(ids) < context else ids[-(context // 2) :]
        count = min(given + max_tokens - len(ids), context - len(window))
        asked = Sampling(max_tokens=count, temperature=temperature, top_k=top_k, seed=(seed + len(ids) - given) % 2**63)
        [[answer]] = engine.answers([window], asked)
        ids += answer.tokens
        if answer.finish == "stop" or len(ids) == given + max_tokens:
            return loaded.tokenizer.decode([token for token in ids[given:] if token not in engine.ends])

"""Which tokens does a text have, and how is a token written? The checkpoint's tokenizer as the server uses it."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orionlm.data.tokenizer import load_tokenizer
from orionlm.errors import UserError
from orionlm.inference.text import token_bytes

TOKENIZER = "tokenizer.json"
OFF_LOOP = 20_000  # characters; more is tokenised beside the event loop


class Tokens:
    """Text to ids and back. Nothing in a user's text becomes a special token; only a chat template can write one."""

    def __init__(self, tokenizer_json: str) -> None:
        try:
            self._tokenizer = load_tokenizer(tokenizer_json)
        except Exception as error:  # what the library raises has no class of its own
            raise UserError(f"{TOKENIZER}: not a tokenizer ({error}); restore it") from None
        self.bytes = token_bytes(self._tokenizer)
        self.longest = max(map(len, self.bytes))
        added = self._tokenizer.get_added_tokens_decoder()
        self.special = {token.content: number for number, token in added.items() if token.special}
        self._special_names = {number: name for name, number in self.special.items()}
        self._cut = re.compile("|".join(map(re.escape, sorted(self.special, key=len, reverse=True))) or r"(?!)")
        self._mark = f"\ue000{secrets.token_hex(8)}\ue001"

    async def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each text; long ones are worked on in a thread."""
        if sum(map(len, texts)) > OFF_LOOP:
            return await asyncio.to_thread(self._encode, texts)
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> list[list[int]]:
        # The batch call, unlike `encode`, lets other threads run meanwhile.
        found: list[Any] = self._tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [encoding.ids for encoding in found]

    def guard(self, text: str) -> str:
        """`text` for a chat template, with a mark in what is written like a special token; `encode_chat` removes it."""
        return self._cut.sub(lambda found: found[0][:1] + self._mark + found[0][1:], text)

    async def encode_chat(self, rendered: str) -> list[int]:
        """The ids of a rendered template: special tokens that it wrote itself are taken as such."""
        pieces = self._cut.split(rendered)
        names = self._cut.findall(rendered)
        encoded = await self.encode([piece.replace(self._mark, "") for piece in pieces])
        ids = encoded[0]
        for name, more in zip(names, encoded[1:], strict=True):
            ids += [self.special[name], *more]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, token: int) -> bytes:
        return self.bytes[token] if token < len(self.bytes) else b""

    def name(self, token: int) -> str:
        """A token as log-probabilities name it: its text; `bytes:\\xe2\\x80` where it is a part of a character."""
        if token in self._special_names:
            return self._special_names[token]
        if token >= len(self.bytes):
            return f"<unused {token}>"
        piece = self.bytes[token]
        try:
            return piece.decode()
        except UnicodeDecodeError:
            return "bytes:" + "".join(f"\\x{byte:02x}" for byte in piece)


def load_tokens(checkpoint: Path) -> Tokens:
    """The tokenizer beside a checkpoint's weights. Raises UserError where there is none."""
    path = checkpoint / TOKENIZER
    if not checkpoint.is_dir():
        raise UserError(f"{checkpoint}: no such folder; give a checkpoint's, such as runs/NAME/artifacts/STAGE")
    if not path.is_file():
        raise UserError(
            f"{checkpoint}: no {TOKENIZER}; put the tokenizer the model was trained with beside its weights"
        )
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a tokenizer ({error}); restore it") from None
    return Tokens(text)

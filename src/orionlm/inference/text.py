"""Which text may be shown by now? Tokens to text as they come: whole characters only, and nothing of a stop string."""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING

from orionlm.errors import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def token_bytes(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes each id of a byte-level tokenizer stands for; special tokens, which have no text, b""."""
    byte_of = _bytes_of_characters()
    added = tokenizer.get_added_tokens_decoder()
    table = []
    for token in range(tokenizer.get_vocab_size()):
        if token in added:
            table.append(b"" if added[token].special else added[token].content.encode())
            continue
        piece = tokenizer.id_to_token(token) or ""
        try:
            table.append(bytes(byte_of[character] for character in piece))
        except KeyError:
            raise UserError(f"tokenizer: token {token} is {piece!r}; give a byte-level tokenizer, as Qwen3's") from None
    return table


class TextStream:
    """The text of one growing answer.

    `push` returns what may be shown after more bytes: a character waits for its last byte, and what may turn out to
    begin a stop string waits until it is clear that it does not. Once a stop string appears, `stopped` is set and the
    text ends before it. `finish` returns what still waited.
    """

    def __init__(self, stop: tuple[str, ...] = ()) -> None:
        self.stop = stop
        self.stopped = False
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""

    def push(self, more: bytes) -> str:
        return self._release(self._decode(more))

    def finish(self) -> str:
        if self.stopped:
            return ""
        text = self._release(self._decode(b"", True))
        text, self._held = text + self._held, ""
        return text

    def _release(self, new: str) -> str:
        if not self.stop or self.stopped:
            return "" if self.stopped else new
        text = self._held + new
        found = [place for place in (text.find(stop) for stop in self.stop) if place >= 0]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)]
        keep = max(_overlap(text, stop) for stop in self.stop)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` with which `stop` begins."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0


def _bytes_of_characters() -> dict[str, int]:
    """Byte-level BPE writes each byte as one printable character (Radford et al. 2019, released `encoder.py`)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    characters = [chr(byte) for byte in printable] + [chr(256 + n) for n in range(len(others))]
    return dict(zip(characters, printable + others, strict=True))

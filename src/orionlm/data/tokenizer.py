"""Which byte sequences become tokens? Byte-level BPE trained on a sample of the training text (stage `tokenizer`)."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from orionlm.artifact import Artifact, write_json
from orionlm.data.documents import shard_files, texts
from orionlm.errors import UserError
from orionlm.recipe.estimate import Derived, Estimate

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from orionlm.recipe.context import Context

END_OF_TEXT = "<|endoftext|>"
BYTES = 256
PIECE = 1 << 14
CACHED_WORDS = 1 << 20

# Words as in GPT-4: a letter run with one leading mark or blank, up to three digits, a run of marks with its line ends,
# white space up to the next word. Character classes are spelled out, so that Python's `re` and the engine inside
# `tokenizers` cut any text alike (`WordEncoder` relies on it).
_SPACE = " \t\n\r\x0b\x0c"
_MARK = (
    "\x00-\x08\x0e-\x1f!-/:-@\\[-`{-\x7f\x80-\xa9\xab-\xb4\xb6-\xb9\xbb-\xbf\xd7\xf7"
    "\u2000-\u206f\u2190-\u2bff\u3000-\u303f\uff00-\uff20\uff3b-\uff40\uff5b-\uff65"
)
_LETTER = f"[^0-9{_SPACE}{_MARK}]"
WORDS = (
    f"(?:{_LETTER}|[{_MARK} \t]{_LETTER}){_LETTER}*|[0-9]{{1,3}}| ?[{_MARK}]+[\r\n]*|"
    f"[{_SPACE}]*[\r\n]+|[{_SPACE}]+(?![^{_SPACE}])|[{_SPACE}]+"
)


class Settings(BaseModel):
    """`vocabulary`: ids, the 256 bytes and the end of text included; `sample_bytes`: text to learn merges from."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    vocabulary: int = Field(default=2048, gt=BYTES, le=1 << 20)
    sample_bytes: int = Field(default=4_000_000, gt=0)


def run(settings: Settings, inputs: dict[str, Artifact], out: Path, context: Context) -> None:
    """Trains on the corpus's train split; writes `tokenizer.json` and `tokenizer_info.json`."""
    corpus = inputs["corpus"]
    began = time.perf_counter()
    context.progress.say(f"tokenizer: {settings.vocabulary:,} tokens from {settings.sample_bytes:,} bytes of text")
    total = corpus.json("corpus.json")["train"]["bytes"]
    files = shard_files(corpus.path, "train")
    if not files:
        raise UserError(f"{corpus.path}: no train-00000.parquet here; make the corpus again")
    sample = list(sample_pieces(texts(files), total, settings.sample_bytes))
    tokenizer = train_tokenizer(sample, settings.vocabulary)
    tokenizer.save(str(out / "tokenizer.json"), pretty=False)
    encoder = WordEncoder(tokenizer.to_str())
    size = sum(len(piece.encode()) for piece in sample)
    tokens = sum(encoder.count(piece) for piece in sample)
    write_json(
        out / "tokenizer_info.json",
        {"vocabulary": settings.vocabulary, "sample_bytes": size, "bytes_per_token": size / tokens},
    )
    context.record("data", seconds=time.perf_counter() - began)


def sample_pieces(texts: Iterator[str], total_bytes: int, sample_bytes: int) -> Iterator[str]:
    """Pieces of at most `PIECE` characters, spread evenly over the texts, that add up to about `sample_bytes`."""
    seen = taken = 0
    for text in texts:
        for start in range(0, len(text), PIECE):
            piece = text[start : start + PIECE]
            size = len(piece.encode())
            if taken * total_bytes <= seen * sample_bytes:
                taken += size
                yield piece
            seen += size


def train_tokenizer(texts: list[str], vocabulary: int) -> Tokenizer:
    """A tokenizer of exactly `vocabulary` ids; the same bytes when saved at any thread count.

    UserError names the size reached where the text has no more pairs to merge.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    cut = pre_tokenizers.Split(Regex(WORDS), behavior="isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([cut, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[END_OF_TEXT],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    reached = tokenizer.get_vocab_size()
    if reached < vocabulary:
        raise UserError(
            f"tokenizer.vocabulary {vocabulary:,} is more than the text supports: its {sum(map(len, texts)):,} sampled "
            f"characters give {reached:,}; lower vocabulary, or raise sample_bytes or add text"
        )
    return tokenizer


def load_tokenizer(tokenizer_json: str) -> Tokenizer:
    """The tokenizer that a `tokenizer.json` spells out. `<|endoftext|>` in a text becomes ordinary tokens, no end."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(tokenizer_json)
    tokenizer.encode_special_tokens = True
    return tokenizer


def token_lengths(tokenizer: Tokenizer) -> list[int]:
    """UTF-8 bytes that each id stands for; special tokens 0."""
    special = tokenizer.get_added_tokens_decoder()
    size = tokenizer.get_vocab_size()
    return [0 if id in special else len(str(tokenizer.id_to_token(id))) for id in range(size)]


class WordEncoder:
    """Whole texts → ids, several times faster than `tokenizer.encode_batch` and equal to it.

    Text repeats its words: each distinct word goes through the tokenizer once, a text is then cut by Python's `re` with
    the tokenizer's own pattern and its words are looked up. For tokenizers that `train_tokenizer` made.
    """

    def __init__(self, tokenizer_json: str):
        self.tokenizer = load_tokenizer(tokenizer_json)
        split = json.loads(tokenizer_json)["pre_tokenizer"]["pretokenizers"][0]
        self.words = re.compile(split["pattern"]["Regex"]).findall
        self.vocabulary = self.tokenizer.get_vocab_size()
        self.dtype = np.dtype("<u2" if self.vocabulary <= 1 << 16 else "<u4")
        self.eot = int(self.tokenizer.token_to_id(END_OF_TEXT))  # type: ignore[arg-type]
        self.known = _Known(self.tokenizer, self.dtype)

    def encode(self, text: str) -> bytes:
        """The ids of `text` as little-endian integers of `dtype`."""
        if len(self.known) > CACHED_WORDS:
            self.known.clear()
        return b"".join(map(self.known.__getitem__, self.words(text)))

    def count(self, text: str) -> int:
        return len(self.encode(text)) // self.dtype.itemsize


class _Known(dict[str, bytes]):
    def __init__(self, tokenizer: Any, dtype: np.dtype):
        self.tokenizer, self.dtype = tokenizer, dtype

    def __missing__(self, word: str) -> bytes:
        ids = self.tokenizer.encode(word, add_special_tokens=False).ids
        self[word] = encoded = np.array(ids, self.dtype).tobytes()
        return encoded


def derive(settings: Settings, known: dict[str, dict[str, Any]], context: Context) -> Estimate:
    """The vocabulary, which every later stage's sizes follow from."""
    numbers = [Derived("vocabulary", settings.vocabulary, "tokens", "256 bytes + 1 end of text + merges")]
    return Estimate(numbers, provides={"vocabulary": settings.vocabulary})

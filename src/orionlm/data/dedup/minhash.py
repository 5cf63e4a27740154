"""How alike are two texts, judged by a few numbers of each? MinHash signatures over runs of words.

The share of equal numbers in two signatures estimates the Jaccard similarity of the texts' sets of word n-grams
(Broder 1997). Daft's kernel counts as a word what lies between two spaces, so the text is brought to its words first:
lower case, everything but letters and digits a space, compatibility characters as their plain ones (NFKC). Scripts that
set no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese) are cut into characters.
"""

from __future__ import annotations

import hashlib
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
import regex

from orionlm.data.dedup import kernels

if TYPE_CHECKING:
    import pyarrow as pa

    from orionlm.data.dedup.lsh import Settings

PIECE_BYTES = 1 << 20  # of text at a time: what is made on the way stays in the processor's cache
NEITHER_ASCII_NOR_WORD = r"[^\x00-\x7F\p{L}\p{M}\p{N}]+"
WITHOUT_SPACES = regex.compile(r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]+")

# What a byte becomes: a small letter, a digit, a space; from 128 on, part of another character, itself.
PLAIN = np.arange(256, dtype=np.uint8)
PLAIN[:128] = [ord(chr(byte).lower()) if chr(byte).isalnum() else ord(" ") for byte in range(128)]


def signatures(texts: pa.Array | pa.ChunkedArray, settings: Settings) -> np.ndarray:
    """uint32 [texts, permutations]; `texts`: large strings.

    A text of no more words than one n-gram would be a single 32-bit hash, and others would collide with it by chance:
    it stands for itself alone, white space aside.
    """
    import pyarrow as pa

    found = np.empty((len(texts), settings.permutations), np.uint32)
    start = 0
    for chunk in texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]:
        for piece in _pieces(chunk):
            stop = start + len(piece)
            words, counts = _words(piece)
            found[start:stop] = kernels.minhash(words, settings.permutations, settings.ngram)
            for row in np.flatnonzero(counts <= settings.ngram).tolist():
                found[start + row] = _own(piece[row].as_py(), settings.permutations)
            start = stop
    return found


def _own(text: str, permutations: int) -> np.ndarray:
    digest = hashlib.blake2b(" ".join(text.split()).encode(), digest_size=16).digest()
    return np.resize(np.frombuffer(digest, "<u4"), permutations)


def _pieces(texts: pa.Array) -> list[Any]:
    import pyarrow.compute as pc

    texts = pc.fill_null(texts, "") if texts.null_count else texts
    if not len(texts):
        return []
    places, _ = _buffers(texts)
    cuts = np.flatnonzero(np.diff(places[:-1] // PIECE_BYTES)) + 1
    return [texts.slice(a, b - a) for a, b in zip([0, *cuts.tolist()], [*cuts.tolist(), len(texts)], strict=True)]


def _words(texts: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """The words of each text with one space between two, and how many there are (1 for none)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ascii = pc.string_is_ascii(texts)
    if ascii.false_count:
        others = pc.invert(ascii)
        texts = pc.replace_with_mask(texts, others, _beyond_ascii(texts.filter(others)))
    places, raw = _buffers(texts)
    plain = np.take(PLAIN, raw)
    is_word = plain != ord(" ")
    stays = is_word.copy()
    stays[1:] |= is_word[:-1]  # the first of the spaces after a word
    starts = np.concatenate([[0], np.cumsum(_in_each(stays, places))])
    spaced = pa.LargeStringArray.from_buffers(len(texts), pa.py_buffer(starts), pa.py_buffer(plain[stays]))
    words = pc.ascii_trim(spaced, " ")
    places, raw = _buffers(words)
    return words, _in_each(raw == ord(" "), places) + 1


def _buffers(texts: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Where each text begins, and the last one ends, in the bytes of all."""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return places - places[0], np.frombuffer(data or b"", np.uint8)[places[0] : places[-1]]


def _in_each(flags: np.ndarray, places: np.ndarray) -> np.ndarray:
    """How many are set from each place to the next."""
    counts = np.zeros(len(places) - 1, np.int64)
    filled = np.flatnonzero(places[1:] > places[:-1])
    if len(filled):
        counts[filled] = np.add.reduceat(flags.view(np.uint8), places[filled], dtype=np.uint32)
    return counts


def _beyond_ascii(texts: pa.Array) -> pa.Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = [unicodedata.normalize("NFKC", text).lower() for text in texts.to_pylist()]
    spaced = pc.replace_substring_regex(pa.array(plain, pa.large_string()), NEITHER_ASCII_NOR_WORD, " ")
    unspaced = pc.match_substring_regex(spaced, WITHOUT_SPACES.pattern)
    if not unspaced.true_count:
        return spaced
    cut = [WITHOUT_SPACES.sub(_cut, text) for text in spaced.filter(unspaced).to_pylist()]
    return pc.replace_with_mask(spaced, unspaced, pa.array(cut, pa.large_string()))


def _cut(run: regex.Match[str]) -> str:
    return f" {' '.join(run[0])} "

"""Is this running text, and does it not repeat itself? The rules that filtered MassiveText for Gopher.

Rae et al. 2021, arXiv 2112.11446, appendix A.1.1: quality rules, and the repetition rules of table A1. They were made
for English web pages. A word is what stands between white space; a line or paragraph that holds nothing is none. A
repeated line, paragraph or n-gram counts from its second occurrence on.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.data.quality import ngrams
from orionlm.data.quality.units import judged, lines, paragraphs

BATCH = 1 << 16  # words whose n-grams are looked at together
BULLETS = ("•", "‣", "◦", "▪", "-", "*", "–")
ELLIPSES = ("...", "…")
PUNCTUATION = string.punctuation + "“”‘’…"
_LETTER = re.compile(r"[^\W\d_]")


class Settings(BaseModel):
    """Published thresholds (text 2112.11446 A.1.1, then table A1). A share of 1 switches its rule off.

    `max_symbols_per_word` holds for "#" and for ellipses, each. `max_top_ngram` is for n = 2, 3, 4,
    `max_duplicate_ngrams` for n = 5 … 10, as shares of the characters that are no white space.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ("code",)
    min_words: int = Field(default=50, ge=0)
    max_words: int = Field(default=100_000, gt=0)
    min_word_length: float = 3
    max_word_length: float = 10
    max_symbols_per_word: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_words_with_letter: float = 0.8
    min_stop_words: int = 2
    stop_words: tuple[str, ...] = ("the", "be", "to", "of", "and", "that", "have", "with")
    max_duplicate_lines: float = 0.30
    max_duplicate_paragraphs: float = 0.30
    max_duplicate_line_characters: float = 0.20
    max_duplicate_paragraph_characters: float = 0.20
    max_top_ngram: tuple[float, float, float] = (0.20, 0.18, 0.16)
    max_duplicate_ngrams: tuple[float, float, float, float, float, float] = (0.15, 0.14, 0.13, 0.12, 0.11, 0.10)


def checker(settings: Settings) -> Check:
    limits = dict(zip(ngrams.TOP, settings.max_top_ngram, strict=True))
    limits |= dict(zip(ngrams.DUPLICATE, settings.max_duplicate_ngrams, strict=True))
    stop_words = frozenset(word.lower() for word in settings.stop_words)

    def check(documents: Sequence[Document]) -> list[Verdict]:
        verdicts = [KEPT] * len(documents)
        held: dict[int, list[str]] = {}
        size = 0
        for number, document in enumerate(documents):
            if document.domain in settings.exempt:
                continue
            words = document.text.split(None, settings.max_words + 1)
            verdict = _of_words(words, document.text, settings, stop_words) or _of_lines(document.text, settings)
            if verdict:
                verdicts[number] = verdict
                continue
            held[number] = words
            size += len(words)
            if size >= BATCH:
                _of_ngrams(held, limits, verdicts)
                held, size = {}, 0
        _of_ngrams(held, limits, verdicts)
        return verdicts

    return check


def _of_words(words: list[str], text: str, settings: Settings, stop_words: frozenset[str]) -> Verdict | None:
    count = len(words)
    if count < settings.min_words:
        return Verdict("too few words", f"{count} words")
    if count > settings.max_words:
        return Verdict("too many words", f"more than {settings.max_words:,} words")
    if not count:
        return None
    length = sum(map(len, words)) / count
    if length < settings.min_word_length:
        return Verdict("words too short", f"{length:.2f} characters a word")
    if length > settings.max_word_length:
        return Verdict("words too long", f"{length:.2f} characters a word")
    hashes = text.count("#") / count
    ellipses = sum(map(text.count, ELLIPSES)) / count
    if max(hashes, ellipses) > settings.max_symbols_per_word:
        return Verdict("too many symbols", f"{hashes:.3f} # and {ellipses:.3f} ellipses a word")
    lettered = _with_letter(words, settings.min_words_with_letter)
    if lettered / count < settings.min_words_with_letter:
        return Verdict("too few words with letters", f"{lettered / count:.3f} of {count} words")
    if sum(f" {word} " in text for word in stop_words) < settings.min_stop_words:  # usually enough; else exactly
        present = sorted({word.lower().strip(PUNCTUATION) for word in words} & stop_words)
        if len(present) < settings.min_stop_words:
            return Verdict("too few stop words", f"{', '.join(present) or 'none'} in {count} words")
    return None


def _with_letter(words: list[str], enough: float) -> int:
    """How many hold a letter, or some that are `enough` as a share: most are known by their case, which is cheaper."""
    cased = sum(map(str.islower, words))
    if cased / len(words) >= enough:
        return cased
    return cased + sum(1 for word in words if not word.islower() and _LETTER.search(word))


def _of_lines(text: str, settings: Settings) -> Verdict | None:
    text = judged(text)
    held = list(lines(text))
    if not held:
        return None
    # Each has to be there often enough before it is worth looking at where.
    if sum(map(text.count, BULLETS)) / len(held) > settings.max_bullet_lines:
        bullets = sum(line.startswith(BULLETS) for line in held)
        if bullets / len(held) > settings.max_bullet_lines:
            return Verdict("mostly bullets", f"{bullets} of {len(held)} lines")
    if sum(map(text.count, ELLIPSES)) / len(held) > settings.max_ellipsis_lines:
        ellipses = sum(line.endswith(ELLIPSES) for line in held)
        if ellipses / len(held) > settings.max_ellipsis_lines:
            return Verdict("lines end in ellipses", f"{ellipses} of {len(held)} lines")
    if len(set(held)) == len(held):  # then no paragraph comes twice either
        return None
    return _of_duplicates(
        "line", held, settings.max_duplicate_lines, settings.max_duplicate_line_characters
    ) or _of_duplicates(
        "paragraph",
        list(paragraphs(text)),
        settings.max_duplicate_paragraphs,
        settings.max_duplicate_paragraph_characters,
    )


def _of_duplicates(unit: str, held: list[str], most: float, most_characters: float) -> Verdict | None:
    once = set(held)
    size = sum(map(len, held))
    share = (len(held) - len(once)) / len(held)
    characters = (size - sum(map(len, once))) / size
    if share <= most and characters <= most_characters:
        return None
    often, count = Counter(held).most_common(1)[0]
    shares = f"{share:.3f} of {len(held)} {unit}s, {characters:.3f} of characters"
    reason = f"duplicate {unit}s" if share > most else f"duplicate {unit} characters"
    return Verdict(reason, f"{shares}; {count} × {_shown(often)}")


def _of_ngrams(held: dict[int, list[str]], limits: dict[int, float], verdicts: list[Verdict]) -> None:
    numbers = list(held)
    for which, (n, share, example) in ngrams.repeated(list(held.values()), limits).items():
        reason = f"one {n}-gram too often" if n in ngrams.TOP else f"duplicate {n}-grams"
        shown = _shown(" ".join(held[numbers[which]][example : example + n]))
        verdicts[numbers[which]] = Verdict(reason, f"{share:.3f} of characters, as in {shown}")


def _shown(text: str) -> str:
    """Enough of a repeated piece to judge it by."""
    return repr(text if len(text) <= 80 else text[:79] + "…")

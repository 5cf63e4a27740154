"""Is it prose, or a list, a menu, a form? FineWeb's own rules, meant to follow Gopher's and C4's.

Penedo et al. 2024, arXiv 2406.17557. Section 3.6 and appendix E.4 of the paper differ: duplicated-line characters ≥ .1
in the one, .01 in the other; the published program ran with .01, so .01 it is here, and .1 can be set. The program also
holds newlines per word below .3, which the paper does not mention.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.data.quality.units import Unit, judged, units

TERMINAL = (".", "!", "?", "…", "‽", "。", "．", "！", "？", "؟", "۔", "।", "॥", "։", "።", "။", "។")


class Settings(BaseModel):
    """A document goes where ended lines ≤ `min_ended_lines` (.12), lines of at most `short_line` characters ≥
    `max_short_lines` (.67), characters in lines that came before ≥ `max_duplicate_characters` (.01), or newlines per
    word > `max_newlines_per_word` (.3; infinite switches it off).

    `unit = "paragraph"` judges blocks between blank lines instead of lines, for hard-wrapped text.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ("code",)
    unit: Unit = "line"
    min_ended_lines: float = 0.12
    max_short_lines: float = 0.67
    short_line: int = 30
    max_duplicate_characters: float = 0.01
    max_newlines_per_word: float = 0.3


def checker(settings: Settings) -> Check:
    def check(documents: Sequence[Document]) -> list[Verdict]:
        return [
            KEPT if document.domain in settings.exempt else judge(document.text, settings) for document in documents
        ]

    return check


def judge(text: str, settings: Settings) -> Verdict:
    text = judged(text)
    held = list(units(text, settings.unit))
    if not held:
        return Verdict("nothing but white space")
    ended = sum(line.endswith(TERMINAL) for line in held) / len(held)
    if ended <= settings.min_ended_lines:
        return Verdict("few lines end a sentence", f"{ended:.3f} of {len(held)} {settings.unit}s")
    lengths = list(map(len, held))
    short = sum(length <= settings.short_line for length in lengths) / len(held)
    if short >= settings.max_short_lines:
        return Verdict("mostly short lines", f"{short:.3f} of {len(held)} {settings.unit}s")
    once = set(held)
    if len(once) < len(held):
        again = 1 - sum(map(len, once)) / sum(lengths)
        if again >= settings.max_duplicate_characters:
            line, count = Counter(held).most_common(1)[0]
            return Verdict("duplicate line characters", f"{again:.3f} of characters; {count} × {line[:80]!r}")
    newlines, words = text.strip().count("\n"), len(text.split())
    if newlines > settings.max_newlines_per_word * words:
        return Verdict("too many newlines", f"{newlines} newlines, {words} words")
    return KEPT

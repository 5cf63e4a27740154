"""Which lines of a page are prose, and is enough of it left? The rules of C4; they change the text.

Raffel et al. 2020, JMLR 21(140), arXiv 1910.10683, section 2.2. Lines go one by one, the page goes where what is left
is too little, or where it holds what no prose should. Not here: language (its own filter) and repeated spans.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.data.quality.units import Unit, units
from orionlm.errors import UserError

TERMINAL = (".", "!", "?", '"', "”", "'", "’", "»")
POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")
_CITATION = re.compile(r"\[(?:\d{1,4}|edit|citation needed)\]")
_SENTENCE = re.compile(r"[.!?][\"'”’)\]]{0,3}(?:\s|$)")


class Settings(BaseModel):
    """Each rule of section 2.2 with its switch. Where `terminal_punctuation` is on, a line must end a sentence.

    `unit = "paragraph"` judges blocks between blank lines instead of lines: on hard-wrapped text (reStructuredText,
    mail, books) the rule for lines keeps the last line of every paragraph. FineWeb leaves `terminal_punctuation` out:
    it took 30% of the tokens (Penedo et al. 2024, arXiv 2406.17557, 3.5). `bad_words`: a file of words and phrases, one
    a line; a page that holds one goes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ("code",)
    unit: Unit = "line"
    terminal_punctuation: bool = True
    min_words_per_line: int = 5
    min_sentences: int = 3
    lorem_ipsum: bool = True
    curly_bracket: bool = True
    javascript: bool = True
    policy: bool = True
    citations: bool = True
    bad_words: str | None = None


def identity(settings: Settings) -> list[str]:
    """The words that pages may not hold."""
    return _bad_words(settings.bad_words) if settings.bad_words else []


def checker(settings: Settings) -> Check:
    words = "|".join(map(re.escape, identity(settings)))
    bad_words = re.compile(rf"(?<!\w)(?:{words})(?!\w)") if words else None

    def check(documents: Sequence[Document]) -> list[Verdict]:
        return [KEPT if document.domain in settings.exempt else judge(document.text) for document in documents]

    def judge(text: str) -> Verdict:
        if settings.curly_bracket and "{" in text:
            at = text.index("{")
            return Verdict("curly bracket", repr(text[max(0, at - 40) : at + 40]))
        lowered = text.lower()
        if settings.lorem_ipsum and "lorem ipsum" in lowered:
            return Verdict("lorem ipsum")
        if bad_words and (found := bad_words.search(lowered)):
            return Verdict("bad word", found.group())
        return _of_lines(text, lowered, settings)

    return check


def _of_lines(text: str, lowered: str, settings: Settings) -> Verdict:
    unwanted = [("policy notice", phrase) for phrase in POLICY if settings.policy and phrase in lowered]
    if settings.javascript and "javascript" in lowered:
        unwanted.append(("javascript", "javascript"))
    gone: Counter[str] = Counter()
    kept = []
    for line in units(text, settings.unit):
        reason = _of_line(line, unwanted, settings)
        if reason:
            gone[reason] += 1
        else:
            kept.append(line)
    left = ("\n" if settings.unit == "line" else "\n\n").join(kept)
    if settings.citations:
        left = _CITATION.sub("", left)
    counts = {f"{settings.unit}s out: {reason}": count for reason, count in gone.items()}
    sentences = sum(1 for _ in islice(_SENTENCE.finditer(left), settings.min_sentences))
    if sentences < settings.min_sentences:
        size = len(kept) + gone.total()
        lost = ", ".join(f"{count} {reason}" for reason, count in gone.most_common()) or "none"
        return Verdict("too few sentences", f"{sentences} in {len(kept)} of {size} {settings.unit}s; out: {lost}")
    return Verdict(text=left if left != text else None, counts=counts)


def _of_line(line: str, unwanted: Sequence[tuple[str, str]], settings: Settings) -> str:
    if settings.terminal_punctuation and (not line.endswith(TERMINAL) or line.endswith("...")):
        return "no terminal punctuation"
    if len(line.split(None, settings.min_words_per_line)) < settings.min_words_per_line:
        return "too few words"
    if unwanted:
        lowered = line.lower()
        for reason, phrase in unwanted:
            if phrase in lowered:
                return reason
    return ""


def _bad_words(name: str) -> list[str]:
    try:
        held = Path(name).read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"c4.bad_words: {name} is no readable UTF-8 file ({error}); name one word a line") from None
    words = sorted({word.strip().lower() for word in held if word.strip()}, key=lambda word: (-len(word), word))
    if not words:
        raise UserError(f"c4.bad_words: {name} holds no words; name one a line, or leave the setting out")
    return words

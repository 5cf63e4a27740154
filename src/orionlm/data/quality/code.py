"""Is this source code that a person wrote, and whole? Rules for the domain code.

Lines, letters and encoded data as The Stack and StarCoder had them (Kocetkov et al. 2022, arXiv 2211.15533; Li et al.
2023, 2305.06161; Lozhkov et al. 2024, 2402.19173, appendix on filters); Python must parse by the grammar of the
interpreter that asks. Licences of headers are counted; one in `deny` removes the file.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Sequence

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

from orionlm.data.documents import Document
from orionlm.data.filters import Check, Verdict
from orionlm.data.licences.policy import Policy
from orionlm.data.quality.headers import generated, licence
from orionlm.data.quality.syntax import Parser

DATA_FROM = 4000
_LETTERS = string.ascii_letters.encode()
_ALNUM = _LETTERS + string.digits.encode()
_CONTROLS = bytes(set(range(0x20)) - set(b"\t\n\v\f\r\x1b")) + b"\x7f"
_JUNK = re.compile(r"[\x80-\x9f\ufffd]|Ã[\u0080-\u00bf]|â€")
_BASE64 = np.zeros(256, bool)
_BASE64[list(_ALNUM + b"+/=\n")] = True
_RUN = 64
# Each begins with letters that can be searched for at once.
_ESCAPED = (
    re.compile(r"\\x[0-9A-Fa-f]{2}(?:\\x[0-9A-Fa-f]{2}){7,}"),
    re.compile(r"\\u[0-9A-Fa-f]{4}(?:\\u[0-9A-Fa-f]{4}){7,}"),
    re.compile(r"0x[0-9A-Fa-f]{2}[,\s]{1,4}(?:0x[0-9A-Fa-f]{2}[,\s]{1,4}){7,}"),
)
_VALUE = re.compile(r"\"[^\"\n]{0,200}\"|'[^'\n]{0,200}'|0[xX][0-9A-Fa-f]+")


class Settings(BaseModel):
    """`max_bytes`, 1 MB: The Stack. `min_alphanumeric`: StarCoder. `max_lines`, the lines' lengths, and what encoded
    data (runs of base64, of \\x.., of \\u...., of 0x..) may take: StarCoder 2, which allows HTML, JSON, Markdown, TeX,
    text and XML longer lines: such files belong in other domains.

    Ours: `max_junk`, the share of characters that no decoder should leave; `min_names`, letters outside short strings
    and numbers as a share of all that is no white space, asked of files above 4,000 characters: less is data.
    `python`: the ends of ids that must parse ("" is every document; none switches it off). `deny`: licences of headers,
    as the mixture's policy names them ("GPL-*", "copyleft"); the corpus's own column is the mixture's to judge.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    domains: tuple[str, ...] = ("code",)
    max_bytes: int = Field(default=1_000_000, gt=0)
    max_lines: int = 100_000
    max_mean_line: float = 100
    max_line: int = 1000
    min_alphanumeric: float = 0.25
    max_encoded_run: int = 1024
    max_encoded: float = 0.5
    max_junk: float = 0.001
    min_names: float = 0.1
    generated: bool = True
    python: tuple[str, ...] = (".py", ".pyi")
    deny: tuple[str, ...] = ()

    @field_validator("deny")
    @classmethod
    def _known(cls, deny: tuple[str, ...]) -> tuple[str, ...]:
        _policy(deny)
        return deny


def _policy(deny: tuple[str, ...]) -> Policy:
    return Policy(deny=deny, unknown="allow")


def identity(settings: Settings) -> dict[str, str]:
    """Whose grammar Python is judged by."""
    return {"python": f"{sys.version_info.major}.{sys.version_info.minor}"} if settings.python else {}


def checker(settings: Settings) -> Check:
    parser = Parser()
    policy = _policy(settings.deny)

    def check(documents: Sequence[Document]) -> list[Verdict]:
        return [judge(document) for document in documents]

    def judge(document: Document) -> Verdict:
        found = licence(document.text)
        reason, detail = _of_text(document.text, settings)
        if not reason and found and (why := policy.forbids(found)):
            reason, detail = "licence denied", f"{found}: {why}"
        if not reason and settings.python and document.id.endswith(settings.python):
            detail = parser.error(document.text)
            reason = "does not parse" if detail else ""
        return Verdict(reason, detail, counts={f"licence header {found}": 1} if found else {})

    return check


def _of_text(text: str, settings: Settings) -> tuple[str, str]:
    """Why a file goes, by its text alone, the cheap rules first: reason and detail."""
    if not text.strip():
        return "nothing but white space", ""
    size = len(text) if text.isascii() else len(text.encode())
    if size > settings.max_bytes:
        return "too large", f"{size:,} bytes"
    if settings.generated and (line := generated(text)):
        return "generated", line
    lines = text.splitlines()
    if len(lines) > settings.max_lines:
        return "too many lines", f"{len(lines):,} lines"
    lengths = list(map(len, lines))
    if (longest := max(lengths)) > settings.max_line:
        return "a very long line", f"{longest:,} characters: {lines[lengths.index(longest)].strip()[:80]!r}"
    if (mean := sum(lengths) / len(lengths)) > settings.max_mean_line:
        return "long lines", f"{mean:.0f} characters a line"
    if (share := _alphanumeric(text)) < settings.min_alphanumeric:
        return "few letters and digits", f"{share:.3f} of characters"
    content = text.encode()
    controls = size - len(content.translate(None, _CONTROLS))
    junk = [] if text.isascii() else _JUNK.findall(text)
    if (controls + len(junk)) / len(text) > settings.max_junk:
        shown = f", as {junk[0]!r}" if junk else ""
        return "decoding junk", f"{controls} control characters, {len(junk)} others of {len(text)}{shown}"
    return _of_data(text, content, settings)


def _alphanumeric(text: str) -> float:
    """Share of letters and digits; what is not ASCII counts as a letter."""
    plain = text.encode("ascii", "ignore")
    return 1 - len(plain.translate(None, _ALNUM)) / len(text)


def _of_data(text: str, content: bytes, settings: Settings) -> tuple[str, str]:
    stops = np.flatnonzero(~_BASE64[np.frombuffer(content, np.uint8)])
    begins = np.append(-1, stops) + 1
    sizes = np.append(stops, len(content)) - begins
    runs = [content[begins[at] : begins[at] + sizes[at]].decode() for at in np.flatnonzero(sizes >= _RUN)]
    runs += [found.group() for pattern in _ESCAPED for found in pattern.finditer(text)]
    if runs:
        longest, total = max(runs, key=len), sum(map(len, runs))
        if len(longest) > settings.max_encoded_run or total / len(text) > settings.max_encoded:
            return "encoded data", f"{total:,} of {len(text):,} characters, as {longest[:60]!r}"
    if len(text) > DATA_FROM:
        names = _letters(_VALUE.sub("", text)) / (len(text) - sum(map(text.count, " \t\n")))
        if names < settings.min_names:
            return "mostly data", f"{names:.3f} of characters in names"
    return "", ""


def _letters(text: str) -> int:
    plain = text.encode("ascii", "ignore")
    return len(text) - len(plain.translate(None, _LETTERS))

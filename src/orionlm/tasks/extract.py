"""Which answer does a text give? Found and brought to one form, whatever the text holds: nothing hangs, nothing is run.

Texts are cut to MOST_TEXT characters, patterns from suites run with a time limit, and numbers are read digit by digit
within MOST_DIGITS.
"""

from __future__ import annotations

import ast
import re
import unicodedata
from collections import deque
from fractions import Fraction
from functools import lru_cache
from typing import Any

from orionlm.errors import UserError
from orionlm.tasks.generators.expression import evaluate
from orionlm.tasks.task import Extraction, Form

MOST_TEXT = 1 << 16
MOST_DIGITS = 400
MOST_WORD = 1000
MOST_PATTERN = 500
MOST_REPEATS = 1000
SECONDS = 1.0

_NUMBER = re.compile(
    r"(?:(?<![\w)])[-−+]\s?)?[$€£]?"
    r"(?:(?:\d{1,3}(?:,\d{3})+(?![\d])|(?<!_)\d{1,3}(?:_\d{3})+(?![\d_])|\d+)(?:\.\d+)?|(?<!\d)\.\d+)"
    r"(?:[eE][-−+]?\d+|\s?/\s?\d+(?![\d./])|[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞])?"
    r"|(?:(?<![\w)])[-−+]\s?)?[½⅓⅔¼¾⅕⅖⅗⅘⅙⅚⅛⅜⅝⅞]"
)
_WHOLE = re.compile(
    r"([-+]?)\s?[$€£]?([0-9]+(?:,[0-9]+)*|[0-9]+(?:_[0-9]+)*|)(?:\.([0-9]*))?(?:[eE]([-+]?[0-9]+))?(?:\s?/\s?([0-9]+))?\s?%?"
)
_LETTER = (
    re.compile(r"(?i:\banswer\b(?:\s{1,4}is\b)?\s{0,4}[:=]?)[\s*_(\[$\"'`]{0,8}([A-Z])(?![\w'’])"),
    re.compile(r"\\boxed\{\s{0,4}(?:\\text\{\s{0,4})?\(?([A-Z])\)?\s{0,4}\}"),
    re.compile(r"^[\s*_(\[\"'`]{0,8}([A-Z])(?:[\s*_)\]\"'`.:,]{0,8}$|[).:]\s|\*\*)", re.MULTILINE),
)
_FENCE = re.compile(r"^[ \t]*```[^\n`]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_REPEAT = re.compile(r"\{(\d*)(?:,(\d*))?\}")
_RECURSION = re.compile(r"\(\?(?:R|&|P>|[-+]?\d)")


def check_pattern(pattern: str) -> None:
    """UserError for a pattern that is wrong, or so built that trying it could take all time or memory."""
    shown = pattern if len(pattern) <= 40 else pattern[:39] + "…"
    if len(pattern) > MOST_PATTERN:
        raise UserError(f"pattern {shown!r}: {len(pattern)} characters; write at most {MOST_PATTERN}")
    repeats = 1
    for counts in _REPEAT.findall(pattern):
        repeats *= max([1, *(int(count[:9]) for count in counts if count)])
    if repeats > MOST_REPEATS:
        raise UserError(
            f"pattern {shown!r}: its counts multiply to {repeats:.2g}; keep them within {MOST_REPEATS}, or use + or *"
        )
    if _RECURSION.search(pattern):
        raise UserError(f"pattern {shown!r}: calls itself, which has no bound; write it without recursion")
    import regex

    try:
        _compiled(pattern, False)
    except (regex.error, RecursionError, ValueError) as error:
        problem = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise UserError(f"pattern {shown!r}: not a regular expression: {problem}") from None


def find(text: str, extraction: Extraction) -> str | None:
    """The part of `text` that is the answer. Raises TimeoutError where the pattern takes longer than SECONDS."""
    first = extraction.take == "first"
    text = text[:MOST_TEXT] if first else text[-MOST_TEXT:]
    if extraction.pattern is not None:
        return _matched(text, extraction)
    if extraction.form == "number":
        return _pick(_NUMBER, text, first)
    if extraction.form == "letter":
        return next((found for rule in _LETTER if (found := _pick(rule, text, first, group=1))), None)
    if extraction.form == "expression":
        lines = [line.strip(" \t*`$.\r") for line in text.split("\n")]
        lines = [line.split("=")[0].strip() for line in lines if line]
        return (lines[0] if first else lines[-1]) if lines else None
    return text


def canonical(found: str, form: Form) -> str | None:
    """One writing for all answers that are the same, as votes are counted; None for what has not the form."""
    if form == "number":
        value = number(found)
        return None if value is None else str(value)
    if form == "letter":
        letter = _normal(found).strip().strip("()[].:*").upper()
        return letter if len(letter) == 1 and "A" <= letter <= "Z" else None
    if form == "text":
        return " ".join(" ".join(_normal(word).casefold() for word in found.split()).split()) or None
    if form == "words":
        return ", ".join(part for part in re.split(r"[\s,]+", found.strip(" \t\r\n[]")) if part) or None
    if form == "expression":
        try:
            evaluate(found)
        except ValueError:
            return None
        return "".join(found.split())
    return found if found else None


def _normal(word: str) -> str:
    """In Unicode's form NFKC; a word that no one would write as it is, since the marks on one letter are sorted in the
    square of their number."""
    return word if len(word) > MOST_WORD else unicodedata.normalize("NFKC", word)


def number(text: str) -> Fraction | None:
    """The exact value of a number as people and models write it, or None: "1,234.50", "-0", "½", "3/4", "1e3", "١٢".

    Separators must stand where thousands do. Beyond MOST_DIGITS, and for NaN and infinities, there is none.
    """
    text = text.strip()
    if len(text) > MOST_DIGITS:
        return None
    vulgar = Fraction(0)
    if text and unicodedata.category(text[-1]) == "No" and unicodedata.decomposition(text[-1]).startswith("<fraction>"):
        over, under = unicodedata.normalize("NFKC", text[-1]).split("⁄")
        if not under:  # ⅟, a numerator alone
            return None
        vulgar, text = Fraction(int(over), int(under)), text[:-1].rstrip()
        if text in ("", "-", "−", "+"):
            text += "0"
    plain = "".join(str(unicodedata.decimal(letter, letter)) for letter in text).replace("−", "-")
    found = _WHOLE.fullmatch(plain)
    if not found:
        return None
    sign, whole, decimals, exponent, divisor = found.groups()
    if not whole and not decimals or (vulgar and (decimals is not None or exponent or divisor)):
        return None
    for separator in ",_":
        groups = whole.split(separator)
        if len(groups) > 1 and not (1 <= len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
            return None
    power = int(exponent or 0)
    if abs(power) > MOST_DIGITS or (divisor and not int(divisor)):
        return None
    digits = whole.replace(",", "").replace("_", "") + (decimals or "")
    value = Fraction(int(digits)) * Fraction(10) ** (power - len(decimals or "")) / int(divisor or 1) + vulgar
    return -value if sign == "-" else value


def same(found: str, right: Any, extraction: Extraction) -> bool:
    """Whether a canonical answer is `right` (text, a number; for expressions {"numbers": […], "target": n})."""
    if extraction.form == "expression":
        value, used = evaluate(found)
        return value == right["target"] and sorted(used) == sorted(right["numbers"])
    if extraction.form == "number":
        wanted = number(str(right))
        value_found = number(found)
        assert wanted is not None and value_found is not None, (right, found)
        return abs(value_found - wanted) <= Fraction(str(extraction.tolerance)) * abs(wanted)
    return found == canonical(str(right), extraction.form)


def code(text: str, entry_point: str = "", prompt: str = "") -> str:
    """The program a text holds: a fenced block if there is one (that with `entry_point`, else the last), else the text.

    It goes on from `prompt`; where it defines `entry_point` anew the prompt still brings imports and helpers, if it is
    whole Python by itself.
    """
    text = text[:MOST_TEXT]
    blocks = [found.group(1) for found in _FENCE.finditer(text)] if "```" in text else []
    definition = re.compile(rf"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+{re.escape(entry_point)}\b", re.MULTILINE)
    defining = [block for block in blocks if entry_point and definition.search(block)]
    program = (defining or blocks or [text])[-1]
    if not (entry_point and definition.search(program)):
        return prompt + program
    try:
        ast.parse(prompt)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two of what is nested too deeply
        return program
    return f"{prompt}\n{program}"


def _pick(rule: re.Pattern[str], text: str, first: bool, group: int = 0) -> str | None:
    every = rule.finditer(text)
    found = next(every, None) if first else next(iter(deque(every, maxlen=1)), None)
    return found.group(group) if found else None


def _matched(text: str, extraction: Extraction) -> str | None:
    assert extraction.pattern is not None
    every = _compiled(extraction.pattern, extraction.ignore_case).finditer(text, timeout=SECONDS)
    last = next(every, None) if extraction.take == "first" else next(iter(deque(every, maxlen=1)), None)
    if last is None:
        return None
    groups: tuple[str | None, ...] = last.groups()
    return next((group for group in groups if group), last.group() if not groups else "").strip()


@lru_cache(maxsize=256)
def _compiled(pattern: str, ignore_case: bool) -> Any:
    import regex

    return regex.compile(pattern, regex.IGNORECASE if ignore_case else 0)

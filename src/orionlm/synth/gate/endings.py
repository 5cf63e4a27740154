"""Do rows stop in the middle, where real texts come to an end?

What an end looks like is learned from the real texts themselves: a logistic regression tells the last characters of
each from those of the same text cut at a random letter or between two words. Its answers on real texts are of the half
that it did not learn from. So it knows the ends of prose, of lists, of programs; nothing is said about full stops.
Python is parsed too where most of the real texts parse.
"""

from __future__ import annotations

import ast
import re
import warnings
import zlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from scipy.special import expit

from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import FEWEST, Measure, more_often, not_measured

Array = np.ndarray
FAULT = "truncation"
# Of rows. How well an end can be told differs by text: of cut docstrings 80 to 90% are seen and 10 to 20% of whole ones
# taken for cut, whatever share that is it is the same on both sides of real against held-out real, which reaches ±.09.
MARGIN = 0.18
CUTS = 4  # of each text: two at a letter, two between words
LOOKED_AT = 400  # characters
BUCKETS = 1 << 10
PENALTY = 1.0
LONGEST_PROGRAM = 30_000  # characters that are parsed
OPEN_ENDED = ("list", "table", "math", "code")  # formats whose last line need be no sentence
_TOKEN = re.compile(r"\w+|[^\w\s]|\n[ \t]*")
_WORD = re.compile(r"\w+$")


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    flags = np.zeros(len(sides.rows), bool)
    # A row that goes round in circles ends anywhere: that fault has a name already.
    asked = np.array([format not in OPEN_ENDED for format in sides.format], bool) & ~sides.circling
    some = sides.random(12).permutation(len(sides.real))[:50]
    program = bool(len(some)) and parses([sides.bare_real[n] for n in some]).mean() > 0.5
    if program:  # what is said of programs ends otherwise than they do
        asked &= sides.as_real
    learned, compared = sides.halves
    if asked.sum() < min(FEWEST, len(asked)):
        return [not_measured("cut ends", FAULT, "too few rows whose end should be that of a real text")], flags
    if len(learned) < 10:
        return [not_measured("cut ends", FAULT, "too few real texts to learn an end from")], flags
    against = np.zeros(len(sides.real), bool)
    chance = np.zeros(len(sides.rows))
    for number, (here, there) in enumerate(((learned, compared), (compared, learned))):
        ends = Ends([sides.bare_real[n] for n in here], sides.random(10 + number), program)
        against[there] = ends.cut([sides.bare_real[n] for n in there]) > 0.5
        chance += ends.cut(sides.inner_rows) / 2
    flags = asked & (chance > 0.5)
    return [more_often("cut ends", FAULT, flags[asked], against, MARGIN, owners=sides.owners(asked))], flags * chance


class Ends:
    """What the ends of these texts look like, beside the same texts cut."""

    def __init__(self, texts: Sequence[str], rng: np.random.Generator, program: bool) -> None:
        self.program = program
        seen = Counter(word for text in texts for word in set(re.findall(r"\w+", text.lower())))
        self.known = {word for word, count in seen.items() if count > 1}
        self.line = float(np.median([len(line) for text in texts for line in text.splitlines() if line.strip()] or [1]))
        pieces = [
            _cut(text, rng, between) for text in texts if len(text) > 20 for between in (False, True) * (CUTS // 2)
        ]
        y = np.repeat([0.0, 1.0], [len(texts), len(pieces)])
        x = self._features([*texts, *pieces])
        weight = np.where(y == 1, len(texts) / max(1, len(pieces)), 1.0)

        def loss(w: Array) -> tuple[float, Array]:
            z = x @ w
            error = weight * (expit(z) - y)
            value = float((weight * (np.logaddexp(0, z) - y * z)).sum() + PENALTY / 2 * w @ w)
            return value, x.T @ error + PENALTY * w

        self.weights = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", options={"maxiter": 60}).x

    def cut(self, texts: Sequence[str]) -> Array:
        """The probability that each is cut, as likely beforehand as not."""
        return expit(self._features(texts) @ self.weights) if texts else np.zeros(0)

    def _features(self, texts: Sequence[str]) -> csr_matrix:
        index: list[int] = []
        begins = [0]
        whole = parses(texts) if self.program else np.zeros(len(texts), bool)
        for text, is_whole in zip(texts, whole, strict=True):
            index += [zlib.crc32(name.encode()) % BUCKETS for name in self._signs(text, bool(is_whole))]
            begins.append(len(index))
        shape = (len(texts), BUCKETS)
        return csr_matrix((np.ones(len(index)), np.array(index, np.int64), np.array(begins, np.int64)), shape)

    def _signs(self, text: str, whole: bool) -> list[str]:
        text = text.rstrip()
        if not text:
            return ["empty"]
        end = text[-LOOKED_AT:]
        tokens = [_kind(token) for token in _TOKEN.findall(end)[-4:]]
        word = _WORD.search(end)
        last = end[end.rfind("\n") + 1 :]
        signs = ["any", f"1 {tokens[-1]}", f"2 {tokens[-2:]}", f"3 {tokens[-3:]}", f"whole {whole and self.program}"]
        if word:
            said = word.group().lower()
            signs += [f"word {said}" if len(said) < 8 else "word", f"known {said in self.known} {len(said) > 3}"]
        for opening, closing in ("()", "[]", "{}"):
            signs.append(f"open {opening} {np.sign(end.count(opening) - end.count(closing))}")
        for quote in ('"', "`", "'", "$", "*"):
            signs.append(f"odd {quote} {last.count(quote) % 2}")
        signs.append(f"line {min(4, int(4 * len(last.strip()) / self.line))}")
        signs.append(f"indent {min(3, (len(last) - len(last.lstrip())) // 4)} {tokens[-1]}")
        signs.append(f"fence {text.count('```') % 2}")
        return signs


def parses(texts: Sequence[str]) -> Array:
    """Which are programs in Python from beginning to end; a single name or sentence is none. Nothing is run."""
    found = np.zeros(len(texts), bool)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, text in enumerate(texts):
            try:
                body = ast.parse(text[:LONGEST_PROGRAM]).body
            except (SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            found[number] = any(not isinstance(part, ast.Expr) for part in body)
    return found


def trimmed(text: str) -> str:
    """The text up to its last whole sentence, or line of a program; "" where that is less than half of it."""
    ends = [match.end() for match in re.finditer(r"[.!?。！？][\"'”’)\]]*(?=\s|$)|\n(?=\S)", text)]
    kept = text[: ends[-1]].rstrip() if ends else ""
    return kept if 2 * len(kept) >= len(text) else ""


def _cut(text: str, rng: np.random.Generator, between: bool) -> str:
    at = int(len(text) * rng.uniform(0.15, 0.95))
    if between:
        while at > 1 and not text[at].isspace():
            at -= 1
    return text[: max(1, at)]


def _kind(token: str) -> str:
    if token[0] == "\n":
        return "\n" + str(min(3, (len(token) - 1) // 4))
    if token.isdigit():
        return "0"
    if token[0].isalnum() or token[0] == "_":
        return "A" if token[0].isupper() else "a"
    return token

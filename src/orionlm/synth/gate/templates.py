"""Do phrases that real texts do not share run through the rows?

A phrase is three words and signs in a row near either end of a text, or five anywhere. It is a template's where three
times as many rows as real texts have it and chance does not explain it (five standard errors: thousands of phrases are
looked at). Rows that say the same thing altogether count once: that is `collapse`. Words that a declared format brings
are none, they go first (`content.plain`), and so do the questions of a list of questions. A rephrasing teacher has
turns of its own all the same: of rows in a declared format only phrases of eight words count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from orionlm.synth.gate.content import Tokens, said, words
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often
from orionlm.synth.measures.grams import _TOKEN

Array = np.ndarray
FAULT = "templates"
EDGE, SHORT, LONG = 30, 3, 5
DECLARED = 8
TIMES, ERRORS = 3.0, 5.0
MARGIN = 0.1  # of rows; real against held-out real reaches .04 (300 a side)


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    """Leaves the rows that should look like real text without the phrases."""
    flags, marked = np.zeros(len(sides.rows), bool), np.zeros(len(sides.real), bool)
    shown = ""
    for declared in (False, True):
        places = np.flatnonzero(sides.as_real != declared)
        if not len(places):
            continue
        texts, against = [sides.bare_rows[n] for n in places], sides.bare_real
        first = sides.first_of_family[places]
        if declared:  # signs are the format's
            texts = [" ".join(words(said(text, sides.format[n]))) for text, n in zip(texts, places, strict=True)]
            against = [" ".join(words(text)) for text in against]
        real, rows = sides.tokens(against), sides.tokens(texts)
        found = np.zeros(len(rows), bool)
        phrases: list[tuple[int, Array]] = []
        for n, edge in ((DECLARED, 0),) if declared else ((SHORT, EDGE), (LONG, 0)):
            shared = _shared(rows, real, first, n, edge, sides.judges)
            phrases.append((n, shared))
            for tokens, hit in ((rows, found), (real, marked)):
                gram, text = _edges(tokens, n, edge)
                hit[text[np.isin(gram, shared)]] = True
        if not declared:
            for place, left in zip(places.tolist(), _without(texts, rows, phrases, found), strict=True):
                sides.inner_rows[place] = left
        flags[places] = found
        shown = shown or _shown(texts, rows, phrases)
    once = flags & sides.first_of_family
    return [
        more_often("phrases that only rows share", FAULT, once, marked, MARGIN, shown, owners=sides.owners())
    ], flags


def _edges(tokens: Tokens, n: int, edge: int) -> tuple[Array, Array]:
    """Runs of n, near either end alone where `edge` is not 0."""
    gram, text = tokens.runs(n)
    if edge:
        start = np.cumsum(np.bincount(text, minlength=len(tokens))) - np.bincount(text, minlength=len(tokens))
        place = np.arange(len(gram)) - start[text]
        near = (place < edge) | (place >= np.bincount(text, minlength=len(tokens))[text] - edge)
        gram, text = gram[near], text[near]
    return gram, text


def _held(tokens: Tokens, keep: Array, n: int, edge: int) -> tuple[Array, Array]:
    gram, text = _edges(tokens, n, edge)
    gram, text = gram[keep[text]], text[keep[text]]
    order = np.lexsort((text, gram))
    gram, text = gram[order], text[order]
    new = np.ones(len(gram), bool)
    new[1:] = (gram[1:] != gram[:-1]) | (text[1:] != text[:-1])
    return np.unique(gram[new], return_counts=True)


def _shared(rows: Tokens, real: Tokens, first: Array, n: int, edge: int, judges: int) -> Array:
    """The phrases that `judges` real texts, at least as many as `real`, would find if they were like these."""
    gram, count = _held(rows, first, n, edge)
    known, times = _held(real, np.ones(len(real), bool), n, edge)
    here, there = max(1, int(first.sum())), max(1, len(real))
    other = np.zeros(len(gram))
    if len(known):
        place = np.minimum(np.searchsorted(known, gram), len(known) - 1)
        other = np.where(known[place] == gram, times[place], 0)
    p, q = count / here, other / there
    sure = max(there, judges)
    pooled = (count + q * sure) / (here + sure)
    error = np.sqrt(pooled * (1 - pooled) * (1 / here + 1 / sure))
    return gram[(p >= TIMES * q) & (p - q >= ERRORS * np.maximum(error, 1e-12))]


def _covered(tokens: Tokens, phrases: Sequence[tuple[int, Array]]) -> Array:
    """Which words stand in one of the phrases."""
    inside = np.zeros(len(tokens.digests) + 1, np.int64)
    for n, shared in phrases:
        gram, text = tokens.runs(n)
        count = np.bincount(text, minlength=len(tokens))
        place = tokens.begins[text] + np.arange(len(gram)) - (np.cumsum(count) - count)[text]
        hit = place[np.isin(gram, shared)]
        np.add.at(inside, hit, 1)
        np.add.at(inside, hit + n, -1)
    return np.cumsum(inside[:-1]) > 0


def _without(texts: Sequence[str], tokens: Tokens, phrases: Sequence[tuple[int, Array]], flags: Array) -> list[str]:
    covered = _covered(tokens, phrases) if flags.any() else np.zeros(0, bool)
    left = []
    for number, text in enumerate(texts):
        if not flags[number] or len(lowered := text.lower()) != len(text):
            left.append(text)
            continue
        gone = covered[tokens.begins[number] : tokens.begins[number + 1]]
        pieces, at = [], 0
        for match, out in zip(_TOKEN.finditer(lowered), gone, strict=True):
            if out:
                pieces.append(text[at : match.start()])
                at = match.end()
        left.append("".join([*pieces, text[at:]]).strip(" \n:,;"))
    return left


def _shown(texts: Sequence[str], tokens: Tokens, phrases: Sequence[tuple[int, Array]]) -> str:
    """One of the phrases, the most common one."""
    size, shared = phrases[0]
    gram, text = tokens.runs(size)
    hit = np.isin(gram, shared)
    if not hit.any():
        return ""
    found, count = np.unique(gram[hit], return_counts=True)
    where = int(np.flatnonzero(gram == found[np.argmax(count)])[0])
    number = int(text[where])
    place = where - int(np.searchsorted(text, number))
    found_words = [match.group() for match in _TOKEN.finditer(texts[number].lower())]
    return "such as " + repr(" ".join(found_words[place : place + size + 3]))

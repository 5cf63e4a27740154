"""Does a row go round in circles?

*Loops*: the share of a row's words in the same piece of up to 200 of them said three times or more without a break, as
models drawn at a low temperature fall into (Holtzman et al. 1904.09751). *Said again*: the share of its words in runs
of six that come three times or more anywhere. Both against real texts: by rank, and by the share of rows beyond the 95%
point of one half of them.
"""

from __future__ import annotations

import numpy as np

from orionlm.synth.gate.content import Tokens, said
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often, ranks_higher

Array = np.ndarray
FAULT = "repetition"
LONGEST_PERIOD = 200
TIMES, GRAM = 3, 6
LOOPED = 0.2  # of a row's words: it is a loop
RANK_MARGIN = 0.25  # of Cliff's delta; real against held-out real reaches ±.12 (300 a side)
MARGIN = 0.12  # of rows; the interval of real against held-out real reaches .05 (200 a side)


def loops(tokens: Tokens) -> Array:
    """The share of each text's words that stand in a piece said `TIMES` times in a row."""
    digests, begins = tokens.digests, tokens.begins
    text = np.repeat(np.arange(len(tokens)), tokens.lengths)
    inside = np.zeros(len(digests) + 1, np.int64)
    for period in range(1, LONGEST_PERIOD + 1):
        if len(digests) <= TIMES * period:
            break
        same = (digests[period:] == digests[:-period]) & (text[period:] == text[:-period])
        least = max((TIMES - 1) * period, 8)
        edges = np.flatnonzero(np.diff(np.concatenate([[0], same.view(np.int8), [0]])))
        start, end = edges[::2], edges[1::2]
        long = end - start >= least
        np.add.at(inside, start[long], 1)
        np.add.at(inside, end[long] + period, -1)
    covered = np.cumsum(inside[:-1]) > 0
    return (
        np.add.reduceat(np.append(covered, False).astype(float), begins[:-1])
        * (tokens.lengths > 0)
        / np.maximum(tokens.lengths, 1)
        if len(tokens)
        else np.zeros(0)
    )


def said_again(tokens: Tokens) -> Array:
    """The share of each text's runs of words that it has `TIMES` times or more; a text pasted twice is one."""
    gram, text = tokens.runs(GRAM)
    order = np.lexsort((gram, text))
    gram, text = gram[order], text[order]
    first = np.flatnonzero(np.append(True, (gram[1:] != gram[:-1]) | (text[1:] != text[:-1]))[: len(gram)])
    count = np.diff(np.append(first, len(gram)))
    owner = text[first]
    least = np.where(_twice(tokens), 2 * TIMES - 1, TIMES)[owner]
    total = np.bincount(owner, count, minlength=len(tokens))
    return np.bincount(owner, count * (count >= least), minlength=len(tokens)) / np.maximum(total, 1)


def _twice(tokens: Tokens) -> Array:
    found = np.zeros(len(tokens), bool)
    for number, (begin, end) in enumerate(zip(tokens.begins[:-1], tokens.begins[1:], strict=True)):
        half = (end - begin) // 2
        if half >= 2 * GRAM:
            piece = tokens.digests[begin:end]
            found[number] = np.array_equal(piece[:half], piece[-half:])
    return found


def _said(sides: Sides) -> list[str]:
    """The questions of a declared form are its own."""
    return [said(text, format) for text, format in zip(sides.bare_rows, sides.format, strict=True)]


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    real, rows = sides.real_tokens, sides.tokens(_said(sides))
    again = said_again(real), said_again(rows)
    looped = loops(real), loops(rows)
    found = [ranks_higher("said again", FAULT, again[1], again[0], RANK_MARGIN, owners=sides.owners())]
    flags = looped[1] >= LOOPED
    found.append(more_often("loops", FAULT, flags, looped[0] >= LOOPED, MARGIN, owners=sides.owners()))
    learned, compared = sides.halves
    limit = max(LOOPED, float(np.quantile(again[0][learned], 0.95))) if len(learned) else LOOPED
    many = again[1] > limit
    beyond, owners = f"beyond {limit:.2f}", sides.owners(real=compared)
    found.append(
        more_often("said again and again", FAULT, many, again[0][compared] > limit, MARGIN, beyond, owners=owners)
    )
    sides.circling = (flags | many) & any(one.verdict == "fails" for one in found)
    return found, flags | many

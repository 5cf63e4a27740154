"""Which part of a long document is a teacher shown?"""

from __future__ import annotations

import numpy as np


def passage(text: str, most: int, chance: np.random.Generator) -> str:
    """At most `most` characters of whole paragraphs, else of whole lines, else of whole words, from a place that chance
    says; all of a short text."""
    text = text.strip()
    if len(text) <= most:
        return text
    starts = [0, *(place + 2 for place in _found(text, "\n\n") if len(text) - place > most // 2)]
    if len(starts) == 1:
        starts += [place + 1 for place in _found(text, "\n") if len(text) - place > most // 2]
    text = text[starts[int(chance.integers(len(starts)))] :]
    if len(text) <= most:
        return text.strip()
    for mark in ("\n\n", "\n", " "):
        end = text.rfind(mark, most // 2, most)
        if end > 0:
            return text[:end].strip()
    return text[:most].strip()


def _found(text: str, mark: str) -> list[int]:
    places, place = [], text.find(mark)
    while place >= 0:
        places.append(place)
        place = text.find(mark, place + 1)
    return places

"""Are rows in a language that the real text is not in? By fastText's lid.176, as in curation (`data.quality.language`).

The languages of the real texts are those that at least 5% of them are in. A row is in another where none of these has a
half of the probability and another language is likelier.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from orionlm.errors import UserError
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often, not_measured

Array = np.ndarray
FAULT = "wrong language"
COMMON = 0.05  # of real texts
SURE = 0.5
MARGIN = 0.08  # of rows; real against held-out real reaches ±.03 (300 a side, code the noisiest)


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    flags = np.zeros(len(sides.rows), bool)
    try:
        seen = Counter(_languages(sides.real))
    except UserError:
        return [not_measured("another language", FAULT, "needs the extra data: pip install 'orion-lm[data]'")], flags
    told = sum(count for language, count in seen.items() if language)
    keep = tuple(language for language, count in sorted(seen.items()) if language and count >= max(2, COMMON * told))
    if not keep:
        return [not_measured("another language", FAULT, "the real text's language cannot be told")], flags
    flags = _others(sides.rows, keep)
    return [
        more_often(
            "another language",
            FAULT,
            flags,
            _others(sides.real, keep),
            MARGIN,
            "real: " + ", ".join(keep),
            owners=sides.owners(),
        )
    ], flags


def _languages(texts: Sequence[str]) -> list[str]:
    """The likeliest language of each text, "" where it has too few letters to tell."""
    found = _check(("en",), 0.0, texts)
    return [
        next((name.removeprefix("language ") for name in counts if "cannot" not in name), "") for _, counts in found
    ]


def _others(texts: Sequence[str], keep: tuple[str, ...]) -> Array:
    return np.array([reason == "other language" for reason, _ in _check(keep, SURE, texts)], bool)


def _check(keep: tuple[str, ...], threshold: float, texts: Sequence[str]) -> list[tuple[str, dict[str, int]]]:
    from orionlm.data.documents import Document
    from orionlm.data.quality.language import Settings, checker

    check = checker(Settings(keep=keep, threshold=threshold, short=0, exempt=()))
    verdicts = check([Document(text, "", "", "") for text in texts])
    return [(verdict.reason, dict(verdict.counts)) for verdict in verdicts]

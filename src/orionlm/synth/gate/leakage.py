"""Do rows hold what models will be measured on: items of suites, or held-out text?

Items are looked for as in decontamination (`data.decontamination.overlap`: word for word, near copies, renamed code);
held-out text as copies are (`copying`). One row in fifty is too many, whatever the real text holds: it goes anyway, but
a writer that knows the questions will have told more of them than are found.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from orionlm.synth.gate.content import Tokens
from orionlm.synth.gate.copying import COMMON, RUN, Known
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often, not_measured

Array = np.ndarray
FAULT = "evaluation leakage"
MARGIN = 0.02  # of rows; 0 of 135 rows and more lie within


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    from orionlm.data.decontamination.overlap import Index

    found, none = np.zeros(len(sides.rows), bool), np.zeros(len(sides.real), bool)
    measures = []
    if sides.suites:
        index = Index(sides.suites)
        found |= np.array([bool(hits) for hits in index.find(sides.rows)], bool)
        measures.append(more_often("items of suites", FAULT, found, none, MARGIN, owners=sides.owners()))
    else:
        measures.append(not_measured("items of suites", FAULT, "no suites were given"))
    if sides.held_out:
        held, known = _known(tuple(sides.held_out)), Known(sides.real_tokens, RUN)
        gram, text = sides.row_tokens.runs(RUN)
        place = held.find(gram)
        few = (place >= 0) & (held.texts[place] <= COMMON) if len(held.grams) else np.zeros(len(gram), bool)
        few &= known.find(gram) < 0  # what stands in the text trained on leaks by itself
        flags = np.zeros(len(sides.rows), bool)
        flags[text[few]] = True
        found |= flags
        measures.append(more_often("held-out text", FAULT, flags, none, MARGIN, owners=sides.owners()))
    return measures, found


@lru_cache(maxsize=1)
def _known(texts: tuple[str, ...]) -> Known:
    """The same held-out text is asked of at every step of mending."""
    return Known(Tokens(texts), RUN)

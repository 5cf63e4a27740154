"""Are rows longer or shorter than real text? Only asked of rows that are meant to look like it.

By rank, so that no single long text decides; and how many lie outside the middle 80% of one half of the real texts,
so that a mixture of short and long ones is no medium. Characters without white space at the ends.
"""

from __future__ import annotations

import numpy as np

from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, more_often, not_measured, ranks_higher

Array = np.ndarray
FAULT = "length shift"
# Cliff's delta: halving lengths that are log-normal with deviation s gives 2Φ(.69/(s√2)) − 1, .46 at s = .8 and .32 at
# 1.2; the interval of real against held-out real reaches .24 (300 a side, the worst of 100).
RANK_MARGIN = 0.25
OUTSIDE_MARGIN = 0.22


def lengths(texts: list[str]) -> Array:
    return np.array([len(text.strip()) for text in texts], float)


def measure(sides: Sides) -> tuple[list[Measure], Array]:
    none = np.zeros(len(sides.rows), bool)
    if sides.pieces:
        return [not_measured("length", FAULT, "pieces of texts are as long as they were cut")], none
    if not sides.some_as_real:
        return [not_measured("length", FAULT, "another format is declared")], none
    real, rows = lengths(sides.real), lengths(sides.rows)[sides.as_real]
    learned, compared = sides.halves
    found = [ranks_higher("length", FAULT, rows, real, RANK_MARGIN, two_sided=True, owners=sides.owners(sides.as_real))]
    if len(learned):
        low, high = np.quantile(real[learned], [0.1, 0.9])
        outside, against = ((values < low) | (values > high) for values in (rows, real[compared]))
        note = f"outside {low:.0f} to {high:.0f} characters"
        found.append(
            more_often(
                "very short or long",
                FAULT,
                outside,
                against,
                OUTSIDE_MARGIN,
                note,
                owners=sides.owners(sides.as_real, compared),
            )
        )
    return found, none

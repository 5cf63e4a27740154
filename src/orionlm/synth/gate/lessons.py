"""Would a student learn anything from these rows that the real text at hand does not teach?

By the cheapest student there is, a model of counts (`measures.count_model`): of all that the gate measures, its worth
foretells best what students make of a set (benchmarks/gate_predicts.py). It fails where the rows teach less than
nothing: one text over and over, the real text again.
"""

from __future__ import annotations

import numpy as np

from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import Measure, judged
from orionlm.synth.measures.count_model import worth

FAULT = "teaches nothing"
NAME = "doublings of real text lost"
MARGIN = 0.0


def measure(sides: Sides) -> tuple[list[Measure], np.ndarray]:
    found = worth(sides.real, sides.groups.tolist(), sides.rows, [row.seeds for row in sides.given], sides.seed)
    n = (len(sides.real), len(sides.rows))
    # What it is worth, turned: a loss is a fault. Other faults explain it, so it weighs next to nothing among them.
    told = judged(
        NAME, FAULT, -found.value, -found.high, -found.low, MARGIN, size=0.01, n=n, note="by a model of counts"
    )
    return [told], np.zeros(len(sides.rows), bool)

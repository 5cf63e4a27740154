"""May these rows stand beside this real text? Every family of faults is looked for; the worst of all decides."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict
from threadpoolctl import threadpool_limits

from orionlm.synth.gate import (
    collapse,
    copying,
    declared,
    distances,
    endings,
    language,
    leakage,
    lengths,
    repetition,
    residue,
    templates,
    topics,
)
from orionlm.synth.gate.content import LONGEST
from orionlm.synth.gate.sides import Sides
from orionlm.synth.gate.verdict import FEWEST, Measure, Verdict, overall
from orionlm.synth.rows import Row

Array = np.ndarray
# In this order: residue goes before phrases are looked for, copies of one another before phrases they share, and
# phrases before ends and topics are compared.
FAMILIES = {
    "leakage": leakage,
    "copying": copying,
    "language": language,
    "residue": residue,
    "repetition": repetition,
    "collapse": collapse,
    "templates": templates,
    "topics": topics,
    "endings": endings,
    "lengths": lengths,
    "format": declared,
}


class GateSettings(BaseModel):
    """`format`: what the rows were asked to look like: "as real" text by default, a format's name (see `declared`), one
    for each method ({ "rephrase/faq" = "faq" }), or "declared": as each row says (`more`'s format). `pieces`: texts and
    rows were cut to some length, which therefore says nothing. `embed`: a folder with a model2vec model, by which the
    described distances are measured; else by hashed words."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    format: str | dict[str, str] = "as real"
    pieces: bool = False
    embed: Path | None = None


@dataclass(frozen=True)
class Report:
    """`faults`: what was found, the one that explains most first; `score`: what the rows would teach. `bad`: by family,
    how bad each row is (0: not at all); `usual`: which share of real texts has it too."""

    verdict: Verdict
    faults: list[str]
    measures: list[Measure]
    score: float
    n_real: int
    n_synthetic: int
    bad: Mapping[str, Array] = field(default_factory=dict, repr=False)
    usual: Mapping[str, float] = field(default_factory=dict, repr=False)
    documents: int = 0  # that the real texts came from
    note: str = ""  # why it is not what the measures say

    @property
    def families(self) -> dict[str, str]:
        """Family of measures → its fault."""
        return {name: family.FAULT for name, family in FAMILIES.items()}

    def says(self) -> str:
        of = f"{self.n_synthetic:,} rows against {self.n_real:,} real texts"
        of += f", score {self.score:.2f}" if math.isfinite(self.score) else ""
        if self.verdict == "rejected":
            return f"rejected: {', '.join(self.faults)}{self.note and '; ' + self.note}; {of}"
        if self.verdict == "cannot tell":
            if min(self.n_real, self.n_synthetic) < FEWEST:
                return f"cannot tell: {of}; {FEWEST} of either are the fewest"
            unsure = {one.name: math.isfinite(one.value) for one in self.measures if one.verdict == "cannot tell"}
            why = "more rows and real texts narrow the intervals"
            if self.note:
                return f"cannot tell: {self.note}; {of}"
            if self.documents < FEWEST and self.documents < self.n_real:
                why = f"the real texts are pieces of {self.documents} documents; more of these narrow the intervals"
            elif not any(unsure.values()):
                why = next((one.note for one in self.measures if one.verdict == "cannot tell" and one.note), "")
            return f"cannot tell: {', '.join(unsure)}; {of}{why and '; ' + why}"
        left = [measure.name for measure in self.measures if measure.verdict == "not measured"]
        return f"admitted: {of}" + (f"; not measured: {', '.join(left)}" if left else "")

    def to_json(self) -> dict[str, Any]:
        return {
            "verdict": self.verdict,
            "faults": self.faults,
            "score": round(self.score, 6) if math.isfinite(self.score) else None,
            "n_real": self.n_real,
            "n_synthetic": self.n_synthetic,
            "says": self.says(),
            **({"note": self.note} if self.note else {}),
            "measures": [measure.to_json() for measure in self.measures],
        }


# Vectors are short and matrices sparse: threads of BLAS would only wait for one another.
@threadpool_limits.wrap(limits=1, user_api="blas")
def gate(
    real: Sequence[str],
    rows: Sequence[Row],
    settings: GateSettings | None = None,
    *,
    seed: int = 0,
    held_out: Sequence[str] = (),
    suites: Sequence[Any] = (),
    groups: Sequence[str] = (),
    describe: bool = True,
    judges: int = 0,
) -> Report:
    """`suites`: of `tasks.suite`; `held_out`: text that models will be measured on. `groups`: which document each real
    text is (a piece of), as the rows' `seeds` name them. `describe`: also say what the rows would teach, and how far
    they are by the field's distances. `judges`: see `Sides`. Rows that `sorted_out` leaves out do not count."""
    settings = settings or GateSettings()
    usable, _ = sorted_out(rows)
    formats = declared.formats(settings.format, usable)
    sides = Sides(real, usable, seed, formats, held_out, suites, groups, settings.pieces, settings.embed, judges)
    measures: list[Measure] = []
    bad: dict[str, Array] = {}
    usual: dict[str, float] = {}
    if min(len(sides.real), len(sides.rows)) >= 2:
        for name, family in FAMILIES.items():
            found, rows_of_it = family.measure(sides)
            bad[name] = np.asarray(rows_of_it, float)
            usual[name] = max((one.against or 0.0 for one in found), default=0.0)
            measures += found
        measures += distances.measure(sides) if describe else []
    verdict, faults = overall(measures)
    return Report(
        verdict, faults, measures, score(measures), len(sides.real), len(sides.rows), bad, usual, len(set(sides.groups))
    )


def sorted_out(rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
    """The rows that can be judged, and the others, each with its reason: they had one, are empty, or are too long to be
    looked at from end to end."""
    usable: list[Row] = []
    refused: list[Row] = []
    for row in rows:
        if row.error:
            refused.append(row)
        elif not row.text.strip():
            refused.append(row.judged("gate", "no text"))
        elif len(row.text) > LONGEST:
            refused.append(row.judged("gate", f"longer than {LONGEST:,} characters"))
        else:
            usable.append(row)
    return usable, refused


def score(measures: Sequence[Measure]) -> float:
    """One number that ranks sets as training does (benchmarks/gate_predicts.py): 1 for rows that teach as much as real
    text by a model of counts, 0.5 for those that teach nothing, 0 where they harm as much; NaN where unknown."""
    share = next((one.value for one in measures if one.name == distances.SHARE), math.nan)
    return float((1 + np.clip(share, -1, 1)) / 2)

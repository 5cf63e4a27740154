"""Is a difference small enough, too large, or can it not be told?

By equivalence (Schuirmann 1987), not by p-values: a measure passes where its 90% interval lies within the margin (two
one-sided tests at 5%), fails where it lies beyond, and else cannot be told. The margins stand beside the measures;
real text against held-out real text must pass them all (benchmarks/gate.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from scipy.stats import rankdata

Array = np.ndarray
Word = Literal["passes", "fails", "cannot tell", "not measured", "describes"]
Owners = tuple[Array, Array] | None
Verdict = Literal["admitted", "rejected", "cannot tell"]
Z = 1.6448536269514722  # of a two-sided 90% interval
CERTAIN = 2.0  # how bad a row is that needs no comparison with real text to go
FEWEST = 100  # rows, and real texts: with fewer no interval is narrower than its margin

# What explains what: of two faults that are equally bad the earlier one is named first. A passage of a suite changes
# the topics, a phrase around each text changes its end; not the other way about. The number is how much worse than its
# share of rows a fault counts when faults are put in order, and nothing else.
EXPLAINS = {
    "evaluation leakage": 0.45,
    "wrong language": 0.35,
    "mode collapse": 0.25,
    "repetition": 0.25,
    "copying of seeds": 0.2,
    "markup residue": 0.25,
    "topic drift": 0.15,
    "templates": 0.15,
    "truncation": 0.15,
    "length shift": 0.05,
    "other format": -1.0,  # every fault changes the layout
}


@dataclass(frozen=True)
class Measure:
    """`value` of the rows with its 90% interval, `against` the same of real text where there is one; it fails where it
    is larger than `margin`. `size`: how bad it is, in [0, 1], mostly the share of rows it concerns. What only
    describes has no margin."""

    name: str
    fault: str
    value: float
    low: float
    high: float
    margin: float | None
    verdict: Word
    size: float = 0.0
    against: float | None = None
    n_real: int = 0
    n_synthetic: int = 0
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in asdict(self).items()
        }


def judged(
    name: str,
    fault: str,
    value: float,
    low: float,
    high: float,
    margin: float,
    *,
    size: float | None = None,
    against: float | None = None,
    n: tuple[int, int] = (0, 0),
    note: str = "",
) -> Measure:
    """Only what lies above the margin is a fault; what has two sides is given as its amount."""
    verdict: Word = "passes" if high <= margin else "fails" if low > margin else "cannot tell"
    if not all(map(math.isfinite, (value, low, high))) or min(n) < FEWEST:
        verdict = "cannot tell"
    worth = value if size is None else size
    bad = float(np.clip(worth, 0.0, 1.0)) if math.isfinite(worth) else 0.0
    return Measure(name, fault, value, low, high, margin, verdict, bad, against, *n, note)


def unknown(name: str, fault: str, margin: float, n: tuple[int, int], note: str = "") -> Measure:
    """Too few texts for any number, or a reason in `note`."""
    return judged(name, fault, math.nan, math.nan, math.nan, margin, n=n, note=note)


def not_measured(name: str, fault: str, why: str) -> Measure:
    return Measure(name, fault, math.nan, math.nan, math.nan, None, "not measured", note=why)


def more_often(
    name: str, fault: str, rows: Array, real: Array, margin: float, note: str = "", *, owners: Owners = None
) -> Measure:
    """How much larger is the share of rows that have it than that of real texts? (flags, one a text.)

    Newcombe's interval from Wilson's of either share (1998, method 10). `owners`: the documents that rows and real
    texts came from; a share of grouped texts counts as one of fewer (`design_effect`).
    """
    m, n = len(real), len(rows)
    if not m or not n:
        return judged(name, fault, math.nan, math.nan, math.nan, margin, n=(m, n), note=note)
    a, b = owners or (None, None)
    p, p_low, p_high = _wilson(float(np.mean(rows)), n / design_effect(rows, a))
    q, q_low, q_high = _wilson(float(np.mean(real)), m / design_effect(real, b))
    value = p - q
    low = value - math.hypot(p - p_low, q_high - q)
    high = value + math.hypot(p_high - p, q - q_low)
    return judged(name, fault, value, low, high, margin, against=q, n=(m, n), note=note)


def ranks_higher(
    name: str,
    fault: str,
    rows: Array,
    real: Array,
    margin: float,
    *,
    two_sided: bool = False,
    note: str = "",
    owners: Owners = None,
) -> Measure:
    """2·P(a row's number is larger than a real text's) − 1, ties halved (Cliff's delta), with DeLong's interval (1988).

    0: no difference; 1: every row's is larger. `two_sided`: either direction is a fault. `owners` as in `more_often`.
    """
    a, b = owners or (np.arange(len(rows)), np.arange(len(real)))
    rows, real = np.asarray(rows, float), np.asarray(real, float)
    a, b = a[np.isfinite(rows)], b[np.isfinite(real)]
    rows, real = rows[np.isfinite(rows)], real[np.isfinite(real)]
    m, n = len(real), len(rows)
    if m < 2 or n < 2:
        return judged(name, fault, math.nan, math.nan, math.nan, margin, n=(m, n), note=note)
    both = rankdata(np.concatenate([rows, real]))
    above = (both[:n] - rankdata(rows)) / m  # of each row: the share of real texts it is above
    below = 1 - (both[n:] - rankdata(real)) / n
    value = 2 * float(above.mean()) - 1
    spread = above.var(ddof=1) / n * design_effect(above, a) + below.var(ddof=1) / m * design_effect(below, b)
    error = 2 * math.sqrt(spread)
    low, high = max(-1.0, value - Z * error), min(1.0, value + Z * error)
    told = note
    if two_sided:
        told = f"{'larger' if value > 0 else 'smaller'}{'; ' + note if note else ''}"
        if low > 0 or high < 0:
            value, low, high = abs(value), min(abs(low), abs(high)), max(abs(low), abs(high))
        else:
            value, low, high = abs(value), 0.0, max(-low, high)
    return judged(name, fault, value, low, high, margin, n=(m, n), note=told)


def design_effect(values: Array, owners: Array | None) -> float:
    """How many times further the mean of grouped values spreads than of as many single ones (Kish 1965, §2.6 and 5.4),
    between once and as many times as there are values; all of one group are one. `owners`: the group of each."""
    if owners is None or len(values) < 2:
        return 1.0
    apart = np.asarray(values, float) - np.mean(values)
    names, codes = np.unique(owners.astype(str), return_inverse=True)
    count, most = len(names), float(len(values))
    if count == 1:
        return most
    summed, total = np.bincount(codes, apart), float(apart @ apart)
    return min(most, max(1.0, count / (count - 1) * float(summed @ summed) / total)) if total > 0 else 1.0


def overall(measures: Iterable[Measure]) -> tuple[Verdict, list[str]]:
    """The worst of all; and the faults that were found, the one that explains most first."""
    gated = [measure for measure in measures if measure.margin is not None]
    worst: dict[str, float] = {}
    for measure in gated:
        if measure.verdict == "fails":
            weight = measure.size + EXPLAINS.get(measure.fault, 0.0)
            worst[measure.fault] = max(worst.get(measure.fault, 0.0), weight)
    faults = sorted(worst, key=lambda fault: (-worst[fault], fault))
    if faults:
        return "rejected", faults
    if not gated or any(measure.verdict == "cannot tell" for measure in gated):
        return "cannot tell", []
    return "admitted", []


def _wilson(share: float, n: float) -> tuple[float, float, float]:
    centre = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return share, min(share, centre - half), max(share, centre + half)

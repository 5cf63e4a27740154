"""Whose text is worth most for what it costs, and can that be told? Net gains per FLOP or dollar, against the best.

A candidate's student costs `times` what a plain one does, for its text had to be written. Its net gain is the compute
that plain training would need for the same loss, over the compute paid: e^gain / times (`gain.gain`). Without a
baseline no compute can be named: then it is the bits per byte saved against real text repeated, over `times`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import stats

from orionlm.gain.solve import Interval, span
from orionlm.synth.worth import LEVEL, REAL

# The chance that the best is ever given up: multiple comparisons with the best (Hsu 1984), Dunnett's critical value
# bounded by Bonferroni's over the others and the rounds.
RISK = 0.05
RANKINGS = {"flops": "net per FLOP", "dollars": "net per dollar", "bits": "gross, its writing left out"}
Bits = Mapping[str, np.ndarray]


def standings(
    bits: Bits, gains: Mapping[str, np.ndarray] | None, times: Mapping[str, float], rounds: int
) -> list[dict[str, Any]]:
    """The candidates of `times`, best first: {name, times, value, low, high, pays, behind, verdict}.

    `bits`: per byte, of each arm's students, those of real text among them. `gains`: draws of each arm's ln gain over
    real text. `behind`: the best's value less this one's (with gains: over it), with its interval. `verdict`: "best",
    "worse", or "cannot tell" from the best; of the best too, where anything cannot be told from it.
    """
    if not times:
        return []
    level = 1 - 2 * RISK / (rounds * max(1, len(times) - 1))
    judge = _ByGain(gains, times) if gains is not None else _ByBits(bits, times)
    order = sorted(times, key=judge.key, reverse=True)
    lines = []
    for name in order:
        value = judge.value(name)
        behind = None if name == order[0] else judge.behind(order[0], name, level)
        lines.append(
            {"name": name, "times": times[name], **value, "behind": behind, "pays": _side(value, judge.nothing)}
            | {"verdict": "worse" if _side(behind, judge.nothing) == "yes" else "cannot tell"}
        )
    if all(line["verdict"] == "worse" for line in lines[1:]):
        lines[0]["verdict"] = "best"
    return lines


class _ByGain:
    nothing = 1.0

    def __init__(self, gains: Mapping[str, np.ndarray], times: Mapping[str, float]) -> None:
        self.logs = {name: gains[name] - math.log(each) for name, each in times.items()}

    def key(self, name: str) -> float:
        return float(np.median(self.logs[name]))

    def value(self, name: str) -> dict[str, float | None]:
        return Interval.of(self.logs[name], LEVEL).to_json()

    def behind(self, best: str, name: str, level: float) -> dict[str, float | None]:
        return Interval.of(self.logs[best] - self.logs[name], level).to_json()


class _ByBits:
    nothing = 0.0

    def __init__(self, bits: Bits, times: Mapping[str, float]) -> None:
        self.bits, self.times = bits, times
        self.saved = {name: float(bits[REAL].mean() - bits[name].mean()) for name in times}

    def key(self, name: str) -> tuple[bool, float]:
        # What saves nothing is not the better for being dear.
        saved = self.saved[name]
        return saved > 0, saved / self.times[name] if saved > 0 else saved

    def value(self, name: str) -> dict[str, float | None]:
        share = 1 / self.times[name] if self.saved[name] > 0 else 1.0
        return contrast(self.bits, {REAL: share, name: -share}, LEVEL)

    def behind(self, best: str, name: str, level: float) -> dict[str, float | None]:
        one, other = (1 / self.times[best], 1 / self.times[name]) if self.saved[best] > 0 else (1.0, 1.0)
        return contrast(self.bits, {REAL: one - other, best: -one, name: other}, level)


def contrast(bits: Bits, weights: Mapping[str, float], level: float) -> dict[str, float | None]:
    """Σ weight · mean of the arms, with a t interval; the spread of a run is pooled over all arms, as in
    `worth.difference`. No interval from single runs."""
    value = sum(weight * float(bits[arm].mean()) for arm, weight in weights.items())
    freedom = sum(len(values) - 1 for values in bits.values())
    if not freedom:
        return {"value": value, "low": None, "high": None}
    variance = sum(float(((values - values.mean()) ** 2).sum()) for values in bits.values()) / freedom
    spread = math.sqrt(variance * sum(weight**2 / len(bits[arm]) for arm, weight in weights.items()))
    half = float(stats.t.ppf((1 + level) / 2, freedom)) * spread
    return {"value": value, "low": value - half, "high": value + half}


def _side(found: Mapping[str, float | None] | None, nothing: float) -> str:
    """Whether it is more than nothing."""
    if found is None:
        return "cannot tell"
    if found["low"] is not None and found["low"] > nothing:
        return "yes"
    return "no" if found["high"] is not None and found["high"] < nothing else "cannot tell"


def concluded(rounds: Sequence[Mapping[str, Any]], left: Mapping[str, str], unit: str) -> dict[str, Any]:
    """All rounds in one: `rankings` of every candidate by what its last round said, those that went on first; the
    `winners`, who may be tied; and lines for people. `unit`: "gain" or "bits"."""
    rankings: dict[str, list[dict[str, Any]]] = {}
    winners, says = {}, []
    for ranking, words in RANKINGS.items():
        seen: dict[str, dict[str, Any]] = {}
        for found in reversed(rounds):
            for line in found["standings"][ranking]:
                seen.setdefault(line["name"], line | {"round": found["round"], "left": left.get(line["name"], "")})
        rankings[ranking] = list(seen.values())
        last = rounds[-1]["standings"][ranking]
        if not last:
            says.append(f"{words}: not known of any candidate")
            continue
        tied = [line["name"] for line in last[1:] if line["verdict"] == "cannot tell"]
        winners[ranking] = {"name": last[0]["name"], "tied": tied, "pays": last[0]["pays"]}
        unknown = [name for name in rounds[-1]["candidates"] if name not in seen]
        says.append(f"{words}: {_says(last[0], tied, unit, ranking, len(seen))}" + _unranked(unknown))
    return {"unit": unit, "rankings": rankings, "winners": winners, "says": says}


def _says(best: Mapping[str, Any], tied: Sequence[str], unit: str, ranking: str, ranked: int) -> str:
    if unit == "gain":
        value = f"{span(best)} of the compute of real text repeated"
    else:
        between = "" if best["low"] is None else f" ({best['low']:+.3f} to {best['high']:+.3f})"
        paid = " for each plain student's price" if best["value"] > 0 and ranking != "bits" else ""
        value = f"{best['value']:+.3f}{between} bits per byte saved{paid}"
    pays = {"yes": "it pays", "no": "it does not pay", "cannot tell": "cannot tell whether it pays"}[best["pays"]]
    if tied:
        return f"cannot tell {best['name']} from {', '.join(tied)}; {best['name']}: {value}, {pays}"
    return f"{best['name']} is {'best' if ranked > 1 else 'the only one'}: {value}, {pays}"


def _unranked(names: Sequence[str]) -> str:
    return f"; not known of {', '.join(names)}" if names else ""

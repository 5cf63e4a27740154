"""Who should write, and how? The stage `probe` as the page shows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from orionlm.report.reading import Run
from orionlm.synth.ranking import RANKINGS, RISK


def probes(run: Run) -> list[dict[str, Any]]:
    """For each stage `probe` that is done: {name, told, rankings, unranked, winners, risk}."""
    found = [(stage.name, stage.json("probe.json")) for stage in run.of_kind("probe")]
    return [{"name": name, "risk": RISK} | probe_view(told) for name, told in found if told]


def probe_view(told: Mapping[str, Any]) -> dict[str, Any]:
    """The rankings in which anybody stands, {words, rows}; who stands in none, with the reason; and the winners'
    settings, each winner once."""
    known = {ranking: told["rankings"][ranking] for ranking in RANKINGS if told["rankings"].get(ranking)}
    ranked = {line["name"] for lines in known.values() for line in lines}
    won: dict[str, dict[str, Any]] = {}
    for ranking in known:
        if winner := told["winners"].get(ranking):
            won.setdefault(winner["name"], {"by": [], "settings": winner["settings"]})["by"].append(RANKINGS[ranking])
    return {
        "told": told,
        "rankings": [{"words": RANKINGS[ranking], "rows": lines} for ranking, lines in known.items()],
        "unranked": {name: why for name, why in told["left"].items() if name not in ranked},
        "winners": won,
    }

"""Do all points of a ladder lie in one regime? A law fitted across the onset of copying forecasts nothing."""

from __future__ import annotations

from typing import Any

from orionlm.gain.runs import RunTable

LEAST_SCORE = 0.15
LARGEST_CHANGE = 0.15
RULE = (
    f"every point saves at least {LEAST_SCORE:.0%} of the nats of a sequence it sees again, and along a run no point's "
    f"share differs from the one before by more than {LARGEST_CHANGE:.0%} of the whole"
)


def judge_regime(table: RunTable) -> dict[str, Any]:
    """Whether the induction score is there at every point, and has stopped moving along every run.

    Gives `settled`, `why` (one sentence), the scores, the least of them and the largest change between neighbours.
    """
    scores: list[dict[str, Any]] = [
        {"run": str(run), "tokens": float(tokens), "flops": float(flops), "score": float(score)}
        for run, tokens, flops, score in zip(
            table["run"], table["tokens"], table["flops"], table["induction"], strict=True
        )
    ]
    least = min(scores, key=lambda row: row["score"])
    changes = []
    for run in sorted({row["run"] for row in scores}):
        along = sorted((row for row in scores if row["run"] == run), key=lambda row: row["tokens"])
        changes += [(after["score"] - before["score"], after) for before, after in zip(along, along[1:], strict=False)]
    change, where = max(changes, key=lambda pair: abs(pair[0]))
    why = "every point lies past the onset of in-context copying"
    if least["score"] < LEAST_SCORE:
        place = f"{least['run']} at {least['tokens']:,.0f} tokens"
        why = f"{place} does not copy from its context yet (score {least['score']:.2f})"
    elif abs(change) > LARGEST_CHANGE:
        why = f"copying still changes: by {change:+.2f} up to {where['run']} at {where['tokens']:,.0f} tokens"
    settled = least["score"] >= LEAST_SCORE and abs(change) <= LARGEST_CHANGE
    return {
        "settled": settled, "why": why, "rule": RULE, "induction": scores, "least": least["score"], "change": change,
    }  # fmt: skip

"""Of several answers to one prompt, which is preferred to which? Nemotron-4 340B's rule (arXiv 2406.11704, §3.2.5).

Where a truth can be verified it says which is right; else the judge. A pair is dropped for its scores only when both
are bad: when both helpfulness scores are below 3.0. An answer without scores is in no pair, and a tie is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from orionlm.synth.desk import Desk
from orionlm.synth.reward.best_of_n import Reward, best, score_all, worst
from orionlm.synth.reward.judge import Messages, Preference
from orionlm.synth.reward.scores import Scored

BOTH_BAD = 3.0


@dataclass(frozen=True)
class Choice:
    """`best` of the answers (None: none may be kept) and what it is `rejected` for, with who said so (`by`: "truth",
    "judge" or "endpoint"); or `why` there is no pair. `judged` is the judge's own word on the two, whoever labelled
    them: "chosen", "rejected", "tie", or why it has none."""

    scores: tuple[Scored, ...]
    best: int | None
    rejected: int | None = None
    by: str = ""
    why: str = ""
    judged: str = ""

    def more(self, messages: Messages, answers: Sequence[str]) -> dict[str, Any]:
        """What a row keeps of it."""
        if self.best is None or self.rejected is None:
            return {"no_pair": self.why}
        sides = {"chosen": self.best, "rejected": self.rejected}
        return {
            "pair": {
                "prompt": [dict(message) for message in messages],
                **{side: answers[n] for side, n in sides.items()},
                "scores": {side: dict(self.scores[n].values) for side, n in sides.items()} if self.scores else {},
                "by": self.by,
                "judged": self.judged,
            }
        }


async def choose(
    reward: Reward,
    desk: Desk,
    messages: Messages,
    answers: Sequence[str],
    truths: Sequence[bool] | None = None,
) -> Choice:
    """The best answer, and the pair. `truths`: which are verified to be right."""
    if truths is not None and not any(truths):
        return Choice((), None, why="none is right")
    scores = tuple(await score_all(reward, desk, messages, answers)) if reward.by != "none" else ()
    if truths is not None:
        return await _by_truth(reward, desk, messages, answers, truths, scores)
    assert scores, "without a truth somebody must score"
    first, last = best(scores), worst(scores)
    if first is None or last is None:
        return Choice(scores, None, why=f"unscored: {scores[0].error}" if scores else "no answers")
    if bad(scores[first], scores[last]):
        return Choice(scores, None, why=_both_bad(scores[first], scores[last]))
    if first == last:
        left_out = next((each.error for each in scores if each.error), "")
        return Choice(scores, first, why=f"unscored: {left_out}" if left_out else "only one answer")
    word = await reward.prefer(desk, messages, (answers[first], answers[last]), (scores[first], scores[last]))
    if word.error:
        return Choice(scores, first, why=f"unscored: {word.error}")
    if word.winner == "tie":
        return Choice(scores, first, why=_tie(word), judged="tie")
    if word.winner == "second":
        first, last = last, first
    return Choice(scores, first, last, by=reward.by, judged="chosen")


async def _by_truth(
    reward: Reward,
    desk: Desk,
    messages: Messages,
    answers: Sequence[str],
    truths: Sequence[bool],
    scores: tuple[Scored, ...],
) -> Choice:
    right = [n for n, true in enumerate(truths) if true]
    wrong = [n for n, true in enumerate(truths) if not true]
    if not scores:
        if not wrong:
            return Choice((), right[0], why="all are right")
        return Choice((), right[0], wrong[0], by="truth")
    of = {n: each for n, each in enumerate(scores) if not each.error}
    if not of:
        return Choice(scores, None, why=f"unscored: {scores[0].error}")
    good = [n for n in right if n in of]
    poor = [n for n in wrong if n in of]
    if not good:
        return Choice(scores, None, why=f"unscored: {scores[right[0]].error}")
    first = good[best([of[n] for n in good]) or 0]
    if not poor:
        return Choice(scores, first, why=f"unscored: {scores[wrong[0]].error}" if wrong else "all are right")
    last = poor[worst([of[n] for n in poor]) or 0]
    if bad(scores[first], scores[last]):
        return Choice(scores, None, why=_both_bad(scores[first], scores[last]))
    word = await reward.prefer(desk, messages, (answers[first], answers[last]), (scores[first], scores[last]))
    judged = word.error or {"first": "chosen", "second": "rejected"}.get(word.winner or "", "tie")
    return Choice(scores, first, last, by="truth", judged=judged)


def bad(first: Scored, second: Scored) -> bool:
    """The both-bad rule: one that is not bad saves the other."""
    return first.helpfulness < BOTH_BAD and second.helpfulness < BOTH_BAD


def _both_bad(first: Scored, second: Scored) -> str:
    return f"both bad: helpfulness {first.helpfulness:g} and {second.helpfulness:g}, both below {BOTH_BAD:g}"


def _tie(word: Preference) -> str:
    if len(set(word.orders)) > 1:
        return "tie: the judge's word changed with the order"
    return "tie: neither is better"

"""Which of several answers to one prompt is the best? Who scores them is a setting."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from orionlm.synth.desk import Desk
from orionlm.synth.reward import endpoint, judge
from orionlm.synth.reward.judge import Messages, Preference
from orionlm.synth.reward.scores import ATTRIBUTES, HIGHEST, Scored


class Reward(BaseModel):
    """Who scores: a `judge`, a reward `endpoint`, or nobody (`none`). `teacher` names who is asked; without it those
    who serve the purpose "reward". `attributes`, `low` and `high` say what an endpoint gives, and between what."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    by: Literal["judge", "endpoint", "none"] = "judge"
    teacher: str | None = None
    repairs: int = Field(1, ge=0, le=5)
    max_tokens: int = Field(judge.MOST_TOKENS, ge=1)
    attributes: tuple[str, ...] = ATTRIBUTES
    low: float = 0.0
    high: float = HIGHEST

    @model_validator(mode="after")
    def _whole(self) -> Reward:
        if "helpfulness" not in self.attributes:
            raise ValueError("attributes: helpfulness must be among them; answers are ranked by it")
        if not self.low < self.high:
            raise ValueError("low must be below high")
        return self

    async def score(self, desk: Desk, messages: Messages, answer: str) -> Scored:
        if self.by == "judge":
            return await judge.score(
                desk, messages, answer, teacher=self.teacher, repairs=self.repairs, max_tokens=self.max_tokens
            )
        assert self.by == "endpoint", "nobody scores"
        return await endpoint.score(
            desk, messages, answer, teacher=self.teacher, names=self.attributes, low=self.low, high=self.high
        )

    async def prefer(
        self, desk: Desk, messages: Messages, answers: tuple[str, str], of: tuple[Scored, Scored]
    ) -> Preference:
        """Which of two answers, whose scores are there already."""
        if self.by == "judge":
            return await judge.prefer(
                desk, messages, *answers, teacher=self.teacher, repairs=self.repairs, max_tokens=self.max_tokens
            )
        return endpoint.preferred(*of)


async def score_all(reward: Reward, desk: Desk, messages: Messages, answers: Sequence[str]) -> list[Scored]:
    return list(await asyncio.gather(*(reward.score(desk, messages, answer) for answer in answers)))


def best(scores: Sequence[Scored]) -> int | None:
    """The most helpful, of equals the less verbose, then the first; None where none is scored."""
    able = [n for n, each in enumerate(scores) if not each.error]
    return max(able, key=lambda n: (scores[n].helpfulness, -scores[n].values.get("verbosity", 0.0), -n), default=None)


def worst(scores: Sequence[Scored]) -> int | None:
    """The least helpful, of equals the more verbose, then the last."""
    able = [n for n, each in enumerate(scores) if not each.error]
    return min(able, key=lambda n: (scores[n].helpfulness, -scores[n].values.get("verbosity", 0.0), -n), default=None)

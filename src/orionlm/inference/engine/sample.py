"""What has become of one sample of one request: its tokens, its pages, and what a step tells of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from orionlm.inference.engine.pages import ROOT
from orionlm.inference.text import TextStream
from orionlm.sampling import Sampling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

Alternatives = list[tuple[int, float]]  # token, log-probability; likeliest first


@dataclass(slots=True)
class Event:
    """What one step brought one sample of one request; `finish`: stop | length | cancelled, None while it goes on.

    `logprobs` are the model's (temperature 1, unfiltered), `sampled_logprobs` under the distribution drawn from; both
    and `top` stay empty unless `Sampling.alternatives` asked for them. `prompt_logprobs` and `prompt_top` come with the
    first event of a scored request, None for tokens before `score_from`.
    """

    request: int
    sample: int
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    sampled_logprobs: list[float] = field(default_factory=list)
    top: list[Alternatives] = field(default_factory=list)
    finish: str | None = None
    cached: int | None = None
    prompt_logprobs: list[float | None] | None = None
    prompt_top: list[Alternatives | None] | None = None


@dataclass
class Answer:
    """One sample, whole."""

    tokens: list[int] = field(default_factory=list)
    text: str = ""
    logprobs: list[float] = field(default_factory=list)
    sampled_logprobs: list[float] = field(default_factory=list)
    finish: str | None = None

    def add(self, event: Event) -> None:
        self.tokens += event.tokens
        self.text += event.text
        self.logprobs += event.logprobs
        self.sampled_logprobs += event.sampled_logprobs
        self.finish = event.finish


class Sample:
    """One sample of one request: its tokens, how many of them are in the cache, and where."""

    def __init__(
        self,
        request: int,
        index: int,
        prompt: list[int],
        sampling: Sampling,
        seed: int,
        score_from: int | None,
        with_text: bool,
    ) -> None:
        self.request, self.index, self.prompt, self.sampling = request, index, prompt, sampling
        self.tokens = prompt[: len(prompt) - unread(prompt, sampling, score_from)]
        self.longest = len(self.tokens) + sampling.max_tokens
        self.score_from = score_from
        self.scores: list[float | None] = [None] * (score_from or 0)
        self.tops: list[Alternatives | None] = [None] * (score_from or 0)
        digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
        self.key = int.from_bytes(digest, "little")
        self.stream = TextStream(sampling.stop) if with_text else None
        self.slot, self.position, self.cached = -1, 0, 0
        self.pages: list[int] = []
        self.name, self.named = ROOT, 0
        self.told = False

    def rows_needed(self, start: int, stop: int) -> int:
        """How many of the last rows from `start` to `stop` must have logits."""
        if self.score_from is not None and start < len(self.prompt):
            return max(0, stop - max(start, self.score_from - 1))
        return int(stop == len(self.tokens))

    def score(self, logits_rv: Tensor, place: range, start: int, size: int) -> None:
        """Rows predict the prompt's next tokens: keep their log-probabilities."""
        first = start + size - len(place) + 1
        targets = self.prompt[first : start + size + 1]
        if not targets:
            return
        log_p_rv = logits_rv[place.start : place.start + len(targets)].log_softmax(-1)
        self.scores += log_p_rv.gather(-1, torch.tensor(targets, device=log_p_rv.device)[:, None]).squeeze(1).tolist()
        count = self.sampling.alternatives
        if count:
            self.tops += alternatives(log_p_rv, count)

    def event(self, tokens: list[int], text: str, finish: str | None) -> Event:
        event = Event(self.request, self.index, tokens, text, finish=finish)
        if not self.told:
            self.told = True
            event.cached = self.cached
            if self.score_from is not None:
                event.prompt_logprobs = self.scores
                event.prompt_top = self.tops if self.sampling.alternatives else None
        return event


def unread(prompt: Sequence[int], sampling: Sampling, score_from: int | None) -> int:
    """1 where a prompt is only scored: its last token is predicted, and need not be read; else 0."""
    scored = score_from is not None and score_from < len(prompt)
    return int(scored and not sampling.max_tokens and sampling.n == 1)


def alternatives(log_p_rv: Tensor, count: int) -> list[Alternatives]:
    values_rk, tokens_rk = log_p_rv.topk(min(count, log_p_rv.shape[-1]), dim=-1)
    return [
        list(zip(tokens, values, strict=True))
        for tokens, values in zip(tokens_rk.tolist(), values_rk.tolist(), strict=True)
    ]

"""What can be asked of a model under evaluation, however it runs? How likely a text is, and what it writes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from orionlm.sampling import Sampling

Messages = Sequence[Mapping[str, str]]


class Rendered(str):
    """A prompt as a chat template wrote it: its special tokens are such, where in other text they are plain words."""


Prompt = str | Messages  # text that goes to the model as it is, or a conversation up to its turn
Pair = tuple[str, str]  # (context, continuation)


@dataclass(frozen=True)
class Scored:
    """A continuation's log-probability in nats, summed over its tokens; `greedy`: each token was the likeliest.

    `bytes` are the UTF-8 bytes that were scored.
    """

    log_probability: float
    greedy: bool
    tokens: int
    bytes: int


@dataclass(frozen=True)
class Written:
    """One sample; `finish` is stop, length (max_tokens reached) or context (the model's context was full)."""

    text: str
    finish: str
    tokens: int


@dataclass(frozen=True)
class TooLong:
    """The question does not fit the model's context."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """There is no answer now, and asking again may bring one: an endpoint's fault, never a wrong answer."""

    reason: str


class Answerer(Protocol):
    """A model that can be evaluated.

    `digest` names what decides its answers, so that they can be kept. `tokens` counts what was read and written so far,
    `flops_per_token` is what each took (None: unknown); `paid`: dollars so far, and where their price is from (None: no
    price). Answers come as they are ready, with the index of what was asked.
    """

    @property
    def name(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def context(self) -> int | None: ...
    @property
    def flops_per_token(self) -> float | None: ...
    @property
    def device(self) -> str: ...
    @property
    def tokens(self) -> int: ...
    @property
    def paid(self) -> tuple[float, str] | None: ...

    def render(self, messages: Messages) -> Rendered:
        """A conversation as the prompt that the model's chat template makes of it."""
        ...

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Scored | TooLong | Failed]]:
        """An empty context stands for the beginning of a text; such a text may be longer than the model's context."""
        ...

    def write(self, asked: Sequence[tuple[Prompt, Sampling]]) -> Iterator[tuple[int, list[Written] | TooLong | Failed]]:
        """`Sampling.n` samples of each prompt. An answer that the context has no room for is cut, not refused."""
        ...

    def close(self) -> None: ...

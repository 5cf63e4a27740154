"""What may be asked of a model's answer? One request's sampling, checked, whoever asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from orionlm.errors import UserError

MOST_SAMPLES = 128
MOST_STOPS = 16
MOST_ALTERNATIVES = 20
MOST_COUNT = 2**31 - 1  # of tokens, anywhere: what engines and stores can hold


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn from softmax(logits / temperature), and when to stop.

    temperature 0 takes the likeliest token. The filters apply in this order: the `top_k` likeliest (0: all); of those
    `top_p`, the fewest likeliest that together reach so much (Holtzman et al. 1904.09751); `min_p`, those at least so
    likely relative to the likeliest (Nguyen et al. 2407.01082). `seed` None draws one. `n` samples share their prompt.
    `alternatives` likeliest tokens are reported beside each (None: no log-probabilities asked for). `stop` strings end
    the text before them. `max_tokens` 0 only reads the prompt. `ignore_end` goes on after an end of text.
    """

    max_tokens: int = 256
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    alternatives: int | None = None
    ignore_end: bool = False

    def __post_init__(self) -> None:
        _whole("max_tokens", self.max_tokens, 0, MOST_COUNT)
        _between("temperature", self.temperature, 0, 100)
        _between("top_p", self.top_p, 0, 1)
        _whole("top_k", self.top_k, 0, MOST_COUNT)
        _between("min_p", self.min_p, 0, 1)
        _whole("n", self.n, 1, MOST_SAMPLES)
        if self.seed is not None:
            _whole("seed", self.seed, -(2**63), 2**63 - 1)
        if self.alternatives is not None:
            _whole("alternatives", self.alternatives, 0, MOST_ALTERNATIVES)
        if not isinstance(self.stop, tuple) or not all(isinstance(text, str) and text for text in self.stop):
            raise UserError(f"stop = {self.stop!r}: give strings that are not empty")
        if len(self.stop) > MOST_STOPS:
            raise UserError(f"stop: {len(self.stop)} strings; give at most {MOST_STOPS}")
        if self.top_p == 0:
            raise UserError("top_p = 0: give more than 0, up to 1; for the likeliest token set temperature = 0")

    def document(self) -> dict[str, Any]:
        """Plain values for JSON; `from_document` reads them back."""
        return asdict(self) | {"stop": list(self.stop)}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Sampling:
        unknown = set(document) - {field.name for field in fields(cls)}
        assert not unknown, unknown
        return cls(**{**document, "stop": tuple(document.get("stop", ()))})


def _whole(name: str, value: Any, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise UserError(f"{name} = {value!r}: give a whole number, between {low} and {high}")


def _between(name: str, value: Any, low: float, high: float) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:  # or NaN
        raise UserError(f"{name} = {value!r}: give a number between {low} and {high}")

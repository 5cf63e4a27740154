"""How does one of our checkpoints answer? Through the engine: continuous batches, equal beginnings read once.

Texts become tokens as in lm-eval's Hugging Face backend, so that numbers compare: context and continuation are encoded
together and cut at the context's own length; a text without context follows the end-of-text token, and is read in
windows of the model's context, each token predicted once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from orionlm.errors import UserError
from orionlm.evals.answerer import Failed, Messages, Pair, Prompt, Rendered, Scored, TooLong, Written
from orionlm.evals.turns import Turns
from orionlm.inference.engine.load import load_engine
from orionlm.inference.engine.sample import Answer
from orionlm.inference.server.chat import load_template
from orionlm.inference.server.tokens import load_tokens
from orionlm.model.checkpoint import revision
from orionlm.sampling import Sampling

if TYPE_CHECKING:
    from orionlm.inference.engine.engine import Engine

SCORING = Sampling(max_tokens=0, alternatives=1)
AHEAD = 8  # requests that wait in the engine, so that no slot stays empty between steps


@dataclass(frozen=True)
class _Asked:
    """Tokens for the engine; scored from `score_from` on, or continued as `sampling` says."""

    tokens: list[int]
    sampling: Sampling = SCORING
    score_from: int | None = None


@dataclass
class _Got:
    """What came back: the answers; of a scored request the log-probability in all, and whether it was the likeliest."""

    answers: list[Answer]
    log_probability: float = 0.0
    greedy: bool = True


class Checkpoint:
    """The model in `folder` as an `Answerer`. With `truncate` a question beyond the context loses its beginning, as in
    lm-eval; without, it is too long. No answer that is scored loses any of its own."""

    paid = None

    def __init__(self, folder: Path, *, truncate: bool = False, slots: int = 64, device: str = "cpu") -> None:
        loaded = load_engine(folder, slots=slots, device=device)
        if not loaded.engine.ends:
            raise UserError(
                f"{folder}: no end of text in its configuration or tokenizer; name eos_token_id in config.json"
            )
        self.engine: Engine = loaded.engine
        self.end: int = loaded.engine.ends[0]
        self.tokenizer, self.device, self.truncate = loaded.tokenizer, device, truncate
        self.name = folder.name
        self.digest = revision(folder) + (f" {device}" if device != "cpu" else "") + (" truncated" if truncate else "")
        self.context: int = loaded.shape.context
        self.flops_per_token: float | None = loaded.shape.forward_flops_per_token()
        self._special = load_tokens(folder)
        self._template = load_template(folder)

    @property
    def tokens(self) -> int:
        return self.engine.prompt_tokens + self.engine.generated_tokens

    @property
    def template(self) -> str:
        """The source of its chat template."""
        return self._template.source

    def close(self) -> None:
        pass

    def render(self, messages: Messages) -> Rendered:
        return Rendered(self._template.render(messages, self._special.guard))

    def score(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Scored | TooLong | Failed]]:
        """The last token of a text is predicted and not read, so context + 1 tokens fit."""
        asked: list[_Asked] = []
        owners: list[int] = []
        parts: dict[int, int] = {}
        for index, (before, after) in enumerate(self._encoded(pairs)):
            windows = list(self._windows(before, after)) if pairs[index][0] else list(self._rolling(after))
            if not windows:
                yield index, TooLong(f"{len(before) + len(after)} tokens, the model's context has {self.context}")
            parts[index] = len(windows)
            asked += windows
            owners += [index] * len(windows)
        sums: dict[int, tuple[float, bool, int]] = {}
        for place, got in self._run(asked):
            owner = owners[place]
            assert asked[place].score_from is not None
            total, greedy, tokens = sums.pop(owner, (0.0, True, 0))
            tokens += len(asked[place].tokens) - (asked[place].score_from or 0)
            sums[owner] = (total + got.log_probability, greedy and got.greedy, tokens)
            parts[owner] -= 1
            if not parts[owner]:
                total, greedy, tokens = sums.pop(owner)
                yield owner, Scored(total, greedy, tokens, len(pairs[owner][1].encode()))

    def write(self, asked: Sequence[tuple[Prompt, Sampling]]) -> Iterator[tuple[int, list[Written] | TooLong | Failed]]:
        requests: list[_Asked] = []
        owners: list[int] = []
        for index, (prompt, sampling) in enumerate(asked):
            tokens, stop = self._prompt(prompt)
            if self.truncate:
                tokens = tokens[-max(1, self.context - sampling.max_tokens) :]
            room = self.context - len(tokens)
            if room < min(1, sampling.max_tokens):
                yield index, TooLong(f"a prompt of {len(tokens)} tokens, the model's context has {self.context}")
                continue
            stops = tuple(dict.fromkeys((*sampling.stop, *stop)))
            requests.append(_Asked(tokens, replace(sampling, max_tokens=min(room, sampling.max_tokens), stop=stops)))
            owners.append(index)
        for place, got in self._run(requests):
            wanted = asked[owners[place]][1].max_tokens
            given = requests[place].sampling.max_tokens
            yield (
                owners[place],
                [
                    Written(
                        answer.text,
                        "context" if answer.finish == "length" and given < wanted else str(answer.finish),
                        len(answer.tokens),
                    )
                    for answer in got.answers
                ],
            )

    def _prompt(self, prompt: Prompt) -> tuple[list[int], tuple[str, ...]]:
        if isinstance(prompt, Rendered):
            return self._chat_ids(prompt) or [self.end], ()
        if isinstance(prompt, str):
            return self.tokenizer.encode(prompt, add_special_tokens=False).ids or [self.end], ()
        return self._chat_ids(self.render(prompt)) or [self.end], self._template.stop

    def _chat_ids(self, rendered: str) -> list[int]:
        """Special tokens are taken as such where the template wrote them, and only there."""
        return asyncio.run(self._special.encode_chat(rendered))

    def _encoded(self, pairs: Sequence[Pair]) -> list[tuple[list[int], list[int]]]:
        """(context, continuation) in tokens."""
        texts: dict[tuple[str, bool], None] = {}
        for context, continuation in pairs:
            chat = isinstance(context, Rendered)
            texts |= {(context, chat): None, (context + continuation, chat): None}
        plain = [text for text, chat in texts if not chat]
        encodings = self.tokenizer.encode_batch_fast(plain, add_special_tokens=False)
        ids = {(text, False): encoding.ids for text, encoding in zip(plain, encodings, strict=True)}
        ids |= {(text, True): self._chat_ids(text) for text, chat in texts if chat}
        found = []
        for context, continuation in pairs:
            chat = isinstance(context, Rendered)
            before = ids[context, chat]
            after = ids[context + continuation, chat][len(before) :]
            if not after and continuation:  # its characters went into a token with the context's last
                after = self.tokenizer.encode(continuation, add_special_tokens=False).ids
            found.append((before, after))
        return found

    def _windows(self, before: list[int], after: list[int]) -> Iterator[_Asked]:
        """A continuation after its context: one request, or none where they do not fit."""
        tokens = before + after
        if len(tokens) > self.context + 1:
            if not self.truncate or len(after) > self.context:
                return
            tokens = tokens[-(self.context + 1) :]
        yield _Asked(tokens, SCORING, max(1, len(tokens) - len(after)))

    def _rolling(self, tokens: list[int]) -> Iterator[_Asked]:
        """A text of any length: each window predicts what is left, up to a context of it, after as much as fits."""
        text = [self.end, *tokens]
        for first in range(1, max(2, len(text)), self.context):
            stop = min(first + self.context, len(text))
            start = max(0, stop - self.context - 1)
            yield _Asked(text[start:stop], SCORING, first - start)

    def _run(self, asked: Sequence[_Asked]) -> Iterator[tuple[int, _Got]]:
        """Everything through the engine, as it is done."""
        engine = self.engine
        shareable = [one.score_from - 1 if one.score_from is not None else len(one.tokens) - 1 for one in asked]
        turns = Turns([one.tokens for one in asked], shareable, engine.pages.size)
        running: dict[int, tuple[int, _Got, int]] = {}
        left = len(asked)
        try:
            while left:
                while engine.waiting < AHEAD and (place := turns.pop()) is not None:
                    one = asked[place]
                    if one.score_from is not None and one.score_from >= len(one.tokens):  # nothing to predict
                        turns.has_read(place)
                        left -= 1
                        yield place, _Got([])
                        continue
                    number = engine.submit(one.tokens, one.sampling, one.score_from)
                    running[number] = (place, _Got([Answer() for _ in range(one.sampling.n)]), one.sampling.n)
                for event in engine.step():
                    if event.request not in running:  # cancelled, by an earlier call that was broken off
                        continue
                    place, got, unfinished = running[event.request]
                    turns.has_read(place)
                    if event.prompt_logprobs is not None:
                        _take(got, event.prompt_logprobs, event.prompt_top, asked[place])
                    got.answers[event.sample].add(event)
                    if event.finish:
                        running[event.request] = (place, got, unfinished - 1)
                        if unfinished == 1:
                            del running[event.request]
                            left -= 1
                            yield place, got
        finally:
            for number in running:
                engine.cancel(number)


def _take(got: _Got, logs: Sequence[float | None], tops: Sequence | None, asked: _Asked) -> None:
    first = asked.score_from
    assert first is not None and tops is not None
    got.log_probability = sum(log for log in logs[first:] if log is not None)
    got.greedy = all(top[0][0] == token for top, token in zip(tops[first:], asked.tokens[first:], strict=True))

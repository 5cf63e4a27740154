"""How is an engine's answer written? Events become OpenAI's responses, or the chunks of a stream: the same pieces."""

from __future__ import annotations

import codecs
import json
import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from orionlm.inference.server.errors import ApiError
from orionlm.inference.server.process import Event, Served
from orionlm.inference.server.protocol import Asked
from orionlm.inference.server.tokens import Tokens

DONE = b"data: [DONE]\n\n"
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


@dataclass
class Choice:
    """What one sample has said since the last piece, and what must be known to go on."""

    index: int
    text: str = ""
    finish: str | None = None
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float | None] = field(default_factory=list)
    sampled: list[float | None] = field(default_factory=list)
    top: list[list[list[Any]] | None] = field(default_factory=list)
    heard: bool = False  # an event came
    shown: bool = False  # a chunk went
    offset: int = 0
    decoder: Any = field(default_factory=lambda: codecs.getincrementaldecoder("utf-8")("replace"))

    def clear(self) -> None:
        self.text, self.finish, self.shown = "", None, True
        self.tokens, self.logprobs, self.sampled, self.top = [], [], [], []


class Writer:
    """One request's answer. `take` events, then write `chunks` of what is new or, at the end, the `whole`."""

    def __init__(
        self, asked: Asked, served: Served, name: str, tokens: Tokens, prompts: Sequence[list[int]], first_id: int
    ) -> None:
        self.asked = asked
        self.tokens = tokens
        self.prompts = prompts
        self.first_id = first_id
        self.choices = [Choice(index) for index in range(len(prompts) * asked.sampling.n)]
        self.completion_tokens = 0
        self.cached_tokens = 0
        self._scored: dict[int, Event] = {}
        self._held: list[Event] = []
        kind = "chat.completion" if asked.chat else "text_completion"
        self._head = {
            "id": ("chatcmpl-" if asked.chat else "cmpl-") + os.urandom(12).hex(),
            "object": kind + ".chunk" if asked.chat and asked.stream else kind,
            "created": int(time.time()),
            "model": name,
            "system_fingerprint": served.revision[:16],
        }
        # Choices with something to say; in a chat each says at once who speaks.
        self._new = dict(enumerate(self.choices)) if asked.chat else {}

    def take(self, events: Iterable[Event]) -> None:
        """Add events. Raises ApiError 500 where the engine gave a sample up."""
        for event in self._with_scores(events) if self.asked.echo and self.asked.logprobs else events:
            prompt = event["id"] - self.first_id
            choice = self.choices[prompt * self.asked.sampling.n + event["sample"]]
            self._new[choice.index] = choice
            if not choice.heard:
                choice.heard = True
                if self.asked.echo:
                    self._echo(choice, prompt)
            choice.text += event["text"]
            choice.finish = event["finish"]
            self.completion_tokens += len(event["tokens"])
            if event["sample"] == 0:  # samples share their prompt
                self.cached_tokens += event.get("cached", 0)
            if self.asked.logprobs:
                choice.tokens += event["tokens"]
                choice.logprobs += event.get("logprobs", [])
                choice.sampled += event.get("sampled_logprobs", [])
                choice.top += event.get("top", [])
            if choice.finish not in (None, "stop", "length"):
                raise ApiError(500, f"the engine gave up: {event.get('error') or choice.finish}", code="engine_error")

    def chunks(self) -> bytes:
        """Server-sent events for what is new."""
        lines = []
        for choice in self._new.values():
            if self.asked.chat:
                lines += self._chat_chunks(choice)
            elif choice.text or choice.finish or choice.tokens:
                shown = {"index": choice.index, "text": choice.text, "logprobs": self._completion_logprobs(choice)}
                lines.append(shown | {"finish_reason": choice.finish})
            else:
                continue
            choice.clear()
        self._new = {}
        usage = {"usage": None} if self.asked.include_usage else {}
        return b"".join(server_sent(self._head | {"choices": [line]} | usage) for line in lines)

    def ending(self) -> bytes:
        """The last of a stream: usage where it was asked for, and the mark of the end."""
        if not self.asked.include_usage:
            return DONE
        return server_sent(self._head | {"choices": [], "usage": self._usage()}) + DONE

    def whole(self) -> dict[str, Any]:
        """The response of a request that does not stream."""
        choices = []
        for choice in self.choices:
            shown: dict[str, Any] = {"index": choice.index, "finish_reason": choice.finish}
            if self.asked.chat:
                shown["message"] = {"role": "assistant", "content": choice.text, "refusal": None}
                shown["logprobs"] = self._chat_logprobs(choice)
            else:
                shown["text"] = choice.text
                shown["logprobs"] = self._completion_logprobs(choice)
            choices.append(shown)
        return self._head | {"choices": choices, "usage": self._usage()}

    def _with_scores(self, events: Iterable[Event]) -> list[Event]:
        """The events of prompts whose scores are here, which come with the first sample's first event."""
        held = [*self._held, *events]
        self._scored |= {event["id"]: event for event in held if "prompt_logprobs" in event}
        self._held = [event for event in held if event["id"] not in self._scored]
        return [event for event in held if event["id"] in self._scored]

    def _echo(self, choice: Choice, prompt: int) -> None:
        text = self.asked.prompts[prompt]
        choice.text = text if isinstance(text, str) else self.tokens.decode(text)
        if self.asked.logprobs:
            scores = self._scored[self.first_id + prompt]
            choice.tokens += self.prompts[prompt]
            choice.logprobs += scores["prompt_logprobs"]
            choice.sampled += [None] * len(scores["prompt_logprobs"])
            choice.top += scores["prompt_top"] or [[]] * len(scores["prompt_logprobs"])

    def _chat_chunks(self, choice: Choice) -> list[dict[str, Any]]:
        deltas: list[dict[str, Any]] = []
        if not choice.shown:
            deltas.append({"delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None})
        if choice.text or choice.tokens:
            delta = {"content": choice.text}
            deltas.append({"delta": delta, "logprobs": self._chat_logprobs(choice), "finish_reason": None})
        if choice.finish:
            deltas.append({"delta": {}, "logprobs": None, "finish_reason": choice.finish})
        choice.clear()
        return [{"index": choice.index} | delta for delta in deltas]

    def _chat_logprobs(self, choice: Choice) -> dict[str, Any] | None:
        if not self.asked.logprobs:
            return None
        content = []
        for token, own, sampled, top in zip(choice.tokens, choice.logprobs, choice.sampled, choice.top, strict=True):
            best = [self._named(other, value) for other, value in top or []]
            content.append(self._named(token, own) | {"sampled_logprob": sampled, "top_logprobs": best})
        return {"content": content, "refusal": None}

    def _named(self, token: int, logprob: float | None) -> dict[str, Any]:
        piece = list(self.tokens.token_bytes(token))
        return {"token": self.tokens.name(token), "bytes": piece or None, "logprob": logprob}

    def _completion_logprobs(self, choice: Choice) -> dict[str, Any] | None:
        if not self.asked.logprobs:
            return None
        names = [self.tokens.name(token) for token in choice.tokens]
        offsets = []
        for token in choice.tokens:
            piece = self.tokens.token_bytes(token)
            if piece and piece[0] & 0xC0 != 0x80:  # what was left of a character before it stays a broken one
                choice.offset += len(choice.decoder.decode(b"", True))
            offsets.append(choice.offset)
            choice.offset += len(choice.decoder.decode(piece))
        tops: list[dict[str, float] | None] = []
        for name, own, top in zip(names, choice.logprobs, choice.top, strict=True):
            # The chosen token is listed, too, wherever it ranks.
            known = {self.tokens.name(token): value for token, value in top or []}
            tops.append(None if own is None else known | {name: own})
        return {
            "tokens": names,
            "token_logprobs": choice.logprobs,
            "top_logprobs": tops,
            "text_offset": offsets,
            "sampled_logprobs": choice.sampled,
        }

    def _usage(self) -> dict[str, Any]:
        prompt = sum(map(len, self.prompts))
        return {
            "prompt_tokens": prompt,
            "completion_tokens": self.completion_tokens,
            "total_tokens": prompt + self.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": self.cached_tokens},
        }


def encode(document: dict[str, Any]) -> bytes:
    # Half a surrogate pair, which only a caller's own words can hold, is written as JSON escapes it.
    return _JSON.encode(document).encode("utf-8", "backslashreplace")


def server_sent(document: dict[str, Any]) -> bytes:
    return b"data: " + encode(document) + b"\n\n"

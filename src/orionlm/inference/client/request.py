"""What is asked of a model? One request, and the address under which its answer is kept."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from orionlm.errors import UserError
from orionlm.sampling import Sampling

# Tokens a chat template adds by itself, such as a default system prompt: about 25 in Qwen 2.5, 40 in Llama 3, 70 in
# gpt-oss. A longer one shows in the server's bill, which stops a run that has a limit. What it puts around each message
# (ChatML and Llama 3: 5 tokens) is less than the 30 bytes of JSON that are counted there.
CHAT_OVERHEAD = 96
TEXT_OVERHEAD = 8  # beginning of text
_NOT_ADDRESSED = ("max_tokens", "n")


@dataclass(frozen=True)
class Request:
    """One sample of one answer: chat `messages`, or a rendered `prompt` that goes to the model as it is.

    `prompt_tokens`, where the caller has counted them, replaces the upper bound that the budget reserves by.
    """

    model: str
    messages: tuple[Mapping[str, Any], ...] | None = None
    prompt: str | None = None
    sampling: Sampling = field(default_factory=Sampling)
    revision: str = ""
    sample: int = 0
    prompt_tokens: int | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        assert self.sampling.n == 1, "each sample is a request of its own"
        if (self.messages is None) == (self.prompt is None):
            raise UserError("request: give messages or a prompt, one of the two")
        if self.messages is not None:
            _check(self.messages)
        try:
            self.text.encode()
        except UnicodeEncodeError:
            raise UserError("request: it holds half a character (a lone surrogate); give whole UTF-8 text") from None
        except (TypeError, ValueError):
            raise UserError("messages: not JSON values; give text, numbers, lists and objects") from None

    @property
    def max_tokens(self) -> int:
        return self.sampling.max_tokens

    @cached_property
    def text(self) -> str:
        """Everything that determines the answer, as canonical JSON. How long it may get is left out: an answer that
        ended by itself is the answer under any limit."""
        sampling = {name: value for name, value in self.sampling.document().items() if name not in _NOT_ADDRESSED}
        for name in ("temperature", "top_p", "min_p"):
            sampling[name] = float(sampling[name])
        document: dict[str, Any] = {
            "model": self.model,
            "revision": self.revision,
            "sample": self.sample,
            "sampling": sampling,
        }
        document |= {"prompt": self.prompt} if self.messages is None else {"messages": self.messages}
        return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False)

    @cached_property
    def key(self) -> str:
        """The content address: SHA-256 of `text`, as hex."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def path(self) -> str:
        """Where it goes, below the endpoint's URL."""
        return "/completions" if self.messages is None else "/chat/completions"

    def body(self, stream: bool = False, limit_name: str = "max_tokens") -> dict[str, Any]:
        """The request as OpenAI-compatible servers take it. What their standard lacks goes out only if set."""
        sampling = self.sampling
        chat = self.messages is not None
        body: dict[str, Any] = {"model": self.model}
        body |= {"messages": list(self.messages)} if self.messages is not None else {"prompt": self.prompt}
        body |= {limit_name if chat else "max_tokens": sampling.max_tokens}
        body |= {"temperature": sampling.temperature, "top_p": sampling.top_p}
        if sampling.seed is not None:
            body["seed"] = sampling.seed + self.sample
        if sampling.stop:
            body["stop"] = list(sampling.stop)
        if sampling.top_k:
            body["top_k"] = sampling.top_k
        if sampling.min_p:
            body["min_p"] = sampling.min_p
        if sampling.ignore_end:
            body["ignore_eos"] = True
        if sampling.alternatives is not None:
            wanted = sampling.alternatives
            body |= {"logprobs": True, "top_logprobs": wanted} if chat else {"logprobs": wanted}
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    @cached_property
    def most_prompt_tokens(self) -> int | None:
        """An upper bound: a token stands for at least a byte. None where the messages hold more than text."""
        if self.prompt_tokens is not None:
            return self.prompt_tokens
        if self.messages is None:
            return len((self.prompt or "").encode()) + TEXT_OVERHEAD
        if any(_beyond_text(message.get("content")) for message in self.messages):
            return None
        return len(json.dumps(self.messages, ensure_ascii=False).encode()) + CHAT_OVERHEAD


def _check(messages: Any) -> None:
    if not isinstance(messages, (tuple, list)) or not messages:
        raise UserError("messages: give a list of at least one message")
    for message in messages:
        if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
            raise UserError('messages: each is an object such as {"role": "user", "content": "…"}')
        if not isinstance(message.get("content"), (str, list)) and "tool_calls" not in message:
            raise UserError("messages: content must be text or a list of parts")


def _beyond_text(content: Any) -> bool:
    return isinstance(content, list) and not all(
        isinstance(part, Mapping) and isinstance(part.get("text"), str) for part in content
    )

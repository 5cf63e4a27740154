"""What does a request's body ask for? OpenAI's completions and chat completions, checked field by field.

Nothing is ignored in silence: a field that would change the answer and is not supported is refused by name.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from orionlm.errors import UserError
from orionlm.inference.server.errors import ApiError, bad_field
from orionlm.sampling import Sampling

COMPLETION_TOKENS = 16  # OpenAI's default for completions; a chat goes on to the context's end
MOST_ANSWERS = 2048  # of one request: its prompts times n
ROLES = ("system", "developer", "user", "assistant")

# Fields that are accepted only with a value that changes nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "logit_bias": ({},),
    "metadata": ({},),
    "store": (False,),
    "min_tokens": (0,),
}
NEUTRAL_IN_CHAT = NEUTRAL | {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "tool_choice": ("none", "auto"),
    "parallel_tool_calls": (True, False),
    "modalities": (["text"],),
    "service_tier": ("auto", "default"),
    "response_format": ({"type": "text"},),
}
LABELS = ("user", "safety_identifier", "prompt_cache_key")  # any string: they never change an answer

Message = dict[str, str]


@dataclass(frozen=True)
class Asked:
    """One checked request. `sampling.max_tokens` counts only if `max_tokens`, the field of that name, was given."""

    model: str
    chat: bool
    prompts: tuple[str | list[int], ...]  # of a completion
    messages: tuple[Message, ...]  # of a chat
    sampling: Sampling
    max_tokens: str | None
    stream: bool
    include_usage: bool
    echo: bool

    @property
    def logprobs(self) -> bool:
        return self.sampling.alternatives is not None


def parse_json(body: bytes) -> dict[str, Any]:
    """The body's object. NaN and Infinity pass here, and no field takes them: so the refusal names the field."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        line = " ".join(str(error).split())[:200]
        raise ApiError(400, f"the body is not JSON: {line}", code="invalid_json") from None
    if not isinstance(document, dict):
        raise ApiError(400, "the body is not a JSON object", code="invalid_json")
    return document


def parse_completion(body: bytes) -> Asked:
    fields = _Fields(parse_json(body), NEUTRAL)
    model = fields.model()
    prompts = _prompts(fields.take("prompt"))
    fields.only("suffix", "")
    fields.only("best_of", fields.peek("n", 1))
    echo = fields.boolean("echo")
    alternatives = fields.take("logprobs")
    max_tokens = "max_tokens" if fields.peek("max_tokens") is not None else None
    given = fields.take("max_tokens", COMPLETION_TOKENS)
    stream, include_usage = fields.streaming()
    sampling = fields.sampling(given, alternatives, {"alternatives": "logprobs"})
    fields.finish()
    if len(prompts) * sampling.n > MOST_ANSWERS:
        raise bad_field(
            "prompt", f": {len(prompts)} prompts of n = {sampling.n}; ask for at most {MOST_ANSWERS} answers"
        )
    return Asked(model, False, tuple(prompts), (), sampling, max_tokens, stream, include_usage, echo)


def parse_chat(body: bytes, stop: Sequence[str] = ()) -> Asked:
    """`stop` strings that the chat's format needs are added to the request's own."""
    fields = _Fields(parse_json(body), NEUTRAL_IN_CHAT)
    model = fields.model()
    messages = _messages(fields.take("messages"))
    if fields.take("tools"):
        raise bad_field("tools", ": tools are not supported by this model's server; leave them out")
    logprobs = fields.boolean("logprobs")
    top = fields.take("top_logprobs")
    if top is not None and not logprobs:
        raise bad_field("top_logprobs", " needs logprobs = true")
    names = [name for name in ("max_completion_tokens", "max_tokens") if fields.peek(name) is not None]
    values = [fields.take(name) for name in ("max_completion_tokens", "max_tokens")]
    if len(names) == 2 and values[0] != values[1]:
        raise bad_field("max_tokens", f" = {values[1]!r}: max_completion_tokens says {values[0]!r}; give one of them")
    max_tokens = names[0] if names else None
    given = fields.none_as(next((value for value in values if value is not None), None), 1)
    stream, include_usage = fields.streaming()
    renamed = {"alternatives": "top_logprobs", "max_tokens": max_tokens or "max_tokens"}
    sampling = fields.sampling(given, fields.none_as(top, 0) if logprobs else None, renamed, stop)
    fields.finish()
    return Asked(model, True, (), tuple(messages), sampling, max_tokens, stream, include_usage, False)


def fit(asked: Asked, prompts: Sequence[list[int]], limit: int) -> list[tuple[list[int], Sampling]]:
    """Each prompt with the tokens that may follow it within `limit`. Raises ApiError 400 context_length_exceeded."""
    fitted = []
    for prompt in prompts:
        room = limit - len(prompt)
        if asked.max_tokens is not None:
            wanted = asked.sampling.max_tokens
        else:
            wanted = max(1, room if asked.chat else min(room, COMPLETION_TOKENS))
        if wanted > room:
            too_long(asked, f"{len(prompt)}", limit, wanted if room >= 0 else 0)
        fitted.append((prompt, replace(asked.sampling, max_tokens=wanted)))
    return fitted


def too_long(asked: Asked, length: str, limit: int, wanted: int = 0) -> NoReturn:
    after = f" and {wanted} to come are asked for" if wanted else ""
    raise ApiError(
        400,
        f"This model's maximum context length is {limit} tokens, but the prompt has {length} tokens{after}. "
        "Shorten it or ask for fewer.",
        param="messages" if asked.chat else "prompt",
        code="context_length_exceeded",
    )


class _Fields:
    """A body's fields, each taken once; what nobody took is unknown. Null means the default."""

    def __init__(self, document: Mapping[str, Any], neutral: Mapping[str, tuple[Any, ...]]) -> None:
        self.left = {name: value for name, value in document.items() if value is not None}
        self.null = set(document) - set(self.left)
        self.neutral = neutral

    def take(self, name: str, default: Any = None) -> Any:
        self.null.discard(name)
        return self.left.pop(name, default)

    def peek(self, name: str, default: Any = None) -> Any:
        return self.left.get(name, default)

    @staticmethod
    def none_as(value: Any, default: Any) -> Any:
        return default if value is None else value

    def boolean(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise bad_field(name, f" = {_short(value)}: give true or false")
        return value

    def only(self, name: str, *accepted: Any) -> None:
        value = self.take(name, accepted[0])
        if not any(type(value) is type(one) and value == one or _equal_numbers(value, one) for one in accepted):
            raise bad_field(name, f" = {_short(value)}: not supported; leave it out")

    def model(self) -> str:
        value = self.take("model")
        if not isinstance(value, str):
            raise bad_field("model", ": give the model's name, as GET /v1/models lists it")
        return value

    def streaming(self) -> tuple[bool, bool]:
        stream = self.boolean("stream")
        options = self.take("stream_options")
        if options is None:
            return stream, False
        if not stream:
            raise bad_field("stream_options", " needs stream = true")
        if not isinstance(options, dict) or set(options) - {"include_usage"}:
            raise bad_field("stream_options", f' = {_short(options)}: give {{"include_usage": true}}')
        usage = self.none_as(options.get("include_usage"), False)
        if not isinstance(usage, bool):
            raise bad_field("stream_options", ".include_usage: give true or false")
        return stream, usage

    def sampling(
        self, max_tokens: Any, alternatives: Any, renamed: Mapping[str, str], stop: Sequence[str] = ()
    ) -> Sampling:
        """The checked sampling; what `Sampling` says of its fields is said of the body's."""
        top_k = self.take("top_k", 0)
        values = {
            "max_tokens": max_tokens,
            "temperature": self.take("temperature", 1.0),
            "top_p": self.take("top_p", 1.0),
            "top_k": 0 if type(top_k) is int and top_k == -1 else top_k,  # both spellings of "all" are in use
            "min_p": self.take("min_p", 0.0),
            "stop": (*_stop(self.take("stop", [])), *stop),
            "seed": self.take("seed"),
            "n": self.take("n", 1),
            "alternatives": alternatives,
            "ignore_end": self.boolean("ignore_eos"),
        }
        try:
            return Sampling(**values)
        except UserError as error:
            line = str(error)
            found = re.match(r"\w+", line)
            assert found is not None, line
            name = renamed.get(found[0], found[0])
            raise ApiError(400, name + line[found.end() :][:300], param=name) from None

    def finish(self) -> None:
        for name, accepted in self.neutral.items():
            self.only(name, *accepted)
        for name in LABELS:
            if not isinstance(self.take(name, ""), str):
                raise bad_field(name, ": give a string")
        for name in (*self.left, *self.null):
            raise bad_field(_short(name)[1:-1], ": not a field of this server's; leave it out", "unknown_parameter")


def _prompts(value: Any) -> list[str | list[int]]:
    """A string, a list of ids, or a list of either."""
    if value is None:
        return [""]
    several = isinstance(value, list) and bool(value) and isinstance(value[0], (str, list))
    prompts = value if several else [value]
    for prompt in prompts:
        ids = isinstance(prompt, list) and (bool(prompt) or several) and all(type(token) is int for token in prompt)
        if not isinstance(prompt, str) and not ids:
            raise bad_field("prompt", ": give a string, a list of token ids, or a list of these")
        if isinstance(prompt, str):
            _check_text("prompt", prompt)
    if len({type(prompt) for prompt in prompts}) > 1:
        raise bad_field("prompt", ": give strings or lists of token ids, not both")
    return prompts


def _messages(value: Any) -> list[Message]:
    if not isinstance(value, list) or not value:
        raise bad_field("messages", ": give a list of messages, at least one")
    return [_message(f"messages[{number}]", message) for number, message in enumerate(value)]


def _message(place: str, message: Any) -> Message:
    if not isinstance(message, dict):
        raise bad_field(place, ": give an object with role and content")
    role = message.get("role")
    if role not in ROLES:
        raise bad_field(f"{place}.role", f" = {_short(role)}: give one of {', '.join(ROLES)}")
    for name, given in message.items():
        if name not in ("role", "content") and given not in (None, [], ""):
            raise bad_field(f"{place}.{_short(name)[1:-1]}", ": not supported; leave it out")
    content = message.get("content")
    if isinstance(content, list) and content:
        content = "\n".join(_part(f"{place}.content[{number}]", part) for number, part in enumerate(content))
    if not isinstance(content, str):
        raise bad_field(f"{place}.content", ": give a string or a list of text parts")
    _check_text(f"{place}.content", content)
    return {"role": role, "content": content}


def _part(place: str, part: Any) -> str:
    if not isinstance(part, dict) or part.get("type") != "text" or not isinstance(part.get("text"), str):
        raise bad_field(place, ': only {"type": "text", "text": "…"} is supported')
    if set(part) - {"type", "text"}:
        raise bad_field(place, f".{_short(min(set(part) - {'type', 'text'}))[1:-1]}: not supported; leave it out")
    return part["text"]


def _stop(value: Any) -> list[str]:
    strings = [value] if isinstance(value, str) else value
    if not isinstance(strings, list) or not all(isinstance(text, str) for text in strings):
        raise bad_field("stop", ": give a string or a list of strings")
    for text in strings:
        _check_text("stop", text)
    return strings


def _check_text(param: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise bad_field(param, ": half of a surrogate pair is no text; give whole characters") from None


def _equal_numbers(value: Any, other: Any) -> bool:
    numbers = (int, float)
    return type(value) in numbers and type(other) in numbers and value == other


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else text[:79] + "…"

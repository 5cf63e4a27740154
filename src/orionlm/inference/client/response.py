"""What did the server say? A raw body, streamed or whole, read as an answer or refused with a reason."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

LARGEST_COUNT = 2**31  # of tokens in one call; sums of what more would cost leave a store's whole numbers
_UNFINISHED = ("error", "cancelled", "abort", "aborted")
_SAID_OTHERWISE = ("tool_calls", "function_call", "refusal", "reasoning_content", "reasoning")


class Malformed(ValueError):
    """A body that is no answer; the message says why."""


@dataclass(frozen=True)
class Usage:
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclass(frozen=True)
class Said:
    """What a body says. `choice` is the server's own object, for parsers that want more than text."""

    text: str
    finish: str
    usage: Usage | None
    model: str
    fingerprint: str
    choice: dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """A committed answer (`body` is the raw response), a failure (`error` says why), or a request that was not sent
    (`refused`)."""

    key: str
    max_tokens: int
    body: bytes | None = None
    finish: str | None = None
    error: str | None = None
    status: int = 0
    permanent: bool = False
    excerpt: str = ""
    attempts: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    nanodollars: int | None = None
    flops: float | None = None
    model: str = ""
    revision: str = ""
    session: int | None = None
    stored: bool = False
    refused: bool = False

    @property
    def ok(self) -> bool:
        return self.body is not None

    @property
    def dollars(self) -> float | None:
        return None if self.nanodollars is None else self.nanodollars / 1e9

    @cached_property
    def said(self) -> Said | None:
        return None if self.body is None else parse(self.body)

    @property
    def text(self) -> str | None:
        return self.said.text if self.said else None


def parse(body: bytes) -> Said:
    """Read a 200's body; raises Malformed."""
    start = body.lstrip()[:6]
    if not start:
        raise Malformed("empty body")
    document = _joined(body) if start.startswith((b"data:", b"event:", b"id:", b":")) else _json(body)
    if not isinstance(document, dict):
        raise Malformed(f"a JSON {type(document).__name__} where an object is expected")
    if document.get("error"):
        raise Malformed(f"error in a 200: {error_line(document)}")
    choices = document.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Malformed("no choices")
    choice = choices[0]
    finish = choice.get("finish_reason")
    if not isinstance(finish, str) or finish in _UNFINISHED:
        raise Malformed(f"finish_reason {finish!r}: the answer is not whole")
    model, fingerprint = document.get("model"), document.get("system_fingerprint")
    return Said(
        _whole(_text(choice)),
        _whole(finish),
        _usage(document.get("usage")),
        _whole(model) if isinstance(model, str) else "",
        _whole(fingerprint) if isinstance(fingerprint, str) else "",
        choice,
    )


def error_line(document: Any) -> str:
    """The message of an OpenAI-shaped error document, or "" where it has another shape."""
    error = document.get("error") if isinstance(document, dict) else None
    if isinstance(error, dict):
        error = error.get("message")
    return _whole(" ".join(error.split())[:300]) if isinstance(error, str) else ""


def error_code(document: Any) -> str:
    """`insufficient_quota` and its like."""
    error = document.get("error") if isinstance(document, dict) else None
    code = error.get("code") or error.get("type") if isinstance(error, dict) else None
    return code if isinstance(code, str) else ""


def _json(body: bytes | str) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("not JSON") from None


def _text(choice: dict[str, Any]) -> str:
    message = choice.get("message")
    if isinstance(message, dict):
        content = message.get("content")
        if content is None and any(message.get(name) for name in _SAID_OTHERWISE):
            return ""
    elif message is None:
        content = choice.get("text")
    else:
        raise Malformed("message is not an object")
    if not isinstance(content, str):
        raise Malformed(f"content is {type(content).__name__}, not text")
    return content


def _whole(text: str) -> str:
    """JSON can spell half a surrogate pair; no file can hold one."""
    return text if text.isascii() else text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def _usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not _count(prompt) or not _count(completion):
        return None
    return Usage(prompt, completion, min(cached, prompt) if _count(cached) else 0)  # type: ignore[type-var,arg-type]


def _count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST_COUNT


def _joined(body: bytes) -> dict[str, Any]:
    """The chunks of a stream as the one document it would have been."""
    text, message, logprobs = [], {}, {}  # type: ignore[var-annotated]
    whole: dict[str, Any] = {"usage": None}
    finish, ended, chat = None, False, False
    for line in body.splitlines():
        if not line.startswith(b"data:"):
            continue
        data = line[5:].strip()
        if data == b"[DONE]":
            ended = True
            break
        chunk = _json(data)
        if not isinstance(chunk, dict):
            raise Malformed("a chunk that is no object")
        if chunk.get("error"):
            raise Malformed(f"error in the stream: {error_line(chunk)}")
        whole |= {name: chunk[name] for name in ("model", "system_fingerprint", "usage") if chunk.get(name)}
        choices = chunk.get("choices")
        if not isinstance(choices, list) or not choices:
            continue
        choice = choices[0]
        if not isinstance(choice, dict) or not isinstance(choice.get("delta", {}), dict):
            raise Malformed("a choice that is no object")
        chat = chat or "delta" in choice
        delta = choice.get("delta", {})
        piece = delta.get("content") if "delta" in choice else choice.get("text")
        if piece is not None:
            if not isinstance(piece, str):
                raise Malformed(f"content is {type(piece).__name__}, not text")
            text.append(piece)
        for name in _SAID_OTHERWISE:
            if delta.get(name):
                before, more = message.get(name), delta[name]
                message[name] = before + more if isinstance(before, str) and isinstance(more, str) else more
        scores = choice.get("logprobs")
        for name, values in scores.items() if isinstance(scores, dict) else ():
            if isinstance(values, list):
                logprobs.setdefault(name, []).extend(values)
        finish = choice.get("finish_reason") or finish
    if finish is None or not ended:
        raise Malformed("truncated stream")
    said = "".join(text)
    choice = {"message": {"role": "assistant", "content": said} | message} if chat else {"text": said}
    return whole | {"choices": [choice | {"finish_reason": finish, "logprobs": logprobs or None}]}

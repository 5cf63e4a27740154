"""Documents to judge, and what a filter says of them."""

from __future__ import annotations

from typing import Any

from orionlm.data import filters
from orionlm.data.documents import Document
from orionlm.data.filters import Verdict


def document(text: str, domain: str = "text", id: str = "a") -> Document:
    return Document(text, "source", "group", id, domain)


def verdicts(name: str, texts: list[str], domain: str = "text", **settings: Any) -> list[Verdict]:
    module = filters.load(name)
    check = module.checker(module.Settings(**settings))
    return check([document(text, domain) for text in texts])


def verdict(name: str, text: str, domain: str = "text", **settings: Any) -> Verdict:
    return verdicts(name, [text], domain, **settings)[0]


def reason(name: str, text: str, domain: str = "text", **settings: Any) -> str:
    return verdict(name, text, domain, **settings).reason

"""What of a document may be shown to people? Its beginning, without secrets and persons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from orionlm.data.documents import Document
from orionlm.data.filters import load

SHOWN = 1_000  # characters of a removed document that a sample shows
# A secret that is cut cannot be told from other text: more is looked at than shown, and where that is cut too, its end
# stays out.
LOOKED_AT, END = 1 << 14, 1 << 12
NAMES = ("id", "source", "domain", "detail")


def shown(samples: Sequence[dict[str, Any]]) -> None:
    """Masks the text and the names of samples in place; `text`, given up to `LOOKED_AT` characters, is cut."""
    places = [(sample, name) for sample in samples for name in ("text", *NAMES)]
    clean = masked([sample[name] for sample, name in places])
    for (sample, name), text in zip(places, clean, strict=True):
        if name == "text":
            whole = len(sample[name]) < LOOKED_AT
            text = text[: min(SHOWN, len(text) if whole else max(0, len(text) - END))]
        sample[name] = text


def masked(texts: Sequence[str]) -> list[str]:
    """The texts without secrets and persons, whatever steps were asked for."""
    found = list(texts)
    for step in ("secrets", "personal"):
        verdicts = load(step).checker(load(step).Settings())([Document(text, "", "", "") for text in found])
        found = [text if verdict.text is None else verdict.text for text, verdict in zip(found, verdicts, strict=True)]
    return found

"""Which filters judge a document by itself, in which order, and what may they say?"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType, ModuleType
from typing import Any, NamedTuple

from orionlm.data.documents import Document


class Verdict(NamedTuple):
    """`reason`: "" keeps the document, else a short phrase that it is counted by; `detail`: what exactly, for samples.

    `text`: what to go on with, where the filter changed it; `counts`: what was found or masked, by kind; `found`: what
    the module's `findings` makes a report of.
    """

    reason: str = ""
    detail: str = ""
    text: str | None = None
    counts: Mapping[str, int] = MappingProxyType({})
    found: Sequence[Sequence[Any]] = ()


KEPT = Verdict()
Check = Callable[[Sequence[Document]], list[Verdict]]

# In the order they are asked, the cheap ones first. Each module has `Settings` and `checker(settings) -> Check`; where
# it reads files, `identity(settings)`, JSON that changes with them; where it tells of single documents,
# `findings(document, verdict)`, a list, and `report(settings, findings)`, JSON that is written to its `FILE`.
FILTERS: dict[str, str] = {
    "language": "orionlm.data.quality.language",
    "gopher": "orionlm.data.quality.gopher",
    "c4": "orionlm.data.quality.c4",
    "fineweb": "orionlm.data.quality.fineweb",
    "code": "orionlm.data.quality.code",
    "classifier": "orionlm.data.quality.classifier",
    "personal": "orionlm.data.privacy.personal",
    "secrets": "orionlm.data.privacy.secrets",
    "decontaminate": "orionlm.data.decontamination.decontaminate",
}


def load(name: str) -> ModuleType:
    return importlib.import_module(FILTERS[name])

"""Which steps does a curation take, in which order?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

EXACT, NEAR, LINES = "exact", "near_copies", "lines"


@dataclass(frozen=True)
class Steps:
    """`filters`: name → settings, each document by itself, in order; `near_copies` and `lines`: settings, or None.

    Exact copies always go. `identity` (JSON) stands for what filters read besides their settings.
    """

    filters: Mapping[str, Any]
    near_copies: Any = None
    lines: Any = None
    identity: Any = None

    def names(self) -> list[str]:
        """All steps in the order they are taken."""
        together = [name for name in (NEAR, LINES) if getattr(self, name) is not None]
        return [*self.filters, EXACT, *together]

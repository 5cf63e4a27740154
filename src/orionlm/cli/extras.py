"""Which optional packages belong to which extra, as the installed distribution declares them."""

from __future__ import annotations

import re
from importlib import metadata


def extras() -> dict[str, list[str]]:
    """Extra → its packages."""
    found: dict[str, list[str]] = {}
    for requirement in metadata.requires("orion-lm") or []:
        match = re.match(r"([A-Za-z0-9_.-]+)[^;]*;.*extra == ['\"]([^'\"]+)['\"]", requirement)
        if match:
            found.setdefault(match.group(2), []).append(match.group(1))
    return found


def extra_with(module: str) -> str | None:
    """The smallest extra that brings `module`, if one does."""
    try:
        found = {extra: len(packages) for extra, packages in extras().items() if module in packages}
        return min(found, key=found.__getitem__, default=None)
    except metadata.PackageNotFoundError:
        return None

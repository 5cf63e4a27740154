"""How commands print: JSON for programs, short tables for people."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any


def print_json(value: Any) -> None:
    """Print one JSON value on stdout."""
    print(json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns of numbers stand right-aligned, only the last is cut where the terminal ends."""
    import shutil

    widths = [max(len(row[n]) for row in (columns, *rows)) for n in range(len(columns))]
    right = [
        bool(rows) and all(row[n][:1].isdigit() or row[n] in ("", "–") for row in rows) for n in range(len(columns))
    ]
    width = shutil.get_terminal_size((120, 24)).columns
    for row in (columns, *rows):
        cells = [
            cell.rjust(size) if flush else cell.ljust(size)
            for cell, size, flush in zip(row, widths, right, strict=True)
        ]
        print(
            "  ".join(cells).rstrip()
            if len("  ".join(cells).rstrip()) <= width
            else "  ".join(cells)[: width - 1] + "…"
        )


def number(value: Any) -> str:
    """A value as a person reads it: 12,345 · 0.0312 · 1.2e+12."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, int) and abs(value) < 10**9:
        return f"{value:,}"
    if not math.isfinite(value):
        return "–"
    if value == 0 or 1e-3 <= abs(value) < 1e6:
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:.3g}"


def size(count: float) -> str:
    """Bytes as a person reads them."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"

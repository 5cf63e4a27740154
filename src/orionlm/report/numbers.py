"""Numbers as people read them: units, SI prefixes, intervals. A missing number is a dash."""

from __future__ import annotations

import math
from typing import Any

from orionlm.progress import duration

NARROW = "\u202f"  # a thin space that does not break
DASH = "–"
PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y", "R", "Q")


def _missing(value: Any) -> bool:
    return not isinstance(value, (int, float)) or not math.isfinite(value)


def si(value: float | None, unit: str = "") -> str:
    """Three digits and an SI prefix: `1.23 PFLOP`, `820 k`."""
    if value is None or _missing(value):
        return DASH
    step = 0 if abs(value) < 1000 else min(int(math.log10(abs(value)) // 3), len(PREFIXES) - 1)
    scaled = value / 1000**step
    if abs(float(f"{scaled:.3g}")) >= 1000 and step + 1 < len(PREFIXES):
        step, scaled = step + 1, scaled / 1000
    text = f"{scaled:.0f}" if not step and float(scaled).is_integer() else f"{scaled:.3g}"
    return f"{text}{NARROW}{PREFIXES[step]}{unit}".rstrip(NARROW)


def flops(value: float | None) -> str:
    return si(value, "FLOP")


def bits(value: float | None) -> str:
    """A loss in bits per byte."""
    return DASH if value is None or _missing(value) else f"{value:.3f}"


def between(low: float | None, high: float | None) -> str:
    """An interval of losses."""
    return DASH if _missing(low) or _missing(high) else f"{bits(low)}–{bits(high)}"


def percent(value: float | None) -> str:
    if value is None or _missing(value):
        return DASH
    if 0 < abs(value) < 0.0005:
        return "<0.1%"
    return f"{100 * value:.1f}%" if abs(value) < 0.095 else f"{100 * value:.0f}%"


def times(value: float | None) -> str:
    if value is None or _missing(value):
        return DASH
    return f"{value:.3g}×" if value < 1000 else f"{value:,.0f}×"


def seconds(value: float | None) -> str:
    if value is None or _missing(value):
        return DASH
    if value >= 2 * 365.25 * 86400:
        return f"{si(value / (365.25 * 86400))} years"
    return f"{value:.1f} s" if value < 9.95 else duration(value)


def dollars(value: float | None) -> str:
    if value is None or _missing(value):
        return DASH
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:.2g}"


def plain(value: Any) -> str:
    """A setting as a person writes it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return DASH
    if isinstance(value, int) and abs(value) >= 10000:
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(item) for item in value) or DASH
    return str(value)


FILTERS = {f.__name__: f for f in (si, flops, bits, percent, times, seconds, dollars, plain)}

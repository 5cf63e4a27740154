"""How is what was found in a text replaced, and counted?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from orionlm.data.filters import KEPT, Verdict

ROUNDS = 8  # what a replacement lays bare is found in the next one


class Found(NamedTuple):
    """What stands in a text from `start` to before `end`; `mask` False: an example, which is counted and left."""

    start: int
    end: int
    kind: str
    mask: bool = True


Finder = Callable[[str], Sequence[Found]]


def masked(text: str, find: Finder, replacements: Mapping[str, str]) -> Verdict:
    """The text with what `find` found replaced by its kind's replacement, and how often each kind was."""
    counts: Counter[str] = Counter()
    new = text
    for number in range(ROUNDS):
        found = apart(find(new))
        examples = Counter(f"{one.kind} (example)" for one in found if not one.mask)
        mask = [one for one in found if one.mask]
        if number == 0:
            counts.update(examples)
        counts.update(one.kind for one in mask)
        if not mask:
            break
        new = _replaced(new, mask, replacements)
    if not counts:
        return KEPT
    detail = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
    return Verdict(detail=detail, text=None if new == text else new, counts=dict(counts))


def apart(found: Sequence[Found]) -> list[Found]:
    """Those that do not overlap an earlier or, from the same place, a longer one."""
    kept: list[Found] = []
    end = 0
    for one in sorted(found, key=lambda one: (one.start, -one.end)):
        if one.start >= end:
            kept.append(one)
            end = one.end
    return kept


def _replaced(text: str, found: Sequence[Found], replacements: Mapping[str, str]) -> str:
    pieces, at = [], 0
    for one in found:
        pieces += [text[at : one.start], replacements[one.kind]]
        at = one.end
    return "".join([*pieces, text[at:]])


def likely(texts: Sequence[str], patterns: Mapping[str, str]) -> list[list[str]]:
    """For each text which of the patterns (name → RE2) stand in it: ten times as fast as looking where."""
    import pyarrow as pa
    import pyarrow.compute as pc

    array = pa.array([text.encode("utf-8", "replace") for text in texts], pa.large_binary())
    found: list[list[str]] = [[] for _ in texts]
    for name, pattern in patterns.items():
        for place in pc.indices_nonzero(pc.match_substring_regex(array, pattern)).to_pylist():
            found[place].append(name)
    return found

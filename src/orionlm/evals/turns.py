"""Which request goes next? None that begins like one being read: it waits until that can be shared."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence


class Turns:
    """Requests in the order of their tokens; `pop` gives the next that would read no page which another reads now.

    The engine shares full pages of `size` tokens once they are read. Four choices of one question that start together
    would read the question four times.
    """

    def __init__(self, prompts: Sequence[Sequence[int]], shareable: Sequence[int], size: int) -> None:
        self._pages = [_names(prompt, most, size) for prompt, most in zip(prompts, shareable, strict=True)]
        self._ready = deque(sorted(range(len(prompts)), key=lambda n: list(prompts[n])))
        self._read: set[int] = set()
        self._reading: set[int] = set()
        self._waiting: defaultdict[int, list[int]] = defaultdict(list)
        self._owned: dict[int, list[int]] = {}

    def pop(self) -> int | None:
        """None while all that are left wait for what is being read."""
        while self._ready:
            request = self._ready.popleft()
            new = [page for page in self._pages[request] if page not in self._read]
            if new and new[0] in self._reading:
                self._waiting[new[0]].append(request)
                continue
            self._reading.update(new)
            self._owned[request] = new
            return request
        return None

    def has_read(self, request: int) -> None:
        """Its prompt is in the cache: who waited for a beginning of it may go."""
        for page in self._owned.pop(request, ()):
            self._reading.discard(page)
            self._read.add(page)
            self._ready.extendleft(reversed(self._waiting.pop(page, ())))


def _names(prompt: Sequence[int], most: int, size: int) -> list[int]:
    """A number for each full page among the first `most` tokens, which depends on all before it."""
    names, name = [], 0
    for start in range(0, most - size + 1, size):
        name = hash((name, *prompt[start : start + size]))
        names.append(name)
    return names

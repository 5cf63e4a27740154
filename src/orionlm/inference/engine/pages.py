"""Which page of the cache holds which tokens? Pages are handed out, shared between equal beginnings, and used again."""

from __future__ import annotations

import hashlib
from array import array
from collections import OrderedDict
from collections.abc import Sequence

ROOT = b""


class Pages:
    """`count` pages of `size` tokens.

    A full page is known by a digest of its tokens and all before them, so that a later sequence that begins alike takes
    it over. A page nobody uses keeps its tokens until it is needed, the longest unused first.
    """

    def __init__(self, count: int, size: int) -> None:
        self.count, self.size = count, size
        self.users = [0] * count
        self._names: list[bytes | None] = [None] * count
        self._known: dict[bytes, int] = {}
        self._unused: OrderedDict[int, None] = OrderedDict.fromkeys(range(count))

    @property
    def free(self) -> int:
        """Pages that nobody uses."""
        return len(self._unused)

    def take(self) -> int:
        """A page to write to."""
        page, _ = self._unused.popitem(last=False)
        name = self._names[page]
        if name is not None:
            del self._known[name]
            self._names[page] = None
        self.users[page] = 1
        return page

    def name(self, before: bytes, tokens: Sequence[int]) -> bytes:
        """The digest that a full page of `tokens` has after the page called `before`."""
        assert len(tokens) == self.size
        return hashlib.blake2b(before + array("q", tokens).tobytes(), digest_size=16).digest()

    def known(self, name: bytes) -> int | None:
        """The page of that name, if one holds it."""
        return self._known.get(name)

    def share(self, page: int) -> None:
        """One user more."""
        if self.users[page] == 0:
            del self._unused[page]
        self.users[page] += 1

    def publish(self, page: int, name: bytes) -> None:
        """The page is full and will not change: others may use it. Where an equal one is known, that one stays."""
        if name not in self._known:
            self._known[name] = page
            self._names[page] = name

    def give_back(self, pages: Sequence[int]) -> None:
        """One user less of each. The last pages of a sequence are the first to be used again."""
        for page in reversed(pages):
            self.users[page] -= 1
            assert self.users[page] >= 0
            if self.users[page] == 0:
                self._unused[page] = None
                if self._names[page] is None:
                    self._unused.move_to_end(page, last=False)

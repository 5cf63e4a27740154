from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from orionlm.inference.engine.pages import ROOT, Pages


class Sharing(RuleBasedStateMachine):
    """Sequences of two-token pages over a small cache, against what each page truly holds."""

    def __init__(self) -> None:
        super().__init__()
        self.pages = Pages(6, 2)
        self.holds: dict[int, tuple[int, ...]] = {}  # page → all tokens up to its end
        self.sequences: list[tuple[list[int], tuple[int, ...], bytes]] = []

    @rule()
    def begin(self) -> None:
        self.sequences.append(([], (), ROOT))

    @precondition(lambda self: self.sequences)
    @rule(which=st.integers(0, 99), tokens=st.tuples(st.integers(0, 1), st.integers(0, 1)))
    def grow(self, which: int, tokens: tuple[int, int]) -> None:
        mine, before, name = self.sequences[which % len(self.sequences)]
        following = self.pages.name(name, tokens)
        page = self.pages.known(following)
        if page is not None:
            assert self.holds[page] == before + tokens, "a shared page holds other tokens"
            self.pages.share(page)
        elif self.pages.free:
            page = self.pages.take()
            assert not any(page in others for others, _, _ in self.sequences), "a page in use was handed out"
            self.holds[page] = before + tokens
            self.pages.publish(page, following)
        else:
            return
        mine.append(page)
        self.sequences[which % len(self.sequences)] = (mine, before + tokens, following)

    @precondition(lambda self: self.sequences)
    @rule(which=st.integers(0, 99))
    def end(self, which: int) -> None:
        mine, _, _ = self.sequences.pop(which % len(self.sequences))
        self.pages.give_back(mine)

    @invariant()
    def users_are_counted(self) -> None:
        for page in range(6):
            assert self.pages.users[page] == sum(mine.count(page) for mine, _, _ in self.sequences)
        assert self.pages.free == self.pages.users.count(0)


Sharing.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_pages_in_use_are_never_handed_out_and_shared_ones_hold_the_tokens_they_are_known_for = Sharing.TestCase


def test_an_unused_page_keeps_its_tokens_until_it_is_needed_the_longest_unused_first():
    pages = Pages(3, 1)
    names = []
    for token in range(3):
        page = pages.take()
        names.append(pages.name(ROOT, [token]))
        pages.publish(page, names[-1])
        pages.give_back([page])
    assert [pages.known(name) for name in names] == [0, 1, 2]
    pages.take()
    assert [pages.known(name) for name in names] == [None, 1, 2]

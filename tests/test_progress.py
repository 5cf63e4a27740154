from __future__ import annotations

import io

import pytest

from orionlm import progress as progress_module
from orionlm.progress import Progress, duration


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    return now


def work(stream, clock, quiet=False):
    """Ten units of 2 s each, begun at unit 2 as after a kill."""
    progress = Progress(quiet=quiet, stream=stream)
    with progress.task("ladder d64", total=10) as task:
        for done in range(2, 11):
            task.update(done, note="loss 2.31")
            clock[0] += 2
    progress.say("ladder: done")
    return stream.getvalue()


def test_a_terminal_shows_share_and_time_left_from_the_speed_of_this_attempt(clock):
    shown = work(Terminal(), clock)
    assert "ladder d64 · 50% · 10 s left · loss 2.31" in shown
    assert shown.endswith("\r\x1b[Kladder: done\n")


def test_a_file_gets_whole_lines_and_few_of_them(clock):
    lines = work(io.StringIO(), clock).splitlines()
    assert lines[-1] == "ladder: done"
    assert 1 < len(lines) < 6
    assert all(line.startswith("ladder d64 · ") and "\r" not in line for line in lines[:-1])


def test_quiet_says_nothing(clock):
    assert work(Terminal(), clock, quiet=True) == ""


def test_durations_read_as_people_say_them():
    said = [duration(seconds) for seconds in (0.4, 59, 200, 7500, 273600)]
    assert said == ["0 s", "59 s", "3 min 20 s", "2 h 05 min", "3 d 4 h"]

from __future__ import annotations

import ast
import gc
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orionlm.data.quality import syntax
from orionlm.data.quality.syntax import Parser

parser = Parser()


@given(
    st.text().filter(lambda text: not text.startswith("\ufeff")) | st.text(alphabet="ab10()[]:=+ \n\"'#\\", max_size=40)
)
def test_the_answer_is_that_of_pythons_own_parser(text):
    try:
        ast.parse(text)
        compile(text, "x", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        assert parser.error(text)
    else:
        assert parser.error(text) == ""


def test_the_line_of_the_error_is_told():
    assert parser.error("a = 1\nb = \n").startswith("line 2: ")


def test_a_byte_order_mark_is_no_error():
    assert parser.error("\ufeffa = 1\n") == ""


@pytest.mark.parametrize(
    "text",
    ["(" * 100_000, "-" * 500_000 + "1", "1+" * 300_000 + "1", "a" + ".a" * 300_000, "lambda:" * 100_000, "x\0y"]
    + ["".join(" " * depth + "if 1:\n" for depth in range(900)), "1" * 900_000, "print " * 100_000],
)
def test_hostile_nesting_does_not_parse_and_does_no_harm(text):
    began = time.monotonic()
    assert parser.error(text)
    assert parser.error("fine = 1") == ""
    assert time.monotonic() - began < 20


def test_a_text_that_takes_all_memory_or_time_is_given_up_and_the_next_is_read():
    small = Parser(seconds=1, memory=1 << 28)
    began = time.monotonic()
    assert small.error("import " + "a." * 400_000 + "a")
    assert small.error("fine = 1") == ""
    assert time.monotonic() - began < 30


def test_a_child_that_dies_costs_one_answer():
    own = Parser()
    assert own.error("a = 1") == ""
    os.kill(own.child.pid, signal.SIGKILL)
    assert "crashed" in own.error("a = 1")
    assert own.error("a = 1") == ""


def test_the_child_ends_with_its_parser():
    own = Parser()
    own.error("a = 1")
    child = own.child
    del own
    gc.collect()
    assert child.poll() is not None


def test_the_child_ends_when_the_process_that_asked_is_killed():
    program = (
        "import os, sys, time\nfrom orionlm.data.quality.syntax import Parser\nparser = Parser()\n"
        "parser.error('a = 1')\nprint(parser.child.pid, flush=True)\ntime.sleep(60)\n"
    )
    asking = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    child = int(asking.stdout.readline())
    asking.kill()
    asking.wait()
    for _ in range(200):
        if not _alive(child):
            return
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    raise AssertionError("the child is still there")


def _alive(process: int) -> bool:
    try:
        with open(f"/proc/{process}/stat", "rb") as stat:
            return stat.read().rsplit(b")", 1)[1].split()[0] != b"Z"
    except FileNotFoundError:
        return False


def test_the_childs_program_imports_nothing_of_ours():
    lines = Path(syntax.__file__).read_text(encoding="utf-8").splitlines()
    assert not [line for line in lines if line.lstrip().startswith(("import ", "from ")) and "orionlm" in line]

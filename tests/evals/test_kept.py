from __future__ import annotations

import errno
import os
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orionlm.errors import UserError
from orionlm.evals import kept
from orionlm.evals.answerer import Failed, Rendered, Scored, TooLong, Written
from orionlm.evals.kept import Kept, pair_key, prompt_key
from orionlm.sampling import Sampling

ANSWERS = {
    "scored": Scored(-1.5, True, 2, 7),
    "long": TooLong("600 tokens"),
    "written": [Written("a", "stop", 1), Written("é", "length", 2)],
}


def test_what_is_kept_is_found_before_and_after_it_is_on_disk(tmp_path):
    for _ in range(2):
        store = Kept(tmp_path / "answers.sqlite")
        for key, answer in ANSWERS.items():
            store.keep(key, answer)
            assert store.find(key) == answer
        store.keep("failed", Failed("away"))
        assert store.find("failed") is None
        store.close()
    store = Kept(tmp_path / "answers.sqlite")
    assert {key: store.find(key) for key in ANSWERS} == ANSWERS
    store.close()


def test_two_evaluations_keep_their_answers_in_one_file(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "PATIENCE_SECONDS", 0.05)
    one, other = Kept(tmp_path / "answers.sqlite"), Kept(tmp_path / "answers.sqlite")
    one.keep("a", ANSWERS["scored"])
    other.keep("b", ANSWERS["written"])
    other.flush()
    assert one.find("b") == ANSWERS["written"]
    one.close()
    assert other.find("a") == ANSWERS["scored"]
    other.close()


BOTH = """
import sys
from pathlib import Path
from orionlm.evals.answerer import Scored
from orionlm.evals.kept import Kept
sys.stdin.readline()
store = Kept(Path(sys.argv[1]))
for n in range(200):
    store.keep(f"{sys.argv[2]} {n}", Scored(-1.0, True, 1, 1))
    store.flush()
store.close()
"""


def test_evaluations_that_start_together_and_write_all_the_time_do_not_lock_each_other_out(tmp_path):
    command = [sys.executable, "-c", BOTH, str(tmp_path / "answers.sqlite")]
    both = [subprocess.Popen([*command, name], stdin=subprocess.PIPE, text=True) for name in "ab"]
    for process in both:
        process.stdin.write("go\n")  # type: ignore[union-attr]
        process.stdin.close()  # type: ignore[union-attr]
    assert [process.wait(60) for process in both] == [0, 0]
    connection = sqlite3.connect(tmp_path / "answers.sqlite")
    assert connection.execute("SELECT count(*) FROM answers").fetchone() == (400,)
    connection.close()


OPENED = """
import sys, time
from pathlib import Path
from orionlm.evals.kept import Kept
print("ready", flush=True)
for line in sys.stdin:
    path, at = line.split()
    while time.time() < float(at):
        pass
    Kept(Path(path)).close()
"""


def test_a_new_file_that_two_open_at_the_same_moment_is_open_to_both(tmp_path):
    command = [sys.executable, "-c", OPENED]
    both = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in "ab"]
    for process in both:
        assert process.stdout.readline() == "ready\n"  # type: ignore[union-attr]
    began = time.time() + 0.2
    asked = "".join(f"{tmp_path / f'{number}.sqlite'} {began + number / 50}\n" for number in range(40))
    for process in both:
        process.stdin.write(asked)  # type: ignore[union-attr]
        process.stdin.close()  # type: ignore[union-attr]
    assert [process.wait(60) for process in both] == [0, 0]


def test_a_file_that_another_program_holds_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(kept, "PATIENCE_SECONDS", 0.05)
    store = Kept(tmp_path / "answers.sqlite")
    holder = sqlite3.connect(tmp_path / "answers.sqlite")
    holder.execute("BEGIN IMMEDIATE")
    store.keep("a", ANSWERS["scored"])
    with pytest.raises(UserError, match="answers.sqlite: locked by another program; close it and run this again"):
        store.flush()
    holder.close()
    store.close()
    again = Kept(tmp_path / "answers.sqlite")
    assert again.find("a") == ANSWERS["scored"], "what waited is written once there is room"
    again.close()


def test_a_full_disk_is_named_as_one(tmp_path):
    store = Kept(tmp_path / "answers.sqlite")
    store._connection.execute("PRAGMA max_page_count = 3")
    store.keep("a", [Written("x" * 100_000, "stop", 1)])
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)) as error:
        store.flush()
    assert error.value.errno == errno.ENOSPC and Path(error.value.filename) == tmp_path / "answers.sqlite"
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        store.close()


def test_what_is_no_store_is_one_line(tmp_path):
    (tmp_path / "answers.sqlite").write_bytes(b"what is this " * 1000)
    with pytest.raises(UserError, match="answers.sqlite: .*; move it away to ask everything again"):
        Kept(tmp_path / "answers.sqlite")


def test_the_same_words_from_a_chat_template_are_another_question():
    assert pair_key("m", ("User: hi", " yes")) != pair_key("m", (Rendered("User: hi"), " yes"))
    assert prompt_key("m", "User: hi", Sampling()) != prompt_key("m", Rendered("User: hi"), Sampling())

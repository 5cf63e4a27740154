"""Does a text parse as Python? Asked of a child process, because a parser can be made to take all memory, or for ever.

1 MB of `import a.a.a…` would take CPython's parser more than 100 GB. The child may use so many seconds of processor
time for a text and so much memory; where it ends or gives up, the text does not parse, and the next gets a new child.
It builds the symbol table, not the tree: that is twice as fast, finds the same errors, and nests less in C.

This file is also the child's program: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import weakref
from typing import IO

SECONDS = 10
MEMORY = 1 << 30


class Parser:
    """One child, started when first needed. It ends with the process that asked: its input is then at its end."""

    def __init__(self, seconds: int = SECONDS, memory: int = MEMORY) -> None:
        self.seconds, self.memory = seconds, memory
        self.child: subprocess.Popen[bytes] | None = None

    def error(self, text: str) -> str:
        """What is wrong with it ("" where nothing is)."""
        if self.child is None:
            command = [sys.executable, "-I", "-S", os.path.abspath(__file__), str(self.seconds), str(self.memory)]
            pipe = subprocess.PIPE
            self.child = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
            weakref.finalize(self, _end, self.child)
        assert self.child.stdin and self.child.stdout
        try:
            _send(self.child.stdin, text.encode())
            return _receive(self.child.stdout).decode()
        except (BrokenPipeError, EOFError):
            _end(self.child)
            self.child = None
            return f"the parser took more than {self.seconds} s or {self.memory >> 20:,} MB, or crashed"


def _end(child: subprocess.Popen[bytes]) -> None:
    child.kill()
    child.wait()
    for pipe in (child.stdin, child.stdout):
        if pipe:
            with contextlib.suppress(BrokenPipeError):  # what it had not read yet
                pipe.close()


def _send(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(8, "little") + content)
    pipe.flush()


def _receive(pipe: IO[bytes]) -> bytes:
    head = pipe.read(8)
    content = pipe.read(int.from_bytes(head, "little"))
    if len(head) < 8:
        raise EOFError
    return content


def _serve(seconds: int, memory: int) -> None:
    import resource
    import signal
    import symtable
    import warnings

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while True:
        try:
            content = _receive(sys.stdin.buffer)
        except EOFError:
            return
        spent = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(spent.ru_utime + spent.ru_stime) + seconds + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        answer = ""
        try:
            symtable.symtable(content.decode("utf-8-sig"), "text", "exec")
        except SyntaxError as error:
            answer = f"line {error.lineno}: {str(error.msg)[:200]}"
        except (ValueError, RecursionError, MemoryError) as error:
            answer = f"{type(error).__name__}: {str(error)[:200] or 'nested too deeply, or too large'}"
        _send(sys.stdout.buffer, answer.encode(errors="replace"))


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))

"""Where are programs run? In forks of a zygote that is started here, isolated as well as the machine allows, or not."""

from __future__ import annotations

import json
import os
import platform
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack, suppress
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import orionlm
from orionlm.errors import UserError
from orionlm.tasks.sandbox import codec, seccomp
from orionlm.tasks.sandbox.limits import STANDARD, Kind, Limits, Result
from orionlm.tasks.sandbox.process import Ended, Process, SandboxFailure

START = """
import sys
sys.path.append(sys.argv[1])
from orionlm.tasks.sandbox.zygote import main
sys.path.pop()
main(int(sys.argv[2]), *sys.argv[3:])
"""
KINDS = ("namespaces", "landlock")
MEND = (
    "let the user make namespaces (sysctl user.max_user_namespaces above 0, kernel.unprivileged_userns_clone=1, "
    "kernel.apparmor_restrict_unprivileged_userns=0; in a container: --security-opt seccomp=unconfined), or use Linux "
    "5.13 or newer with Landlock"
)

LABELS: dict[str, Kind] = {"MemoryError": "out_of_memory", codec.Unserialisable.__name__: "refused"}


class Sandbox:
    """Runs any number of programs at once, from any number of threads.

    `isolation` is what this machine allows, best first: UserError where it allows none of `kinds`. Nothing is ever run
    without. A zygote that dies is replaced at the next start; what ran then raises `SandboxFailure`."""

    def __init__(self, kinds: tuple[str, ...] = KINDS) -> None:
        self._lock = threading.Lock()
        self._zygote: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self.isolation = self._choose(kinds)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self, limits: Limits = STANDARD) -> Process:
        """A new process, isolated and waiting to be told what to run."""
        if limits.processes > 1 and self.isolation != "namespaces":
            raise UserError(f"processes: {limits.processes}; more than one needs user namespaces: {MEND}")
        with ExitStack() as kept, ExitStack() as given:

            def pipe(our_end: int) -> tuple[int, int]:
                """(our end, that of the program)."""
                ends = os.pipe()
                kept.callback(os.close, ends[our_end])
                given.callback(os.close, ends[1 - our_end])
                return ends[our_end], ends[1 - our_end]

            ours, report = socket.socketpair()
            kept.callback(ours.close)
            given.callback(report.close)
            (to_source, source), (from_sink, sink), (from_output, output) = pipe(1), pipe(0), pipe(0)
            self._request(limits, [report.fileno(), source, sink, output])
            kept.pop_all()
        return Process(limits, ours, to_source, from_sink, from_output)

    def run(self, code: str, *, stdin_json: Any = None, limits: Limits = STANDARD) -> Result:
        """Run a program as `__main__`, with `stdin_json` as JSON on its standard input; its value is what it left in
        the global `result`."""
        first = {"role": "program", "name": "__main__", "code": code, "stdin": json.dumps(stdin_json)}
        with self.start(limits) as process:
            try:
                answer = understood(process.ask(first))
                if "raised" in answer:
                    kind: Kind = LABELS.get(answer["raised"], "raised")
                    value, detail = None, f"{answer['raised']}: {answer['message']}"
                else:
                    kind, value, detail = "returned", codec.plain(answer["returned"]), ""
            except Ended as end:
                kind, value, detail = end.kind, None, end.detail
            process.close()
            return Result(kind, value, detail, process.printed.decode(errors="replace"), process.seconds)

    def close(self) -> None:
        """End the zygote, and with it all that runs."""
        with self._lock:
            if self._channel:
                self._channel.close()
                self._channel = None
            if self._zygote:
                self._zygote.kill()
                self._zygote.wait()
                self._zygote = None

    def _request(self, limits: Limits, descriptors: list[int]) -> None:
        packet = json.dumps(asdict(limits)).encode()
        with self._lock:
            for attempt in range(2):
                if self._channel is None or self._zygote is None or self._zygote.poll() is not None:
                    self._begin(self.isolation)
                assert self._channel
                try:
                    socket.send_fds(self._channel, [packet], descriptors)
                    return
                except OSError as error:
                    self._channel.close()
                    self._channel = None
                    if attempt:
                        raise SandboxFailure(f"the sandbox failed: {error}") from None

    def _choose(self, kinds: tuple[str, ...]) -> str:
        if sys.platform != "linux" or not seccomp.supported():
            raise UserError(
                f"sandbox: {sys.platform} on {platform.machine()} cannot isolate programs here; use Linux on x86_64 or "
                "aarch64"
            )
        refused = []
        for kind in kinds:
            try:
                self._begin(kind)
                return kind
            except SandboxFailure as error:
                refused.append(f"{kind} ({error})")
        raise UserError(f"sandbox: this machine refuses {' and '.join(refused)}; programs are not run without: {MEND}")

    def _begin(self, kind: str) -> None:
        if self._zygote:
            self._zygote.kill()
            self._zygote.wait()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        folder = tempfile.mkdtemp(prefix="sandbox-")
        root = str(Path(orionlm.__file__).parents[1])
        # Strings hash alike in every run, so that a program that depends on it is graded alike.
        environment = {"PYTHONHASHSEED": "0"} | {k: v for k, v in os.environ.items() if k == "LD_LIBRARY_PATH"}
        try:
            self._zygote = subprocess.Popen(
                [sys.executable, "-s", "-S", "-P", "-X", "utf8", "-c", START, root, str(theirs.fileno()), kind, folder],
                env=environment,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
            theirs.close()
            ours.settimeout(60)
            said = json.loads(ours.recv(1 << 16) or b'{"failed": "the interpreter did not start"}')
            if "failed" in said:
                raise SandboxFailure(said["failed"])
            ours.settimeout(None)
        except (OSError, SandboxFailure) as error:
            ours.close()
            raise SandboxFailure(str(error)) from None
        finally:
            with suppress(OSError):
                os.rmdir(folder)
        if self._channel:
            self._channel.close()
        self._channel = ours


def understood(answer: Any) -> dict[str, Any]:
    """A program's answer, if it is one: {"returned": value, ...} or {"raised": name, "base": the builtin that it is a
    kind of, "message": text}. Else `Ended`."""
    try:
        if not isinstance(answer, dict):
            raise ValueError
        if "raised" in answer:
            return {name: _text(answer[name]) for name in ("raised", "base", "message")}
        codec.check(answer["returned"])
        args = answer.get("args")
        if args is not None:
            codec.check(args)
        return {"returned": answer["returned"], "args": args}
    except (ValueError, KeyError):
        raise Ended("refused", "what it sent is not in the protocol") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError
    return value[:500].encode(errors="replace").decode()


def run(code: str, *, stdin_json: Any = None, limits: Limits = STANDARD) -> Result:
    """`Sandbox.run` in one sandbox that this process keeps."""
    return shared(os.getpid()).run(code, stdin_json=stdin_json, limits=limits)


@cache
def shared(process: int) -> Sandbox:
    """The sandbox of a process, made when first asked for."""
    return Sandbox()

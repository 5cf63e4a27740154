"""Our end of one sandboxed process: messages in and out, under limits that the parent keeps."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import time
from contextlib import suppress
from typing import Any

from orionlm.tasks.sandbox import frames
from orionlm.tasks.sandbox.limits import Kind, Limits

PATIENCE = 60.0  # seconds for the keeper to report an end that it was told to bring about

GRACE = 1.0  # seconds between a pipe that is closed and the report of why


class SandboxFailure(RuntimeError):
    """The sandbox itself failed: nothing is known of the program."""


class Ended(Exception):
    """The process will say no more, and why."""

    def __init__(self, kind: Kind, detail: str) -> None:
        super().__init__(detail)
        self.kind: Kind = kind
        self.detail = detail


class Process:
    """A fork of the zygote. `ask` and `listen` raise `Ended` once there is nothing more to hear, `SandboxFailure` if
    that is our fault. Leaving the block kills it, with all that it started, and waits until that is done."""

    def __init__(self, limits: Limits, report: socket.socket, source: int, sink: int, output: int) -> None:
        self.limits = limits
        self.printed = b""
        self.cpu_seconds = 0.0
        self._began = time.monotonic()
        self._deadline = self._began + limits.wall_seconds
        self._report, self._source, self._sink, self._output = report, source, sink, output
        self._to_send = memoryview(b"")
        self._heard = bytearray()
        self._open = {report.fileno(), sink, output}
        self.ended: Ended | None = None
        self._closed = False
        for descriptor in (source, sink, output):
            os.set_blocking(descriptor, False)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._began

    def ask(self, message: Any) -> Any:
        """Send a message and wait for the next one from there."""
        self.send(message)
        return self.listen()

    def send(self, message: Any) -> None:
        """Hand over a message; it goes out while we listen."""
        self._to_send = memoryview(bytes(self._to_send) + frames.pack(message))

    def listen(self) -> Any:
        """The next message. It comes from the process: any JSON at all, or not even that."""
        while True:
            message = self._next_frame()
            if message is not None:
                try:
                    return json.loads(message)
                except (ValueError, RecursionError):
                    raise self._end("refused", "what it sent is not in the protocol") from None
            if self.ended:
                raise self.ended
            self._wait()

    def close(self) -> None:
        """Kill it, wait until it and all it started are gone, and take what it printed."""
        if self._closed:
            return
        try:
            if self._report.fileno() in self._open:
                self._finish()
        finally:
            self._closed = True
            self._report.close()
            for descriptor in (self._source, self._sink, self._output):
                os.close(descriptor)

    def _next_frame(self) -> bytes | None:
        if len(self._heard) < frames.HEAD:
            return None
        end = frames.HEAD + int.from_bytes(self._heard[: frames.HEAD], "big")
        if end > self.limits.output + frames.HEAD:
            raise self._end("flooded", f"a result of {end} bytes, above the limit of {self.limits.output}")
        if len(self._heard) < end:
            return None
        frame = bytes(self._heard[frames.HEAD : end])
        del self._heard[:end]
        return frame

    def _wait(self) -> None:
        """Let time pass until anything happens."""
        left = self._deadline - time.monotonic()
        if left <= 0 and self._sink not in self._open:
            raise self._end("refused", "it closed its pipe without a result")
        if left <= 0:
            raise self._end("timed_out", f"{self.limits.wall_seconds:g} s of time were not enough")
        poll = select.poll()
        for descriptor in self._open:
            poll.register(descriptor, select.POLLIN)
        if self._to_send:
            poll.register(self._source, select.POLLOUT)
        happened = {descriptor for descriptor, _ in poll.poll(left * 1000 + 1)}
        if self._source in happened:
            self._push()
        before = set(self._open)
        for descriptor in happened & {self._sink, self._output}:
            self._pull(descriptor)
        closed = before - self._open
        if self._report.fileno() in happened:
            self._conclude()
        elif self._sink in closed:  # it ended, which the keeper is about to report, or it has nothing more to say
            self._deadline = min(self._deadline, time.monotonic() + GRACE)

    def _push(self) -> None:
        try:
            self._to_send = self._to_send[os.write(self._source, self._to_send[: 1 << 16]) :]
        except BlockingIOError:
            pass
        except BrokenPipeError:  # nobody reads: the other pipes tell why
            self._to_send = memoryview(b"")

    def _pull(self, descriptor: int) -> bool:
        """Read once; whether there may be more."""
        try:
            part = os.read(descriptor, 1 << 16)
        except BlockingIOError:
            return False
        if not part:
            self._open.discard(descriptor)
            return False
        if descriptor == self._sink:
            self._heard += part
        else:
            self.printed += part
        if len(self._heard) + len(self.printed) > self.limits.output + frames.HEAD:
            raise self._end("flooded", f"more than {self.limits.output} bytes of output")
        return True

    def _conclude(self) -> None:
        """The keeper has reported the end: take what is still in the pipes, and the reason."""
        end = self._read_report()
        for descriptor in (self._sink, self._output):
            while descriptor in self._open and self._pull(descriptor):
                pass
        self.ended = self.ended or self._reason(end["status"])

    def _read_report(self) -> dict[str, Any]:
        self._open.discard(self._report.fileno())
        said = self._report.recv(1 << 16)
        end: dict[str, Any] = json.loads(said) if said else {"failed": "its parent process was killed"}
        if "failed" in end:
            raise SandboxFailure(f"the sandbox failed: {end['failed']}")
        self.cpu_seconds = end["cpu"]
        return end

    def _reason(self, status: int) -> Ended:
        code = os.waitstatus_to_exitcode(status)
        if code >= 0:
            return Ended("refused", "it ended itself without a result")
        # On a busy machine the limit, which counts ticks, is reached before the time that is reported.
        if -code == signal.SIGKILL and self.cpu_seconds >= 0.5 * self.limits.cpu_seconds:
            return Ended("timed_out", f"{self.limits.cpu_seconds} s of CPU were not enough")
        names = {each.value: each.name for each in signal.Signals}  # of real-time signals the first and last alone
        return Ended("killed", f"killed by {names.get(-code, f'signal {-code}')}")

    def _end(self, kind: Kind, detail: str) -> Ended:
        """Bring about the end, for this reason."""
        self.ended = self.ended or Ended(kind, detail)
        if self._report.fileno() in self._open:
            self._finish()
        return self.ended

    def _finish(self) -> None:
        with suppress(OSError):
            self._report.shutdown(socket.SHUT_WR)
        self._report.settimeout(PATIENCE)
        try:
            self._read_report()
        except TimeoutError:
            raise SandboxFailure(f"the sandbox failed: a program was not gone {PATIENCE:g} s after its end") from None
        with suppress(Ended):
            while self._output in self._open and self._pull(self._output):
                pass

"""The warm parent: a clean interpreter that isolates itself, then forks a keeper for each program.

It runs in a process of its own and never sees a program, an input or an answer: a request is a packet with limits and
four descriptors, and what matters goes through these, past the zygote. So a program that reads all of its memory, which
it has from the zygote, learns nothing.

The keeper of a program waits for its end, kills it and all it started when told to or when our side is gone, and
reports status and use. That isolation was complete it hears through a pipe that is closed before a line of the program
runs: what says otherwise is our failure, and nothing that a program does can look like it.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import select
import signal
import socket
from contextlib import suppress

from orionlm.tasks.sandbox import kernel, served
from orionlm.tasks.sandbox.isolation import KINDS, Isolation, limit, threads
from orionlm.tasks.sandbox.limits import Limits

# What programs import most: loaded once here, and shared by all. Not random or threading: after each fork they work for
# longer than a program that wants them needs to load them.
WARM = (
    "abc bisect cmath collections copy dataclasses datetime decimal enum fractions functools heapq itertools json math "
    "operator re string textwrap typing"
)
LOOK = 20  # milliseconds between counts of a program's threads


def main(descriptor: int, kind: str, folder: str) -> None:
    """Serve until the other end of the socket is closed."""
    channel = socket.socket(fileno=descriptor)
    try:
        for name in WARM.split():
            importlib.import_module(name)
        with suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")  # where memory is short, programs go first
        isolation = KINDS[kind](folder)
        nothing = os.open("/dev/null", os.O_RDONLY)
        os.dup2(nothing, 0)  # what stood there is the machine's own, whose times could be set through it
        os.close(nothing)
    except OSError as error:
        channel.send(json.dumps({"failed": f"{error}"}).encode())
        return
    channel.send(json.dumps({"ready": True}).encode())
    os.environ.clear()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # keepers leave no zombies
    gc.freeze()
    zygote = os.getpid()
    while True:
        request, descriptors, _, _ = socket.recv_fds(channel, 4096, 4)
        if not request:
            return
        try:
            pid = os.fork()
        except OSError:  # no more processes for now: our side sees its descriptors closed without a report
            pid = -1
        if pid == 0:
            channel.detach()
            os.close(descriptor)
            kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != zygote:
                os._exit(1)
            _keep(isolation, Limits(**json.loads(request)), *descriptors)
            os._exit(0)
        for each in descriptors:
            os.close(each)


def _keep(isolation: Isolation, limits: Limits, report: int, source: int, sink: int, output: int) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    try:
        isolation.keep(limits)
    except OSError as error:
        os.write(report, json.dumps({"failed": f"{error}"}).encode())
        return
    listen, ready = os.pipe()
    keeper = os.pidfd_open(os.getpid())  # process 1 of a new space cannot ask for its parent's number
    pid = os.fork()
    if pid == 0:
        # A keeper that is killed, as all are with their zygote, cannot kill what it keeps.
        kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
        if select.select([keeper], [], [], 0)[0]:
            os._exit(1)
        _become(isolation, limits, source, sink, output, ready)
        os._exit(0)
    for each in (source, sink, output, ready, keeper):
        os.close(each)
    process = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(process, select.POLLIN)
    poll.register(report, select.POLLIN)
    while not (happened := poll.poll(None if isolation.counts_threads else LOOK)):
        if threads(pid) > limits.threads:
            break
    if all(number != process for number, _ in happened):
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    said = os.read(listen, 4096).decode()
    end = {"status": status, "cpu": usage.ru_utime + usage.ru_stime, "memory": usage.ru_maxrss * 1024}
    with suppress(OSError):
        os.write(
            report, json.dumps(end if said == "ready" else {"failed": said or "ended while being isolated"}).encode()
        )


def _become(isolation: Isolation, limits: Limits, source: int, sink: int, output: int, ready: int) -> None:
    """Turn this process into the program's: from `ready` on, nothing that it does is believed."""
    try:
        os.setsid()
        limit(limits)
        isolation.confine(limits)
        ready = _leave_open(source, sink, output, ready)
    except BaseException as error:
        os.write(ready, f"{error}"[:1000].encode() or b"?")
        return
    os.write(ready, b"ready")
    os.close(ready)
    served.serve(3, 4)


def _leave_open(source: int, sink: int, output: int, ready: int) -> int:
    """Close all descriptors but 0: nothing; 1 and 2: the output; 3: what is asked; 4: what is answered; and `ready`,
    whose new number is returned."""
    *high, ready = (fcntl.fcntl(each, fcntl.F_DUPFD, 10) for each in (output, output, source, sink, ready))
    for number, each in enumerate(high, start=1):
        os.dup2(each, number)
    os.closerange(5, ready)
    os.closerange(ready + 1, 1 << 16)
    return ready

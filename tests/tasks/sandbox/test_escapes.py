"""Every known way out, tried: each must fail, and leave the machine as it was."""

from __future__ import annotations

import importlib.util
import os
import platform
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from orionlm.tasks.sandbox import Limits, Result, Sandbox

_spec = importlib.util.spec_from_file_location("attempts", Path(__file__).with_name("attempts.py"))
assert _spec and _spec.loader
attempts = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(attempts)

LIMITS = Limits(cpu_seconds=1, wall_seconds=8, memory=256 << 20, output=1 << 18, scratch=4 << 20)
MANY = Limits(cpu_seconds=1, wall_seconds=2, memory=512 << 20, processes=8)
SINGLE = attempts.NETWORK | attempts.FILES | attempts.PROCESSES | attempts.KERNEL | attempts.SECRETS

SLOW = ("loop-past-exceptions", "loop-deaf-to-signals", "huge-power", "hostile-pattern", "deep-recursion")


class Host:
    """What a program could reach or harm, and a look at whether it did."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "canary"
        self.file.write_text("a canary")
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self.sockets = [
            socket.socket(family, kind)
            for family, kind in (
                (socket.AF_INET, socket.SOCK_STREAM),
                (socket.AF_INET, socket.SOCK_DGRAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_STREAM),
                (socket.AF_UNIX, socket.SOCK_DGRAM),
            )
        ]
        tcp, udp, unix, abstract, datagram = self.sockets
        path, name = os.path.relpath(folder / "unix"), f"sandbox-canary-{os.getpid()}"
        for each, address in zip(
            self.sockets, [("127.0.0.1", 0), ("127.0.0.1", 0), path, f"\0{name}", f"\0{name}"], strict=True
        ):
            each.bind(address)
            each.setblocking(False)
        for each in (tcp, unix, abstract):
            each.listen()
        self.facts = {
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": str(folder / "unix"),
            "abstract": name,
            "file": str(self.file),
            "home": str(Path.home()),
            "project": str(Path(__file__).resolve()),
            "packages": sysconfig.get_paths(vars={"base": sys.base_prefix, "platbase": sys.base_prefix})["purelib"],
            "process": self.process.pid,
            "tests": os.getpid(),
        }
        self.before = self.state()

    def state(self) -> SimpleNamespace:
        status, library = self.file.stat(), os.stat(os.__file__)
        return SimpleNamespace(
            canary=(self.file.read_text(), status.st_mode, status.st_uid, status.st_mtime_ns, status.st_nlink),
            library=(library.st_mode, library.st_mtime_ns, library.st_size, library.st_nlink),
            null=(os.stat("/dev/null").st_mode, os.stat("/dev/null").st_ctime_ns),
            mounts=Path("/proc/self/mountinfo").read_text(),
            name=socket.gethostname(),
            left=[
                str(path)
                for place in ("/etc", "/dev", "/dev/shm", "/", "/tmp", str(Path(os.__file__).parent))
                for path in Path(place).glob("sandbox?was?here*")
            ],
            queues=[Path(f"/proc/sysvipc/{kind}").read_text().count("4242") for kind in ("shm", "msg", "sem")],
            clock=round(time.time() - time.monotonic()),
        )

    @contextmanager
    def untouched(self, sandbox: Sandbox) -> Iterator[dict[str, object]]:
        assert sandbox._zygote
        zygote = sandbox._zygote.pid
        yield self.facts | {"zygote": zygote, "keeper": zygote + 1}
        after = self.state()
        assert abs(after.clock - self.before.clock) <= 1
        after.clock = self.before.clock
        assert after == self.before
        assert self.process.poll() is None, "the canary process was killed"
        assert sandbox._zygote.pid == zygote and sandbox._zygote.poll() is None, "the zygote was killed"
        assert self.heard() == [], "a connection came in"
        assert forks(zygote) == [], "something was left running"

    def heard(self) -> list[str]:
        found = []
        for each in self.sockets:
            try:
                found.append(str(each.accept() if each.type == socket.SOCK_STREAM else each.recv(100)))
            except BlockingIOError:
                continue
        return found

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for each in self.sockets:
            each.close()


def forks(zygote: int, looks: int = 200) -> list[int]:
    """Processes that began as this zygote: they show its command line, whoever is their parent now. A keeper that has
    reported has a moment to go."""
    line = Path(f"/proc/{zygote}/cmdline").read_bytes()
    found: list[int] = []
    for _ in range(looks):
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                if int(path.parent.name) != zygote and path.read_bytes() == line:
                    found.append(int(path.parent.name))
            except OSError:
                continue
        if not found:
            break
        time.sleep(0.01)
    return found


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    os.environ["SANDBOX_SECRET"] = "a secret"
    host = Host(tmp_path_factory.mktemp("host"))
    yield host
    host.close()
    del os.environ["SANDBOX_SECRET"]


def test_the_alarms_ring(host: Host, namespaces: Sandbox) -> None:
    """A look that sees nothing proves nothing: each alarm is set off once, from outside."""
    with socket.create_connection(("127.0.0.1", host.facts["tcp"])):
        time.sleep(0.05)
        assert len(host.heard()) == 1
    with namespaces.start() as process:
        process.ask({"role": "program", "name": "x", "code": ""})
        assert namespaces._zygote and len(forks(namespaces._zygote.pid, looks=1)) >= 1
    host.file.chmod(0o600)
    assert host.state() != host.before
    host.before = host.state()


@pytest.mark.parametrize("name", SINGLE)
def test_an_attempt_to_get_out_fails(name: str, sandbox: Sandbox, host: Host) -> None:
    with host.untouched(sandbox) as facts:
        result = sandbox.run(attempts.program(SINGLE[name], facts), limits=LIMITS)
    assert result.kind == "returned", result
    assert result.value[0] == "failed", result.value[1]
    assert not result.value[1].startswith(("NameError", "SyntaxError", "AttributeError", "ModuleNotFoundError")), result


@pytest.mark.parametrize("name", attempts.HOGS)
def test_a_program_that_takes_too_much_is_stopped(name: str, sandbox: Sandbox, host: Host) -> None:
    body, kinds = attempts.HOGS[name]
    if sandbox.isolation == "landlock" and name in SLOW:
        pytest.skip("the same limit of the same kernel, a second each")
    limits = LIMITS if name not in ("sleep", "wait-for-signal") else Limits(cpu_seconds=1, wall_seconds=0.5)
    began = time.monotonic()
    with host.untouched(sandbox) as facts:
        result = sandbox.run(attempts.bare(body, facts), limits=limits)
    assert result.kind in kinds.split(), result
    assert time.monotonic() - began < limits.wall_seconds + 5


@pytest.mark.parametrize("name", attempts.TREES)
def test_what_a_program_started_ends_with_it(name: str, namespaces: Sandbox, host: Host) -> None:
    body, kinds = attempts.TREES[name]
    with host.untouched(namespaces) as facts:
        result = namespaces.run(attempts.bare(body, facts), limits=MANY)
    assert result.kind in kinds.split(), result


@pytest.mark.skipif(platform.machine() != "x86_64", reason="machine code of x86_64")
def test_calls_of_another_architecture_kill(sandbox: Sandbox, host: Host) -> None:
    with host.untouched(sandbox):
        result = sandbox.run(f"{attempts.PRELUDE}\n{attempts.MACHINE_CODE}\nresult = attempt()", limits=LIMITS)
    assert (result.kind, result.detail) == ("killed", "killed by SIGSYS")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="x32 is x86_64's")
def test_calls_by_x32_numbers_are_refused(sandbox: Sandbox, host: Host) -> None:
    with host.untouched(sandbox) as facts:
        result = sandbox.run(attempts.program("same(0x40000000 | 39)", facts), limits=LIMITS)
    assert result.value and result.value[0] == "failed"


def test_a_result_may_not_be_larger_than_the_limit(sandbox: Sandbox) -> None:
    assert sandbox.run("result = 'x' * 10**6", limits=LIMITS).kind == "flooded"


def test_one_program_leaves_nothing_for_the_next(namespaces: Sandbox) -> None:
    first = "open('/tmp/note', 'w').write('x'); import math; math.pi = 3; result = True"
    assert namespaces.run(first).value is True
    second: Result = namespaces.run("import math, os; result = [os.listdir('/tmp'), math.pi]")
    assert second.value == [[], pytest.approx(3.14159265)]


def test_programs_at_once_do_not_see_each_other(namespaces: Sandbox) -> None:
    with namespaces.start() as other:
        other.ask({"role": "program", "name": "x", "code": "open('/tmp/note', 'w').write('x')"})
        seen = namespaces.run("import os; result = [os.getpid(), os.listdir('/tmp')]")
    assert seen.value == [1, []]

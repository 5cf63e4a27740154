"""What a run tells, and what becomes of the sandbox when things go wrong on our side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orionlm.errors import UserError
from orionlm.tasks.sandbox import Ended, Limits, Sandbox, SandboxFailure, kernel, run, zygotes

SOURCE = str(Path(__file__).parents[3] / "src")


def test_a_value_and_what_was_printed_come_back(sandbox: Sandbox) -> None:
    code = "import json\nx = json.loads(input())\nprint(x)\nresult = {'a': (x, 1.5)}"
    result = sandbox.run(code, stdin_json=[1])
    assert (result.kind, result.value, result.output) == ("returned", {"a": [[1], 1.5]}, "[1]\n")
    assert 0 < result.seconds < 60


def test_what_went_wrong_is_named(sandbox: Sandbox) -> None:
    assert sandbox.run("1 / 0").detail == "ZeroDivisionError: division by zero"
    assert sandbox.run("import sys; print('x', file=sys.stderr); sys.exit(3)").kind == "raised"
    assert sandbox.run("result = object()").kind == "refused"
    assert sandbox.run("import os; os._exit(0)").kind == "refused"
    assert sandbox.run("raise MemoryError").kind == "out_of_memory"


def test_the_standard_library_is_there_and_installed_packages_are_not(sandbox: Sandbox) -> None:
    wanted = "sqlite3 hashlib zlib ctypes dataclasses asyncio unittest xml.etree.ElementTree multiprocessing ssl"
    code = f"import importlib\nfor name in {wanted.split()}: importlib.import_module(name)\nresult = 1"
    assert sandbox.run(code).value == 1
    assert sandbox.run("import numpy").detail.startswith("ModuleNotFoundError")


def test_threads_and_event_loops_work(sandbox: Sandbox) -> None:
    threads = (
        "from concurrent.futures import ThreadPoolExecutor\nresult = list(ThreadPoolExecutor(4).map(abs, [-1, 2]))"
    )
    loop = "import asyncio\nasync def f(): await asyncio.sleep(0); return 3\nresult = asyncio.run(f())"
    assert sandbox.run(threads).value == [1, 2]
    assert sandbox.run(loop).value == 3


def test_there_is_a_scratch(namespaces: Sandbox) -> None:
    code = (
        "import tempfile, os\nwith tempfile.TemporaryFile() as file: file.write(b'x')\n"
        "open('a', 'w').write('abc')\nresult = os.listdir()"
    )
    assert namespaces.run(code).value == ["a"]


def test_processes_are_there_where_allowed(namespaces: Sandbox, landlock: Sandbox) -> None:
    code = (
        "import os\npid = os.fork()\nif not pid: os._exit(7)\nresult = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    )
    assert namespaces.run(code, limits=Limits(processes=2)).value == 7
    with pytest.raises(UserError, match="user namespaces"):
        landlock.run(code, limits=Limits(processes=2))


def test_each_run_hashes_alike_and_draws_anew(namespaces: Sandbox) -> None:
    hashes = {namespaces.run("result = hash('a')").value for _ in range(2)}
    draws = {namespaces.run("import random; result = random.random()").value for _ in range(2)}
    assert (len(hashes), len(draws)) == (1, 2)


def test_large_inputs_and_results_pass(sandbox: Sandbox) -> None:
    result = sandbox.run("result = input()", stdin_json="x" * 900_000)
    assert len(result.value) == 900_002


def test_many_at_once_from_many_threads(sandbox: Sandbox) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(lambda n: sandbox.run(f"result = {n}").value, range(60))) == list(range(60))


def test_no_descriptor_is_left_open(namespaces: Sandbox) -> None:
    namespaces.run("result = 1")
    before = os.listdir("/proc/self/fd")
    for code in ("result = 1", "import os; os._exit(0)", "1 / 0", "import os; os.closerange(0, 99)"):
        namespaces.run(code)
    assert os.listdir("/proc/self/fd") == before


def test_no_descriptor_is_left_open_where_there_are_too_few(
    namespaces: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipes = iter([os.pipe(), os.pipe()])
    before = os.listdir("/proc/self/fd")

    def pipe() -> tuple[int, int]:
        for ends in pipes:
            return ends
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe", pipe)
    with pytest.raises(OSError, match="Too many"):
        namespaces.start()
    assert len(os.listdir("/proc/self/fd")) == len(before) - 4


def test_an_end_by_any_signal_is_named(landlock: Sandbox) -> None:
    """Where a program is no process 1, whom no signal of its own ends. Python has no names for real-time signals."""
    for number, name in ((15, "SIGTERM"), (40, "signal 40"), (64, "SIGRTMAX")):
        result = landlock.run(f"import os; os.kill(os.getpid(), {number})")
        assert (result.kind, result.detail) == ("killed", f"killed by {name}")


def test_threads_are_counted(sandbox: Sandbox) -> None:
    code = (
        "import threading, time\nthreading.stack_size(1 << 15)\n"
        "for _ in range({}): threading.Thread(target=time.sleep, args=({},), daemon=True).start()\nresult = 1"
    )
    assert sandbox.run(code.format(10, 0.1), limits=Limits(threads=12)).value == 1
    assert sandbox.run(code.format(200, 100) + "\ntime.sleep(5)", limits=Limits(threads=12)).kind in (
        "raised",
        "killed",
    )


def test_a_zygote_that_dies_takes_its_programs_along_and_is_replaced(sandbox: Sandbox) -> None:
    assert sandbox._zygote
    with pytest.raises(SandboxFailure), sandbox.start() as process:
        process.ask({"role": "program", "name": "x", "code": ""})
        sandbox._zygote.kill()
        process.listen()
    assert sandbox.run("result = 1").value == 1


@pytest.mark.parametrize("keeper_is_late", [False, True])
def test_a_program_ends_with_the_one_that_wanted_it(namespaces: Sandbox, keeper_is_late: bool) -> None:
    """Even if that is killed, and even if the keeper dies before it could do a thing: nothing may run on unwatched."""
    code = (
        "import os, time\nfrom orionlm.tasks.sandbox import Sandbox\ns = Sandbox(('namespaces',))\n"
        "p = s.start()\np.send({'role': 'program', 'name': 'x', 'code': 'import time; time.sleep(99)'})\n"
        "while p._to_send: p._wait()\n"
        "print(s._zygote.pid, flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": SOURCE}
    ) as process:
        assert process.stdout
        zygote = int(process.stdout.readline())
        line = Path(f"/proc/{zygote}/cmdline").read_bytes()
        assert line
        if keeper_is_late:
            time.sleep(1)  # for the program to be in its loop
            [keeper] = Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()
            os.kill(int(keeper), signal.SIGSTOP)
        process.kill()
    for _ in range(500):
        left = [path for path in Path("/proc").glob("[0-9]*/cmdline") if read(path) == line]
        if not left:
            return
        time.sleep(0.02)
    raise AssertionError(left)


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_without_isolation_nothing_runs_and_the_mend_is_named() -> None:
    """A machine that refuses both is played by the seccomp filter of the sandbox itself."""
    code = (
        "from orionlm.tasks.sandbox import Sandbox, kernel, seccomp\nimport sys\n"
        "import struct\n"
        "numbers = {'x86_64': (272, 444), 'aarch64': (97, 444)}[__import__('platform').machine()]\n"
        "code = [(0x20, 0, 0, 0)]\n"
        "for n in numbers: code += [(0x15, 0, 1, n), (0x06, 0, 0, 0x50001)]\n"
        "code += [(0x06, 0, 0, 0x7FFF0000)]\n"
        "kernel.filter_system_calls(b''.join(struct.pack('<HBBI', *c) for c in code))\n"
        "try: Sandbox()\nexcept Exception as e: print(type(e).__name__, e)\nelse: print('it ran')"
    )
    environment = os.environ | {"PYTHONPATH": SOURCE}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=60)
    assert done.stdout.startswith("UserError sandbox: this machine refuses namespaces ("), done
    assert "unshare: Operation" in done.stdout and "landlock_create_ruleset: Operation" in done.stdout
    assert "user.max_user_namespaces" in done.stdout
    assert len(done.stdout.splitlines()) == 1


def test_another_system_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UserError, match="darwin"):
        Sandbox()


def test_landlock_is_used_where_namespaces_are_refused(landlock: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Sandbox._begin

    def refusing(self: Sandbox, kind: str) -> None:
        if kind == "namespaces":
            raise SandboxFailure("unshare: Operation not permitted")
        begin(self, kind)

    monkeypatch.setattr(Sandbox, "_begin", refusing)
    with Sandbox() as sandbox:
        assert sandbox.isolation == "landlock"


@pytest.mark.skipif(os.geteuid() != 0, reason="the tests run as an ordinary user already")
def test_an_ordinary_user_needs_no_rights(tmp_path_factory: pytest.TempPathFactory) -> None:
    code = (
        "import os, sys\nsys.dont_write_bytecode = True\nassert os.geteuid() == 65534\n"
        "from orionlm.tasks.sandbox import Sandbox\nfor kind in ('namespaces', 'landlock'):\n"
        "  with Sandbox((kind,)) as s:\n"
        "    r = s.run('import os, sqlite3; os.chdir(\"/tmp\"); result = os.getuid()')\n"
        "    e = s.run('open(\"/etc/passwd\")')\n"
        "    k = s.run(f'import os; os.kill({os.getpid()}, 9)')\n"
        "    print(r.kind, r.value, e.kind, k.kind)"
    )
    for python in (sys.executable, "/usr/bin/python3"):
        try:
            done = subprocess.run(
                [python, "-c", code], user=65534, group=65534, extra_groups=[], capture_output=True, text=True,
                env={"PYTHONPATH": SOURCE}, cwd="/", timeout=60,
            )  # fmt: skip
        except PermissionError:
            continue
        assert done.stdout.splitlines() == ["returned 65534 raised raised"] * 2, done
        return
    pytest.skip("no Python here that an ordinary user may run")


def test_a_limit_must_be_more_than_zero() -> None:
    with pytest.raises(UserError, match="cpu_seconds: 0"):
        Limits(cpu_seconds=0)
    with pytest.raises(UserError, match="64"):
        Limits(memory=2**26, processes=2)


def test_after_the_end_there_is_nothing_to_hear(sandbox: Sandbox) -> None:
    with sandbox.start(Limits(wall_seconds=0.2)) as process:
        with pytest.raises(Ended) as end:
            process.ask({"role": "program", "name": "x", "code": "while True: pass"})
        assert end.value.kind == "timed_out"
        with pytest.raises(Ended):
            process.listen()


def test_run_keeps_one_sandbox(namespaces: Sandbox) -> None:
    assert run("result = 1 + 1").value == 2
    assert zygotes.shared(os.getpid()) is zygotes.shared(os.getpid())


def test_the_capabilities_are_gone(namespaces: Sandbox) -> None:
    code = (
        "import ctypes\nlibc = ctypes.CDLL(None)\nheader = (ctypes.c_uint32 * 2)(0x20080522, 0)\n"
        "sets = (ctypes.c_uint32 * 6)(*[9] * 6)\nresult = [libc.capget(header, sets), list(sets)]"
    )
    assert namespaces.run(code).value[0] in (0, -1)
    assert namespaces.run(code).value in ([0, [0] * 6], [-1, [9] * 6])
    assert kernel.SECUREBITS_ALL_LOCKED & 1

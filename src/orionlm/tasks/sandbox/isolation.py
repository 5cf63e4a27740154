"""What does a program see of the machine, and how is the rest taken away?

In three steps, each in its own process. The zygote, once: new namespaces, a root of its own that holds the standard
library, shared libraries, three devices and nothing else. The keeper of one program: a user namespace, process ids and
a scratch of that program's own. The program itself: limits, no capabilities, no descriptors but its pipes, seccomp.

Where user namespaces are refused, Landlock stands in for the second and third: the same files can be read, none be
written, and the system calls that Landlock does not see (other processes, networks, files' modes) are filtered out.
What remains is that a program can ask, by its path, whether a file exists, how large it is and where a link leads.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

from orionlm.tasks.sandbox import kernel, seccomp
from orionlm.tasks.sandbox.limits import Limits

NOBODY = 65534
DEVICES = ("null", "zero", "urandom")
LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
NAMESPACES = (
    kernel.CLONE_NEWNS | kernel.CLONE_NEWNET | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS | kernel.CLONE_NEWCGROUP
)


def shown() -> list[str]:
    """The directories a program can read: shared libraries and the interpreter's own."""
    own = [os.path.join(sys.base_prefix, name) for name in {"lib", sys.platlibdir}]
    found: list[str] = []
    for path in [*LIBRARIES, *sorted(own)]:
        if os.path.isdir(path) and not any(Path(path).is_relative_to(other) for other in found):
            found.append(path)
    return found


def hidden() -> list[str]:
    """Directories below those in which packages are installed: theirs is no business of a program's, and a suite's
    answers may lie there."""
    paths = {found for path in shown() for found in Path(path).glob("python*/*-packages") if found.is_dir()}
    return sorted({os.path.realpath(path) for path in paths})


class Namespaces:
    """Isolation by user namespaces."""

    counts_threads = True

    def __init__(self, folder: str) -> None:
        """Leave the machine behind; `folder`, an empty directory, is where the new root is put together. Done as
        the user, or as root before becoming nobody."""
        # Mapping a user id is done through /proc, which the new root lacks. Programs do not inherit this.
        self.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            kernel.unshare(NAMESPACES)
        except PermissionError:
            self._new_user(NAMESPACES)
        _build_root(folder)
        kernel.pivot_to(folder)
        if os.geteuid() == 0:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # or /proc/self would belong to root
        open(os.__file__).close()  # a library that only root can read would fail every program
        for forks in (False, True):
            seccomp.program(forks, files=True, only_pid=None)  # kept, for the forks

    def keep(self, limits: Limits) -> None:
        """The next fork is process 1 of a space of its own, and has its own scratch."""
        self._new_user(kernel.CLONE_NEWNS | kernel.CLONE_NEWPID)
        options = f"size={limits.scratch},nr_inodes=1024,mode=700"
        kernel.mount("tmpfs", "/tmp", "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV | kernel.MS_NOEXEC, options)

    def confine(self, limits: Limits) -> None:
        os.chdir("/tmp")
        count = limits.processes if limits.processes > 1 else limits.threads
        _limit(resource.RLIMIT_NPROC, count + 1)  # the keeper counts too
        kernel.drop_capabilities()
        kernel.filter_system_calls(seccomp.program(forks=limits.processes > 1, files=True, only_pid=None))

    def _new_user(self, flags: int) -> None:
        """New namespaces within a new user namespace, where this user is nobody."""
        user, group = os.geteuid(), os.getegid()
        kernel.unshare(kernel.CLONE_NEWUSER | flags)
        maps = {"setgroups": "deny", "uid_map": f"{NOBODY} {user} 1", "gid_map": f"{NOBODY} {group} 1"}
        for name, text in maps.items():
            file = os.open(f"self/{name}", os.O_WRONLY, dir_fd=self.proc)
            os.write(file, text.encode())
            os.close(file)


class Landlock:
    """Isolation by Landlock and seccomp alone: no scratch, no processes beside the program's own.

    RLIMIT_NPROC would count all of the user's processes, and none of root's; the memory for stacks leaves room for tens
    of thousands of threads. So the keeper counts them."""

    counts_threads = False

    def __init__(self, folder: str) -> None:
        readable = [part for path in shown() for part in _without(os.path.realpath(path), set(hidden()))]
        self.rules = kernel.landlock_ruleset([*readable, *(f"/dev/{name}" for name in DEVICES)])
        os.chdir("/")

    def keep(self, limits: Limits) -> None:
        assert limits.processes == 1

    def confine(self, limits: Limits) -> None:
        kernel.drop_capabilities()
        kernel.landlock_restrict(self.rules)
        os.close(self.rules)
        kernel.filter_system_calls(seccomp.program(forks=False, files=False, only_pid=os.getpid()))


Isolation = Namespaces | Landlock
KINDS: dict[str, type[Namespaces] | type[Landlock]] = {"namespaces": Namespaces, "landlock": Landlock}


def threads(pid: int) -> int:
    """How many a process has now; none if it has just ended."""
    try:
        return os.stat(f"/proc/{pid}/task").st_nlink - 2
    except OSError:
        return 0


def limit(limits: Limits) -> None:
    """What setrlimit(2) can hold. CPU: both limits equal, so that the kernel kills at once, whatever is handled."""
    _limit(resource.RLIMIT_CPU, limits.cpu_seconds)
    _limit(resource.RLIMIT_AS, limits.memory // limits.processes)
    _limit(resource.RLIMIT_FSIZE, limits.scratch)
    _limit(resource.RLIMIT_NOFILE, 64)
    _limit(resource.RLIMIT_STACK, 8 << 20)
    for zero in (resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE):
        _limit(zero, 0)


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _build_root(folder: str) -> None:
    kernel.mount("none", "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", folder, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,mode=755")
    for path in ("/tmp", "/dev"):
        os.mkdir(folder + path)
    for path in shown():
        target = folder + path
        os.makedirs(os.path.dirname(target), exist_ok=True)
        if path in LIBRARIES and os.path.islink(path):
            os.symlink(os.readlink(path), target)
        else:
            os.mkdir(target)
            kernel.bind_read_only(path, target)
    for path in hidden():
        if os.path.isdir(folder + path):
            kernel.mount("none", folder + path, "tmpfs", kernel.MS_RDONLY, "size=4k,mode=755")
    for name in DEVICES:
        open(f"{folder}/dev/{name}", "x").close()
        kernel.bind_read_only(f"/dev/{name}", f"{folder}/dev/{name}")
    kernel.seal(folder)


def _without(path: str, left_out: set[str]) -> Iterator[str]:
    """`path`, or if something below it is left out, all of its parts but that."""
    if path in left_out:
        return
    if not any(Path(other).is_relative_to(path) for other in left_out):
        yield path
        return
    for entry in os.listdir(path):
        yield from _without(os.path.join(path, entry), left_out)

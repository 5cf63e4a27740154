"""The Linux calls that Python's standard library has no names for, each raising OSError when refused."""

from __future__ import annotations

import ctypes
import os
import struct
from contextlib import suppress

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 4096, 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
PR_SET_SECUREBITS, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, SECCOMP_MODE_FILTER = 28, 47, 4, 2
SECUREBITS_ALL_LOCKED = 0xEF  # no root by uid, no change of that, no ambient capabilities; keep-caps locked off
# These numbers are the same on every architecture.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *arguments: object) -> int:
    result = getattr(_libc, name)(*arguments)
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return int(result)


def _syscall(name: str, number: int, *arguments: object) -> int:
    result = _libc.syscall(ctypes.c_long(number), *arguments)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")
    return int(result)


def unshare(flags: int) -> None:
    _call("unshare", flags)


def mount(source: str, target: str, kind: str | None, flags: int, data: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind and kind.encode(), ctypes.c_ulong(flags), data.encode())


def bind_read_only(source: str, target: str) -> None:
    """Show `source`, and whatever is mounted below it, at `target`, not to be written through."""
    mount(source, target, None, MS_BIND | MS_REC)
    _read_only(target, 0x8000)  # AT_RECURSIVE


def seal(target: str) -> None:
    """Nothing more can be created in what is mounted at `target`."""
    _read_only(target, 0)


def _read_only(target: str, flags: int) -> None:
    attributes = struct.pack("<QQQQ", MS_RDONLY | MS_NOSUID, 0, 0, 0)  # MOUNT_ATTR_* share these values
    _syscall("mount_setattr", _MOUNT_SETATTR, -100, target.encode(), flags, attributes, ctypes.c_size_t(32))


def pivot_to(root: str) -> None:
    """Make `root` the root and let the old one go (pivot_root(2), the notes on pivot_root(".", "."))."""
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", 2)  # MNT_DETACH
    os.chdir("/")


def prctl(option: int, *arguments: int) -> None:
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    _call("prctl", option, *values)


def drop_capabilities() -> None:
    """All that are held. The bounding set stays: it counts when a file is executed, which the filter refuses."""
    with suppress(PermissionError):
        prctl(PR_SET_SECUREBITS, SECUREBITS_ALL_LOCKED)
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL)
    header = struct.pack("<Ii", 0x20080522, 0)  # _LINUX_CAPABILITY_VERSION_3, this thread
    _call("capset", header, bytes(24))


def filter_system_calls(program: bytes) -> None:
    """Install a seccomp filter (an array of struct sock_filter) for good."""
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    address = ctypes.create_string_buffer(header, len(header))
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.addressof(address))


def landlock_version() -> int:
    """The Landlock ABI this kernel speaks; OSError where there is none."""
    return _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, None, ctypes.c_size_t(0), ctypes.c_uint(1))


def landlock_ruleset(readable: list[str]) -> int:
    """A descriptor of rules under which only what lies below `readable` can be opened, and only to be read; no TCP, no
    abstract sockets and no signals outwards where the kernel knows these (landlock(7))."""
    version = landlock_version()
    rights = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1  # LANDLOCK_ACCESS_FS_*, by ABI
    attributes = struct.pack("<QQQ", rights, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _syscall("landlock_create_ruleset", _LANDLOCK_CREATE, attributes, ctypes.c_size_t(size), ctypes.c_uint(0))
    for path in readable:
        file = os.open(path, os.O_PATH | os.O_CLOEXEC)
        allowed = 0b1100 if os.path.isdir(path) else 0b100  # READ_DIR, READ_FILE
        rule = struct.pack("<Qi", allowed, file)
        _syscall("landlock_add_rule", _LANDLOCK_ADD, ruleset, ctypes.c_int(1), rule, ctypes.c_uint(0))
        os.close(file)
    return ruleset


def landlock_restrict(ruleset: int) -> None:
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    _syscall("landlock_restrict_self", _LANDLOCK_RESTRICT, ctypes.c_int(ruleset), ctypes.c_uint(0))

"""The filter, run by a small interpreter of BPF: for both architectures, whichever this machine is."""

from __future__ import annotations

import platform
import struct

import pytest

from orionlm.tasks.sandbox import seccomp

KILL, ALLOW, EPERM, ENOSYS = 0x80000000, 0x7FFF0000, 0x50001, 0x50026
X86_64, AARCH64, I386, ARM = 0xC000003E, 0xC00000B7, 0x40000003, 0x40000028


def verdict(filter: bytes, number: int, *arguments: int, architecture: int) -> int:
    data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    instructions = list(struct.iter_unpack("<HBBI", filter))
    at, register = 0, 0
    for _ in instructions:
        code, yes, no, value = instructions[at]
        at += 1
        if code == 0x20:
            (register,) = struct.unpack_from("<I", data, value)
        elif code == 0x06:
            return int(value)
        else:
            true = {0x15: register == value, 0x35: register >= value, 0x45: bool(register & value)}[code]
            at += yes if true else no
    raise AssertionError("ran off the end")


@pytest.fixture(params=["x86_64", "aarch64"])
def machine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    monkeypatch.setattr(platform, "machine", lambda: request.param)
    return seccomp.ARCHITECTURES[request.param]


def build(forks: bool = False, files: bool = True, only_pid: int | None = None) -> bytes:
    return seccomp.program.__wrapped__(forks, files, only_pid)


def test_exactly_the_list_is_allowed(machine: tuple[int, int]) -> None:
    architecture, column = machine
    allowed = set(seccomp._numbers(seccomp.ALLOWED + ";" + seccomp.FILES, column).values())
    checked = set(seccomp._numbers(seccomp.CHECKED, column).values())
    filter = build()
    assert len(filter) // 8 < 4096
    for number in [*range(600), 2**30 + 1, 2**32 - 1]:
        if number not in checked:
            wanted = ALLOW if number in allowed else EPERM
            assert verdict(filter, number, architecture=architecture) == wanted, number


def test_files_are_left_alone_where_there_is_no_scratch(machine: tuple[int, int]) -> None:
    architecture, column = machine
    filter = build(files=False)
    for number in seccomp._numbers(seccomp.FILES, column).values():
        assert verdict(filter, number, architecture=architecture) == EPERM


def test_no_file_can_be_emptied_where_there_is_no_scratch(machine: tuple[int, int]) -> None:
    """Landlock knew nothing of O_TRUNC before Linux 6.2, and a file that is opened for reading can be cut with it."""
    architecture, column = machine
    for name, number in seccomp._numbers(seccomp.OPENED, column).items():
        for flags, wanted in ((0, ALLOW), (0o2000000, ALLOW), (0o1000, EPERM), (0o2001000, EPERM)):
            arguments = [0, flags] if name == "open" else [0, 0, flags]
            assert verdict(build(files=False), number, *arguments, architecture=architecture) == wanted
            assert verdict(build(), number, *arguments, architecture=architecture) == ALLOW


def test_other_architectures_kill(machine: tuple[int, int]) -> None:
    for architecture in {X86_64, AARCH64, I386, ARM} - {machine[0]}:
        assert verdict(build(), 0, architecture=architecture) == KILL


@pytest.mark.parametrize(
    ("name", "arguments", "options", "wanted"),
    [
        ("clone", [0x3D0F00], {}, ALLOW),  # a thread
        ("clone", [0x1200011], {}, EPERM),  # a fork
        ("clone", [0x1200011], {"forks": True}, ALLOW),
        ("clone", [0x3D0F00 | 0x10000000], {"forks": True}, EPERM),  # CLONE_NEWUSER
        ("clone", [0x20000 | 17], {"forks": True}, EPERM),  # CLONE_NEWNS
        ("clone3", [], {"forks": True}, ENOSYS),
        ("prlimit64", [0], {}, ALLOW),
        ("prlimit64", [4242], {}, EPERM),
        ("fcntl", [3, 3], {}, ALLOW),  # F_GETFL
        ("fcntl", [3, 8], {}, EPERM),  # F_SETOWN
        ("fcntl", [3, 10], {}, EPERM),
        ("fcntl", [3, 15], {}, EPERM),
        ("fcntl", [3, 1031], {}, EPERM),  # F_SETPIPE_SZ
        ("ioctl", [3, 0x541B], {}, ALLOW),
        ("ioctl", [0, 0x5412], {}, EPERM),  # TIOCSTI
        ("socketpair", [1], {}, ALLOW),
        ("socketpair", [2], {}, EPERM),
        ("sendto", [3, 9, 1, 0, 0], {}, ALLOW),
        ("sendto", [3, 9, 1, 0, 0x1000], {}, EPERM),
        ("sendto", [3, 9, 1, 0, 2**40], {}, EPERM),
        ("kill", [4242, 9], {}, ALLOW),  # of those in its own namespace
        ("kill", [4242, 9], {"only_pid": 4242}, ALLOW),
        ("kill", [1, 9], {"only_pid": 4242}, EPERM),
        ("kill", [2**32 - 1, 9], {"only_pid": 4242}, EPERM),  # all
        ("tgkill", [1, 1, 9], {"only_pid": 4242}, EPERM),
    ],
)
def test_arguments_are_looked_at(
    name: str, arguments: list[int], options: dict[str, bool], wanted: int, machine: tuple[int, int]
) -> None:
    architecture, column = machine
    number = seccomp._numbers(seccomp.CHECKED, column)[name]
    assert verdict(build(**options), number, *arguments, architecture=architecture) == wanted

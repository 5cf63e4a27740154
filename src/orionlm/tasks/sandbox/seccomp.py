"""Which system calls may a program make? An allow-list as a BPF program; all others fail with EPERM.

See seccomp(2) and Linux's Documentation/userspace-api/seccomp_filter.rst. Not on the list, so refused: sockets,
execve, ptrace, process_vm_*, pidfd_*, io_uring, bpf, perf, keys, mount, namespaces, chroot, mknod, chown, set*id,
prctl, SysV and POSIX queues and memory, memfd, userfaultfd, splice, modules, kexec, reboot, and setting clocks and
priorities.
"""

from __future__ import annotations

import errno
import platform
import struct
import sys
from functools import cache

# name, number on x86_64, number on aarch64
ALLOWED = """
read 0 63; write 1 64; close 3 57; lseek 8 62; pread64 17 67; pwrite64 18 68; readv 19 65; writev 20 66;
preadv 295 69; pwritev 296 70; preadv2 327 286; pwritev2 328 287; sendfile 40 71; fsync 74 82; fdatasync 75 83;
fadvise64 221 223; close_range 436 436; open 2 -; openat 257 56; stat 4 -; lstat 6 -; fstat 5 80;
newfstatat 262 79; statx 332 291; statfs 137 43; fstatfs 138 44; access 21 -; faccessat 269 48;
faccessat2 439 439; readlink 89 -; readlinkat 267 78; getcwd 79 17; chdir 80 49; fchdir 81 50; getdents 78 -;
getdents64 217 61; pipe 22 -; pipe2 293 59; dup 32 23; dup2 33 -; dup3 292 24; poll 7 -; ppoll 271 73;
select 23 -; pselect6 270 72; epoll_create 213 -; epoll_create1 291 20; epoll_ctl 233 21; epoll_wait 232 -;
epoll_pwait 281 22; eventfd2 290 19; recvfrom 45 207; shutdown 48 210; getsockname 51 204; getpeername 52 205;
brk 12 214; mmap 9 222; mprotect 10 226; munmap 11 215; mremap 25 216; madvise 28 233; msync 26 227;
mincore 27 232; futex 202 98; membarrier 324 283; rseq 334 293; rt_sigaction 13 134; rt_sigprocmask 14 135;
rt_sigreturn 15 139; rt_sigpending 127 136; rt_sigtimedwait 128 137; rt_sigsuspend 130 133; sigaltstack 131 132;
pause 34 -; restart_syscall 219 128; getitimer 36 102; setitimer 38 103; alarm 37 -; nanosleep 35 101;
clock_nanosleep 230 115; clock_gettime 228 113; clock_getres 229 114; gettimeofday 96 169; time 201 -;
times 100 153; getpid 39 172; gettid 186 178; getppid 110 173; getpgid 121 155; getpgrp 111 -; getsid 124 156;
getuid 102 174; geteuid 107 175; getgid 104 176; getegid 108 177; getresuid 118 148; getresgid 120 150;
getgroups 115 158; getrlimit 97 163; getrusage 98 165; sysinfo 99 179; uname 63 160; getcpu 309 168;
sched_yield 24 124; sched_getaffinity 204 123; getrandom 318 278; arch_prctl 158 -; set_tid_address 218 96;
set_robust_list 273 99; exit 60 93; exit_group 231 94; wait4 61 260; waitid 247 95
"""
# Changes to files: for a private scratch only. Where there is none, Landlock would let these change owners' modes.
FILES = """
creat 85 -; mkdir 83 -; mkdirat 258 34; rmdir 84 -; unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38;
renameat2 316 276; link 86 -; linkat 265 37; symlink 88 -; symlinkat 266 36; truncate 76 45; ftruncate 77 46;
fallocate 285 47; chmod 90 -; fchmod 91 52; fchmodat 268 53; utime 132 -; utimes 235 -; utimensat 280 88;
umask 95 166
"""
# Where there is no scratch. Landlock before its third version lets a file that can be read be emptied.
OPENED = "open 2 -; openat 257 56"
CHECKED = """
clone 56 220; clone3 435 435; prlimit64 302 261; fcntl 72 25; ioctl 16 29; socketpair 53 199; sendto 44 206;
kill 62 129; tgkill 234 131
"""
ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # AUDIT_ARCH_*, the column

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_KILL, _ALLOW, _ERROR = 0x80000000, 0x7FFF0000, 0x00050000
_NAMESPACES = 0x7E020000  # CLONE_NEW*
_CLONE_THREAD = 0x10000
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX = 8, 10, 15  # signals of choice to a process of choice
_F_SETLEASE, _F_NOTIFY = 1024, 1026  # holds on the files of others, as locks are
_F_SETPIPE_SZ = 1031  # memory that no limit of a process counts
_O_TRUNC = 0o1000
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # TCGETS TIOCGWINSZ FIONREAD FIONBIO FIONCLEX FIOCLEX
_AF_UNIX = 1

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
_YES: Instruction = (_RETURN, 0, 0, _ALLOW)
_NO: Instruction = (_RETURN, 0, 0, _ERROR | errno.EPERM)
_UNKNOWN: Instruction = (_RETURN, 0, 0, _ERROR | errno.ENOSYS)


def supported() -> bool:
    """Whether this machine's system call numbers are known here."""
    return sys.byteorder == "little" and platform.machine() in ARCHITECTURES


@cache
def program(forks: bool, files: bool, only_pid: int | None) -> bytes:
    """The filter, as an array of `struct sock_filter`. `only_pid`: the one process that may be signalled (None: all
    that can be seen). Any other architecture's calls, 32-bit ones among them, kill; x32's numbers are on no list."""
    architecture, column = ARCHITECTURES[platform.machine()]
    clone = [_argument(0), (_ANY_BIT, 0, 1, _NAMESPACES), _NO]
    if not forks:
        clone += [(_ANY_BIT, 1, 0, _CLONE_THREAD), _NO]
    blocks: dict[str, list[Instruction]] = {
        "clone": [*clone, _YES],
        "clone3": [_UNKNOWN],  # its flags lie in memory, unseen here; the C library then uses clone
        "prlimit64": _only(0, 0),
        "fcntl": [
            _argument(1),
            *_each(_NO, _F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY, _F_SETPIPE_SZ),
            _YES,
        ],
        "ioctl": [_argument(1), *_each(_YES, *_IOCTLS), _NO],
        "socketpair": _only(0, _AF_UNIX),
        "sendto": [_argument(4), (_EQUAL, 1, 0, 0), _NO, _argument(4, high=True), (_EQUAL, 1, 0, 0), _NO, _YES],
        "kill": [_YES] if only_pid is None else _only(0, only_pid),
        "tgkill": [_YES] if only_pid is None else _only(0, only_pid),
    }
    answers = dict.fromkeys(_numbers(ALLOWED + (";" + FILES if files else ""), column).values(), [_YES])
    answers |= {number: blocks[name] for name, number in _numbers(CHECKED, column).items()}
    if not files:
        for name, number in _numbers(OPENED, column).items():
            answers[number] = [_argument(1 if name == "open" else 2), (_ANY_BIT, 0, 1, _O_TRUNC), _NO, _YES]
    start = [(_LOAD, 0, 0, 4), (_EQUAL, 1, 0, architecture), (_RETURN, 0, 0, _KILL), (_LOAD, 0, 0, 0)]
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in start + _search(_ranges(answers)))


def _ranges(answers: dict[int, list[Instruction]]) -> list[tuple[int, list[Instruction]]]:
    """(first number, what is done from there to the next), rising from 0; numbers without an answer are refused."""
    found = [(0, [_NO])]
    for number in sorted({each for known in answers for each in (known, known + 1)}):
        block = answers.get(number, [_NO])
        if block is not found[-1][1] and block != found[-1][1]:
            found.append((number, block))
    return found


def _search(ranges: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """A binary search. The kernel walks every filter for every number as it is installed, which is dear for a list."""
    if len(ranges) == 1:
        return ranges[0][1]
    middle = len(ranges) // 2
    below, above = _search(ranges[:middle]), _search(ranges[middle:])
    assert len(below) < 256, "further than a jump reaches"
    return [(_AT_LEAST, len(below), 0, ranges[middle][0]), *below, *above]


def _numbers(table: str, column: int) -> dict[str, int]:
    rows = [entry.split() for entry in table.split(";")]
    return {row[0]: int(row[1 + column]) for row in rows if row[1 + column] != "-"}


def _argument(index: int, high: bool = False) -> Instruction:
    """Load half of a system call's argument (struct seccomp_data, little-endian)."""
    return (_LOAD, 0, 0, 16 + 8 * index + 4 * high)


def _each(verdict: Instruction, *values: int) -> list[Instruction]:
    return [part for value in values for part in ((_EQUAL, 0, 1, value), verdict)]


def _only(index: int, value: int) -> list[Instruction]:
    return [_argument(index), (_EQUAL, 0, 1, value), _YES, _NO]

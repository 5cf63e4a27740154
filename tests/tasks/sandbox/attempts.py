"""Ways out of a sandbox, as programs. Each defines `attempt`, which raises or comes to nothing where it is refused.

`HOST` is a dictionary of what there is to attack: ports, paths and processes of the machine outside."""

from __future__ import annotations

PRELUDE = """
import ctypes, errno, mmap, os, signal, socket, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
COLUMN = {"x86_64": 0, "aarch64": 1}[os.uname().machine]
def call(x86_64, aarch64, *arguments):
    value = libc.syscall(ctypes.c_long((x86_64, aarch64)[COLUMN]), *arguments)
    if value == -1:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return value
def same(x86_64, *arguments):
    return call(x86_64, x86_64, *arguments)
"""

NETWORK = {
    "tcp": "socket.create_connection(('127.0.0.1', HOST['tcp']), 2).send(b'x')",
    "tcp-outwards": "socket.create_connection(('192.0.2.1', 80), 0.5)",
    "tcp-listen": "socket.create_server(('127.0.0.1', 0))",
    "udp": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', HOST['udp']))",
    "ipv6": "socket.socket(socket.AF_INET6)",
    "unix-socket": "socket.socket(socket.AF_UNIX).connect(HOST['unix'])",
    "abstract-socket": "socket.socket(socket.AF_UNIX).connect('\\0' + HOST['abstract'])",
    "abstract-from-a-pair": (
        "socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)[0].sendto(b'x', '\\0' + HOST['abstract'])"
    ),
    "inet-pair": "socket.socketpair(socket.AF_INET)",
    "raw-socket": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "packet-socket": "socket.socket(17, socket.SOCK_RAW)",
    "netlink": "socket.socket(16, socket.SOCK_RAW, 0)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "name-lookup": "socket.getaddrinfo('localhost', 80)[0] if open('/etc/hosts') else None",
    "descriptor-over-socket": "call(46, 211, 3, 0, 0)",
}

FILES = {
    "read-etc-passwd": "open('/etc/passwd').read()",
    "read-canary": "open(HOST['file']).read()",
    "read-by-dots": "open('/tmp/../../../../../..' + HOST['file']).read()",
    "list-home": "assert len(os.listdir(HOST['home'])) > 1  # the way to the interpreter may lead through it",
    "read-project": "open(HOST['project']).read()",
    "list-packages": "os.listdir(HOST['packages'])[0]",
    "write-etc": "open('/etc/sandbox-was-here', 'w').write('x')",
    "write-canary": "open(HOST['file'], 'w').write('x')",
    "append-canary": "open(HOST['file'], 'a').write('x')",
    "truncate-canary": "os.truncate(HOST['file'], 0)",
    "delete-canary": "os.unlink(HOST['file'])",
    "rename-canary": "os.rename(HOST['file'], HOST['file'] + '2')",
    "chmod-canary": "os.chmod(HOST['file'], 0o777)",
    "chmod-library": "os.chmod(os.__file__, 0o777)",
    "touch-canary": "os.utime(HOST['file'], (1, 1))",
    "touch-library": "os.utime(os.__file__, (1, 1))",
    "chown-canary": "os.chown(HOST['file'], 1, 1)",
    "attribute-of-canary": "os.setxattr(HOST['file'], 'user.x', b'x')",
    "write-library": "open(os.__file__, 'a').write('#')",
    "write-beside-library": "open(os.path.dirname(os.__file__) + '/sandbox_was_here.py', 'w')",
    "write-root": "open('/sandbox-was-here', 'w')",
    "make-directory-in-root": "os.mkdir('/sandbox-was-here')",
    "write-dev": "open('/dev/sandbox-was-here', 'w')",
    "chmod-dev-null": "os.chmod('/dev/null', 0o600)",
    "symbolic-link": "os.symlink(HOST['file'], 'link'); open('link').read()",
    "symbolic-link-to-root": "os.symlink('/', 'root'); open('root/etc/passwd').read()",
    "hard-link": "os.link(HOST['file'], 'link'); open('link').read()",
    "hard-link-to-library": "os.link(os.__file__, 'link')",
    "proc-self-environ": "open('/proc/self/environ').read()",
    "proc-self-root": "open('/proc/self/root/etc/passwd').read()",
    "proc-self-mem": "open('/proc/self/mem', 'rb').read(1)",
    "proc-self-descriptors": "os.listdir('/proc/self/fd')",
    "proc-1-environ": "open('/proc/1/environ').read()",
    "proc-of-canary": "open(f\"/proc/{HOST['process']}/environ\").read()",
    "proc-sysrq": "open('/proc/sysrq-trigger', 'w').write('h')",
    "sys": "os.listdir('/sys/kernel')",
    "cgroups": "open('/sys/fs/cgroup/cgroup.procs', 'a').write('0')",
    "device-memory": "open('/dev/mem', 'rb')",
    "device-kmsg": "open('/dev/kmsg')",
    "device-terminal": "open('/dev/tty', 'w')",
    "device-disk": "[open(f'/dev/{name}', 'rb') for name in ('sda', 'vda', 'nvme0n1', 'loop0')]",
    "device-made": "os.mknod('disk', 0o60666, os.makedev(8, 0)); open('disk', 'rb')",
    "open-by-handle": "call(304, 265, -100, bytes(64), 0)",
    "watch-files": "same(0x12c) if COLUMN == 0 else call(0, 262, 0, 0)",
    "lock-library": "import fcntl; fcntl.flock(open(os.__file__), fcntl.LOCK_EX | fcntl.LOCK_NB)",
    "lease-on-library": "import fcntl; fcntl.fcntl(open(os.__file__), 1024, fcntl.F_RDLCK)",
    "times-of-dev-null": "os.utime(0)",
    "mode-of-dev-null": "os.fchmod(0, 0o600)",
    "write-to-dev-null": "os.write(0, b'x')",
    "empty-library": "os.open(os.__file__, os.O_RDONLY | os.O_TRUNC)",
    "shared-memory-file": "open('/dev/shm/sandbox-was-here', 'w')",
}

PROCESSES = {
    "kill-parent": "os.kill(os.getppid(), 9) if os.getppid() else os.kill(HOST['keeper'], 9)",
    "kill-canary": "os.kill(HOST['process'], 9)",
    "kill-zygote": "os.kill(HOST['zygote'], 9)",
    "kill-tests": "os.kill(HOST['tests'], 15)",
    "kill-thread": "call(200, 130, HOST['process'], 9)",
    "kill-thread-of-group": "call(234, 131, HOST['process'], HOST['process'], 9)",
    "kill-by-queue": "call(129, 138, HOST['process'], 9, bytes(128))",
    "kill-by-pidfd": "signal.pidfd_send_signal(os.pidfd_open(HOST['process']), 9)",
    "kill-by-input": "import fcntl; r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, HOST['process'])",
    "choose-signal-of-input": "import fcntl; r, w = os.pipe(); fcntl.fcntl(r, 10, 9)",
    "steal-descriptor": "same(438, os.pidfd_open(HOST['process']), 0, 0)",
    "limits-of-others": "import resource; resource.prlimit(HOST['process'], resource.RLIMIT_CPU, (0, 0))",
    "priority-of-others": "os.setpriority(os.PRIO_PROCESS, HOST['process'], 19)",
    "affinity-of-others": "os.sched_setaffinity(HOST['process'], {0})",
    "ptrace-canary": "call(101, 117, 16, HOST['process'], 0, 0)",
    "ptrace-self": "call(101, 117, 0, 0, 0, 0)",
    "read-other-memory": "call(310, 270, HOST['process'], 0, 0, 0, 0, 0)",
    "write-other-memory": "call(311, 271, HOST['process'], 0, 0, 0, 0, 0)",
    "compare-processes": "call(312, 272, os.getpid(), os.getpid(), 0, 0, 0)",
    "fork": "os.fork() or os._exit(0)",
    "spawn": "os.posix_spawn('/bin/sh', ['sh', '-c', 'exit'], {})",
    "raw-vfork": "call(58, 220, 0x4111)",
    "shell": "os.execv('/bin/sh', ['sh', '-c', 'exit'])",
    "shell-by-posix": "import posix; posix.execve('/bin/sh', ['sh'], {})",
    "shell-by-system": "assert os.system('exit 0') == 0",
    "shell-by-subprocess": "import subprocess; subprocess.run(['/bin/sh', '-c', 'exit'], check=True)",
    "execute-loader": "os.execv('/lib64/ld-linux-x86-64.so.2', ['ld', '/bin/sh'])",
    "execute-by-descriptor": "call(322, 281, os.open(os.__file__, os.O_RDONLY), b'', 0, 0, 0x1000)",
    "execute-from-memory": "os.execve(os.memfd_create('x'), ['x'], {})",
    "memory-file": "os.memfd_create('x')",
    "secret-memory": "same(447, 0)",
    "shared-memory": "from multiprocessing.shared_memory import SharedMemory; SharedMemory(create=True, size=10)",
    "sysv-memory": "call(29, 194, 4242, 4096, 0o1666)",
    "sysv-messages": "call(68, 186, 4242, 0o1666)",
    "sysv-semaphores": "call(64, 190, 4242, 1, 0o1666)",
    "posix-queue": "call(240, 180, b'x', 0o102, 0o666, 0)",
    "attach-terminal-input": "import fcntl; fcntl.ioctl(0, 0x5412, b'x')",
}

KERNEL = {
    "io-uring": "same(425, 8, bytes(120))",
    "mount": "assert libc.mount(b'none', b'/tmp', b'tmpfs', 0, b'') == 0",
    "mount-new": "same(430, b'tmpfs', 0)",
    "move-mount": "same(429, -100, b'/', -100, b'/tmp', 0)",
    "open-tree": "same(428, -100, b'/', 1)",
    "unmount": "assert libc.umount2(b'/tmp', 2) == 0",
    "remount-writable": "assert libc.mount(b'none', b'/', None, 32 | 4096, None) == 0",
    "unshare-user": "assert libc.unshare(0x10000000) == 0",
    "unshare-network": "assert libc.unshare(0x40000000) == 0",
    "clone-user": "call(56, 220, 0x10000000 | 17, 0, 0, 0, 0) or os._exit(0)",
    "clone3-user": "same(435, (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17), 64) or os._exit(0)",
    "join-namespace": "call(308, 268, 0, 0)",
    "chroot": "os.chroot('/tmp')",
    "pivot-root": "call(155, 41, b'.', b'.')",
    "set-user": "os.setuid(0)",
    "set-all-users": "os.setresuid(0, 0, 0)",
    "set-group": "os.setgid(0)",
    "set-groups": "os.setgroups([0])",
    "take-capabilities": (
        "assert libc.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(1 << 21, 1 << 21)) == 0"
    ),
    "keys": "call(248, 217, b'user', b'x', b'x', 1, -3)",
    "keys-control": "call(250, 219, 0, -3, 1)",
    "bpf": "call(321, 280, 0, bytes(64), 64)",
    "performance-events": "call(298, 241, bytes(128), 0, -1, -1, 0)",
    "fault-handler": "call(323, 282, 0)",
    "undo-by-prctl": "assert libc.prctl(4, 1, 0, 0, 0) == 0",
    "new-filter-by-prctl": "assert libc.prctl(22, 1, 0, 0, 0) == 0",
    "new-filter": "call(317, 277, 1, 0, bytes(16))",
    "outlive-the-keeper": "assert libc.prctl(1, 0, 0, 0, 0) == 0",
    "personality": "assert libc.personality(0x0040000) != -1",
    "set-clock": "time.clock_settime(time.CLOCK_REALTIME, time.time() + 3600)",
    "set-time-of-day": "assert libc.settimeofday((ctypes.c_long * 2)(1, 0), None) == 0",
    "adjust-clock": "call(159, 171, bytes(512))",
    "reboot": "call(169, 142, 0xFEE1DEAD, 672274793, 0, 0)",
    "new-kernel": "call(246, 104, 0, 0, 0, 0)",
    "load-module": "call(175, 105, b'', 0, b'')",
    "host-name": "socket.sethostname('sandbox-was-here')",
    "swap": "assert libc.swapoff(b'/dev/vda') == 0",
    "kernel-log": "assert libc.klogctl(3, ctypes.create_string_buffer(100), 100) >= 0",
    "accounting": "assert libc.acct(None) == 0",
    "raise-limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (-1, -1))",
    "lift-memory-limit": "import resource; resource.setrlimit(resource.RLIMIT_AS, (-1, -1))",
    "lock-memory": "assert libc.mlockall(3) == 0",
    "real-time": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))",
    "large-pipe": "import fcntl; fcntl.fcntl(os.pipe()[1], 1031, 1 << 20)",
    "landlock": "same(444, 0, 0, 1)",
    "open-by-second-way": "same(437, -100, b'/etc/passwd', bytes(24), 24)",
    "watch-signals": "call(289, 74, -1, bytes(8), 8, 0)",
    "timers": "call(283, 85, 0, 0)",
    "memory-policy": "call(237, 235, 0, 0, 0, 0, 0, 0)",
    "disk-priority": "call(251, 30, 1, 0, 0)",
    "terminal-hang-up": "call(153, 58)",
    "list-mounts": "same(458, 0, 0, 0, 0)",
    "message-on-socket": "socket.socketpair()[0].sendmsg([b'x'])",
    "splice": "r, w = os.pipe(); a, b = os.pipe(); os.write(w, b'x'); os.splice(r, b, 1)",
}

SECRETS = {
    "environment": "return {**os.environ}['SANDBOX_SECRET']",
    "environment-by-c": "libc.getenv.restype = ctypes.c_char_p; assert libc.getenv(b'SANDBOX_SECRET')",
    "environment-in-memory": """
block = ctypes.POINTER(ctypes.c_char_p).in_dll(libc, 'environ')
values = []
while block and block[len(values)]:
    values.append(block[len(values)])
assert any(b'SECRET' in value for value in values)""",
    "argument-list": "assert any(HOST['file'] in word for word in sys.orig_argv)",
    "descriptors": """
found = []
for number in [*range(5, 2048)]:
    try:
        found.append((number, os.fstat(number)))
    except OSError:
        pass
assert found""",
    "directories-by-descriptor": """
for number in range(64):
    try:
        return os.open('etc/passwd', os.O_RDONLY, dir_fd=number)
    except OSError:
        pass
assert False""",
    "objects-of-the-zygote": """
import gc
sockets = [each for each in gc.get_objects() if type(each) is socket.socket]
for each in sockets:
    each.send(b'{}')
    return each
assert False""",
    "frames-of-the-zygote": """
frame, found = sys._getframe(), []
while frame:
    found += [value for value in frame.f_locals.values() if isinstance(value, socket.socket) and value.fileno() >= 0]
    frame = frame.f_back
found[0].send(b'{}')""",
}

# What these do is stopped by a limit: (program, kinds of end that are right)
HOGS = {
    "infinite-loop": ("while True: pass", "timed_out"),
    "loop-past-exceptions": (
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "timed_out",
    ),
    "loop-deaf-to-signals": (
        "for number in range(1, 65):\n    try: signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError): pass\n"
        "while True: pass",
        "timed_out",
    ),
    "huge-power": ("99**98**97", "timed_out out_of_memory"),
    "huge-text": ("'a' * 10**12", "out_of_memory"),
    "hostile-pattern": ("import re; re.match('(a+)+$', 'a' * 60 + 'b')", "timed_out"),
    "sleep": ("time.sleep(1000)", "timed_out"),
    "wait-for-signal": ("signal.pause()", "timed_out"),
    "memory-hog": ("x = []\nwhile True: x.append(bytearray(10**7))", "out_of_memory"),
    "map-hog": ("x = []\nwhile True: x.append(mmap.mmap(-1, 10**8)); x[-1][0] = 1", "raised out_of_memory"),
    "shared-map-hog": (
        "x = []\nwhile True: x.append(mmap.mmap(-1, 10**7, mmap.MAP_SHARED)); x[-1].write(b'x' * 10**7)",
        "raised",
    ),
    "deep-recursion": (
        "sys.setrecursionlimit(10**9)\ndef f(): return f()\nf()",
        "killed raised out_of_memory timed_out",
    ),
    "thread-bomb": (
        "n = 0\nwhile True:\n    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); n += 1",
        "raised out_of_memory",
    ),
    "thread-bomb-of-small-stacks": (
        "threading.stack_size(32768)\nfor _ in range(200):\n"
        "    threading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\ntime.sleep(1000)",
        "raised killed",
    ),
    "directories-without-end": ("while True: os.mkdir('d'); os.chdir('d')", "raised"),
    "real-time-signal": ("os.kill(os.getpid(), 40); os.abort()", "killed"),
    "output-flood": ("while True: print('x' * 1000)", "flooded"),
    "error-flood": ("while True: sys.stderr.write('x' * 1000)", "flooded"),
    "result-flood": ("global result; result = 'x' * 10**8; raise SystemExit", "raised"),
    "flood-of-all-descriptors": (
        "while True:\n    for number in range(64):\n        try: os.write(number, b'\\0\\0\\0\\2[]' * 1000)\n"
        "        except OSError: pass",
        "refused flooded",
    ),
    "pipes-of-zeros": ("while True: os.write(4, bytes(1 << 16))", "refused flooded"),
    "endless-length": ("os.write(4, b'\\xff\\xff\\xff\\xff')\nwhile True: os.write(4, bytes(1 << 16))", "flooded"),
    "close-everything": ("os.closerange(0, 64)", "refused"),
    "crash": ("ctypes.string_at(0)", "killed"),
    "scratch-full": (
        "n = 0\nwhile True:\n    with open(f'{n}', 'wb') as file: file.write(bytes(10**6))\n    n += 1",
        "raised",
    ),
    "file-too-large": ("signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nopen('x', 'wb').write(bytes(10**8))", "raised"),
    "sparse-file": ("os.ftruncate(os.open('x', os.O_CREAT | os.O_RDWR), 10**12)", "raised killed"),
    "files-without-end": ("n = 0\nwhile True: os.close(os.open(f'{n}', os.O_CREAT | os.O_RDWR)); n += 1", "raised"),
    "descriptors-without-end": ("x = []\nwhile True: x.append(os.pipe())", "raised"),
}

# With processes allowed.
TREES = {
    "fork-bomb": ("while True:\n    try: os.fork()\n    except OSError: pass", "timed_out"),
    "orphans": (
        "for _ in range(3):\n    if os.fork() == 0:\n        signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n        time.sleep(1000)\n",
        "returned",
    ),
    "grandchildren": (
        "if os.fork() == 0:\n    if os.fork() == 0: time.sleep(1000)\n    os._exit(0)\nos.wait()",
        "returned",
    ),
    "exit-before-children": ("if os.fork() == 0:\n    time.sleep(1000)\nos._exit(0)", "refused"),
    "memory-of-many": (
        "for _ in range(3): os.fork()\nx = []\nwhile True: x.append(bytearray(10**7))",
        "out_of_memory raised refused",
    ),
    "kill-all": ("if os.fork() == 0:\n    os.kill(-1, 9)\n    time.sleep(1000)\nos.kill(-1, 9)", "returned raised"),
}

MACHINE_CODE = """
def attempt():
    # mov eax, 20 (getpid of 32-bit programs); int 0x80; ret: another table of calls, unknown to a careless filter
    code = mmap.mmap(-1, 4096, prot=7)
    code.write(bytes.fromhex("b814000000cd80c3"))
    return ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()
"""


def program(body: str, host: dict[str, object]) -> str:
    """The attempt as a program, whose value tells how it went."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"""{PRELUDE}
HOST = {host!r}
def attempt():
{lines}
try:
    result = ["succeeded", repr(attempt())[:200]]
except Exception as error:
    result = ["failed", f"{{type(error).__name__}}: {{error}}"[:200]]
"""


def bare(body: str, host: dict[str, object]) -> str:
    """The attempt as a program, whose end tells how it went."""
    lines = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return f"{PRELUDE}\nHOST = {host!r}\ndef attempt():\n{lines}\nattempt()\nresult = 'done'\n"

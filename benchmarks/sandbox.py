"""Short programs a second in the sandbox, against a plain `python -c` for each, which isolates nothing. Two at a time.

python benchmarks/sandbox.py --json prints one object. A program defines a function and calls it, a few milliseconds of
work; both sides get its value back and check it. `graded` is the same through `grade_program`: a second sandbox runs a
test that calls the function twice. The peer is the fastest of a full interpreter and one without site packages (-I -S).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from paired import compare, fastest, seconds, versions

from orionlm.tasks.grading import grade_programs
from orionlm.tasks.outcome import Outcome
from orionlm.tasks.sandbox import Sandbox

PROGRAM = """
def primes(n):
    found = []
    for each in range(2, n):
        if all(each % p for p in found if p * p <= each):
            found.append(each)
    return found
"""
RUN = PROGRAM + "result = len(primes({n}))"
TEST = "def check(candidate):\n    assert len(candidate(1000)) == 168\n    assert candidate(8) == [2, 3, 5, 7]\n"
FLAGS: dict[str, list[str]] = {"python -c": [], "python -I -S -c": ["-I", "-S"]}


def block(run: Callable[[int], Any], count: int) -> Callable[[], float]:
    def work() -> None:
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(run, [1000] * count)) == [168] * count

    return lambda: seconds(work)


def plain(flags: list[str]) -> Callable[[int], int]:
    def run(n: int) -> int:
        command = [sys.executable, *flags, "-c", RUN.format(n=n) + "\nprint(result)"]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    return run


def graded(count: int) -> None:
    check = {"entry_point": "primes", "test": TEST}
    assert [grade.outcome for grade in grade_programs([(PROGRAM, check)] * count)] == [Outcome.RIGHT] * count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=100, help="in a block")
    parser.add_argument("--blocks", type=int, default=9)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()
    chosen = fastest({name: block(plain(flags), arguments.programs // 5) for name, flags in FLAGS.items()})
    theirs = block(plain(FLAGS[chosen]), arguments.programs)
    document: dict[str, Any] = {"name": "sandbox"}
    for kind in ("namespaces", "landlock"):
        with Sandbox((kind,)) as sandbox:

            def once(n: int, sandbox: Sandbox = sandbox) -> Any:
                return sandbox.run(RUN.format(n=n)).value

            block(once, 4)()
            result = compare(block(once, arguments.programs), theirs, arguments.programs, arguments.blocks)
        document |= {kind: result} if "ratio" in document else result | {"isolation": kind}
    graded(4)
    times = [seconds(lambda: graded(arguments.programs)) for _ in range(3)]
    document |= {
        "graded": arguments.programs / sorted(times)[1],
        "unit": f"programs/s, two at a time; low and high: 10% and 90% of {arguments.blocks} paired blocks",
        "goal": 100,
        "peer_settings": chosen,
        "versions": versions(),
        "command": " ".join(["python", "benchmarks/sandbox.py", *sys.argv[1:]]),
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

"""How fast and how well are near copies removed, end to end from Parquet to Parquet? Beside three others, in turns.

python benchmarks/dedup.py --environments FOLDER --json prints one object. The documents come from `dedup_corpus.py`;
every side runs the same steps with the same thresholds on two cores: word 5-grams, 128 hashes, 16 bands of 8 rows. A
side's seconds are those of its process, start and imports included; a round runs each once, in turning order.
- datatrove and rensa run in environments of their own, made in FOLDER where they are not there yet;
- Daft bare, in this environment: the kernels that we use too, without anything around them.

`recall`: of the injected copies, those that are gone while one of their family stays. `false_removals`: of the
documents that should stay, one of each family, those that are gone. `peak_mb`: proportional set size of all processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

import dedup_corpus

HERE = Path(__file__).parent
NEEDS = {
    "datatrove": ["datatrove[io]==0.10.1", "regex", "tokenizers", "xxhash<4"],
    "rensa": ["rensa==0.5.0", "pyarrow"],
}
GOALS = {"datatrove": 10.0, "rensa": 3.0, "daft": 1 / 1.2}  # how many times as fast as each
SIDES = ("ours", "daft", "rensa", "rensa-2", "datatrove")  # rensa-2: its n-grams cut by two processes
LONGEST = 1800


def environment(folder: Path, name: str) -> str:
    """The Python of a peer's environment, made if it is not there."""
    python, made = folder / name / "bin" / "python", folder / name / "holds.json"
    if not made.exists() or json.loads(made.read_text()) != NEEDS[name]:
        subprocess.run([sys.executable, "-m", "venv", str(folder / name)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *NEEDS[name]], check=True, stdout=sys.stderr)
        made.write_text(json.dumps(NEEDS[name]))
    return str(python)


def commands(environments: Path, chosen: list[str], documents: Path, out: Path, work: Path) -> dict[str, list[str]]:
    peers = HERE / "dedup_peers"
    there = [str(documents), str(out)]

    def peer(name: str, *more: str) -> list[str]:
        return [environment(environments, name), str(peers / f"with_{name}.py"), *there, *more]

    known = {
        "ours": lambda: [sys.executable, str(HERE / "dedup_ours.py"), *there],
        "daft": lambda: [sys.executable, str(peers / "with_daft.py"), *there],
        "rensa": lambda: peer("rensa"),
        "rensa-2": lambda: peer("rensa", "2"),
        "datatrove": lambda: peer("datatrove", str(work)),
    }
    return {name: known[name]() for name in chosen}


def measured(command: list[str], log: Path) -> tuple[float, float, float]:
    """Seconds, seconds of processor time, most MB of memory of a command and all that it starts."""
    quiet = {"OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "DAFT_PROGRESS_BAR": "0", "HF_HUB_OFFLINE": "1"}
    began = time.perf_counter()
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, env=os.environ | quiet, start_new_session=True)
        watch = Watch(process.pid)
        try:
            code = process.wait(LONGEST)
        finally:
            seconds = time.perf_counter() - began
            watch.stop()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if code:
        raise SystemExit(f"{' '.join(command)}: ended with {code}\n{log.read_text()[-2000:]}")
    return seconds, sum(watch.spent.values()), watch.most


class Watch:
    """What a session of processes holds and spends, looked at ten times a second."""

    def __init__(self, session: int) -> None:
        self.session, self.most, self.over = session, 0.0, threading.Event()
        self.spent: dict[str, float] = {}
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.over.set()
        self.thread.join()

    def _watch(self) -> None:
        while not self.over.wait(0.1):
            self.most = max(self.most, sum(map(self._look, filter(str.isdigit, os.listdir("/proc")))))

    def _look(self, pid: str) -> float:
        try:
            if os.getsid(int(pid)) != self.session:
                return 0.0
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            self.spent[pid] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            return next(int(line.split()[1]) for line in rollup if line.startswith("Pss:")) / 1024
        except (OSError, IndexError, StopIteration):
            return 0.0


def judged(out: Path, families: list[dict[str, list[str]]], count: int) -> dict[str, Any]:
    """Recall and false removals of what a side left behind."""
    from pyarrow.parquet import read_table

    kept: set[str] = set()
    for path in out.glob("*.parquet"):
        if not path.name.startswith("verdicts"):
            kept |= set(read_table(path, columns=["id"]).column(0).to_pylist())
    copies, missed, lost = Counter[str](), Counter[str](), 0
    for family in families:
        copies.update(family["kinds"])
        left = [member for member in family["members"] if member in kept]
        lost += not left
        # Where several are left, the original is the one that should be, and else the first of the copies.
        missed.update(family["kinds"][family["members"].index(member) - 1] for member in left[1:])
    members = sum(len(family["members"]) for family in families)
    alone = sum(1 for id in kept if not id.startswith(dedup_corpus.FAMILY))
    total = sum(copies.values())
    return {
        "kept": len(kept),
        "recall": 1 - sum(missed.values()) / total,
        "recall_by_kind": {kind: round(1 - missed[kind] / copies[kind], 4) for kind in sorted(copies)},
        "false_removals": (count - members - alone + lost) / (count - members + len(families)),
    }


def page(rounds: dict[str, list[tuple[float, float, float]]], quality: dict[str, Any], size: int) -> dict[str, Any]:
    sides: dict[str, Any] = {}
    for name, runs in rounds.items():
        seconds, spent, memory = map(list, zip(*runs, strict=True))
        middle = statistics.median(seconds)
        sides[name] = {
            "seconds": round(middle, 2),
            "lowest": round(min(seconds), 2),
            "highest": round(max(seconds), 2),
            "processor_seconds": round(statistics.median(spent), 2),
            "mb_per_second": round(size / 1e6 / middle, 1),
            "peak_mb": round(statistics.median(memory)),
            **{key: round(value, 6) if isinstance(value, float) else value for key, value in quality[name].items()},
        }
    ratios = {}
    for name, runs in rounds.items():
        if name != "ours" and "ours" in rounds:
            each = sorted(theirs[0] / ours[0] for theirs, ours in zip(runs, rounds["ours"], strict=True))
            ratios[name] = {
                "ratio": round(statistics.median(each), 2),
                "low": round(each[0], 2),
                "high": round(each[-1], 2),
                "of_processor_time": round(sides[name]["processor_seconds"] / sides["ours"]["processor_seconds"], 2),
                "goal": round(GOALS[name], 2) if name in GOALS else None,
            }
    return {"sides": sides, "ratios": ratios}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--environments", type=Path, help="where the peers' environments are, or are made")
    parser.add_argument("--sides", default=",".join(SIDES), help="which to run, with commas between")
    parser.add_argument("--keep", type=Path, help="leave documents, outputs and logs in this folder")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    options = parser.parse_args()
    chosen = options.sides.split(",")
    if len(os.sched_getaffinity(0)) > 2:
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        corpus = folder / f"corpus-{options.documents}-{options.seed}"
        if not corpus.exists():
            dedup_corpus.write(corpus, options.documents, options.seed)
        families = json.loads((corpus / "families.json").read_text())
        size = json.loads((corpus / "size.json").read_text())
        out, work = folder / "out", folder / "work"
        asked = commands(options.environments or folder / "environments", chosen, corpus / "documents", out, work)
        rounds: dict[str, list[tuple[float, float, float]]] = {name: [] for name in chosen}
        quality: dict[str, Any] = {}
        load = os.getloadavg()[0]
        for number in range(options.rounds):
            turn = number % len(chosen)
            for name in chosen[turn:] + chosen[:turn]:
                for stale in (out, work):
                    shutil.rmtree(stale, ignore_errors=True)
                rounds[name].append(measured(asked[name], folder / f"{name}.log"))
                quality[name] = judged(out, families, options.documents)
    found = page(rounds, quality, size)
    ours = found["sides"].get("ours", {})
    result = {"name": "dedup", "ours": ours.get("mb_per_second")}
    if "datatrove" in found["ratios"]:
        result |= {"peer": found["sides"]["datatrove"]["mb_per_second"], **found["ratios"]["datatrove"]}
    result |= found | {
        "unit": f"MB of text a second ({options.documents:,} documents, {size / 1e6:.1f} MB); low, high: of the rounds",
        "rounds": options.rounds,
        "load_before": round(load, 2),
        "goals": "10 times datatrove, 3 times rensa, .83 of bare Daft, recall .99, false removals .001",
        "versions": {"python": sys.version.split()[0]} | {name: version(name) for name in ("daft", "pyarrow", "numpy")},
        "peers": NEEDS,
        "command": "python benchmarks/dedup.py " + " ".join(sys.argv[1:]),
    }
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()

"""A recipe killed with -9 at random moments and continued each time: are the digests those of an undisturbed run?"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def orion(recipe: str, run_dir: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "orionlm.cli", "run", recipe, "--dir", str(run_dir), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True)


def digests(run_dir: Path) -> dict[str, str]:
    """Stage → content digest of its artifact."""
    found = sorted(run_dir.glob("artifacts/*/manifest.json"))
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in found}


def finish(recipe: str, run_dir: Path) -> float:
    """Run to the end; gives the seconds it took."""
    began = time.monotonic()
    process = orion(recipe, run_dir)
    _, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"orion run ended with {process.returncode}: {errors.decode().strip()}")
    return time.monotonic() - began


def killed(recipe: str, run_dir: Path, kills: int, longest: float, seed: int = 0) -> int:
    """Start the run and kill it, its workers with it, up to `kills` times; gives how many kills landed."""
    draw = random.Random(seed)
    for landed in range(kills):
        process = orion(recipe, run_dir)
        try:
            process.wait(draw.uniform(0.3, longest))
            return landed
        except subprocess.TimeoutExpired:
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
    return kills


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="too-small")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole, disturbed = Path(folder, "whole"), Path(folder, "disturbed")
        seconds = finish(options.recipe, whole)
        # As often as asked, over a little more than one run's length: each attempt gets a few seconds further.
        longest = max(4.0, 2.5 * seconds / options.kills)
        landed = killed(options.recipe, disturbed, options.kills, longest, options.seed)
        finish(options.recipe, disturbed)
        same = digests(whole) == digests(disturbed)
    page = {
        "name": "kill_resume",
        "kills": landed,
        "same_digests": same,
        "seconds_undisturbed": round(seconds, 1),
        "goal": "the same digests after 20 kills",
        "command": "python benchmarks/kill_resume.py " + " ".join(sys.argv[1:]),
    }
    print(json.dumps(page) if options.json else page)
    sys.exit(0 if same else 1)


if __name__ == "__main__":
    main()

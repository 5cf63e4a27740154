"""Does a corpus of many gigabytes pass through reading and curation in little memory, and survive being killed?

The corpus is built by repetition with noise from the text files of the installed packages: half the words of each copy
replaced, 20% near copies of earlier documents (2% of the words), 5% exact ones. Run once left alone, sampling the
memory of the whole process tree, and once killed with -9 at random moments; both must end with the same digests.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from importlib.metadata import version
from pathlib import Path

FILE_BYTES = 250_000_000
# Noise is no language: the filters look at all of it, and let most of it through to what comes after them.
STEPS = """
language = { threshold = 0.0 }
gopher = { min_words = 5, max_word_length = 100.0, max_symbols_per_word = 9.0, min_words_with_letter = 0.0, \
min_stop_words = 0 }
secrets = {}
personal = {}
lines = {}
"""


def build(folder: Path, size: int, seed: int = 1234) -> None:
    """`part-00000.parquet`, … of `size` bytes of text, columns id, text, source (new, near or exact)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    base = []
    for path in sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*")):
        if path.suffix in (".py", ".md", ".rst", ".txt") and path.is_file():
            text = path.read_bytes()[:20_000].decode(errors="ignore")
            if len(text) > 200:
                base.append(text)
    draw = random.Random(seed)
    vocabulary = sorted({word for text in draw.sample(base, min(4_000, len(base))) for word in text.split()})

    def noisy(text: str, share: float) -> str:
        pieces = re.split(r"(\s+)", text)
        for place in range(0, len(pieces), 2):
            if draw.random() < share:
                pieces[place] = draw.choice(vocabulary)
        return "".join(pieces)

    recent: list[str] = []
    folder.mkdir(parents=True, exist_ok=True)
    written, number = 0, 0
    while written < size:
        held, rows = 0, []
        with pq.ParquetWriter(folder / f"part-{number:05d}.parquet", columns := schema(), compression="zstd") as file:
            part = 0
            while part < FILE_BYTES and written + part < size:
                chance = draw.random()
                if chance < 0.05 and recent:
                    kind, text = "exact", draw.choice(recent)
                elif chance < 0.25 and recent:
                    kind, text = "near", noisy(draw.choice(recent), 0.02)
                else:
                    kind, text = "new", noisy(draw.choice(base), 0.5)
                    recent.append(text)
                    if len(recent) > 6_000:
                        del recent[:3_000]
                rows.append((f"{number}-{part}-{len(rows)}", text, kind))
                held += len(text)
                part += len(text.encode())
                if held > 4_000_000:
                    file.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=columns))
                    held, rows = 0, []
            if rows:
                file.write_table(pa.table(list(map(list, zip(*rows, strict=True))), schema=columns))
        written += part
        number += 1


def schema():  # type: ignore[no-untyped-def]
    import pyarrow as pa

    return pa.schema([("id", pa.string()), ("text", pa.large_string()), ("source", pa.string())])


class Memory(threading.Thread):
    """The largest sum of resident memory, not counting shared pages twice, that a process group ever had."""

    def __init__(self, group: int):
        super().__init__(daemon=True)
        self.group, self.most = group, 0

    def run(self) -> None:
        while True:
            held = 0
            for stat in Path("/proc").glob("[0-9]*/stat"):
                try:
                    if int(stat.read_text().rsplit(")", 1)[1].split()[2]) == self.group:
                        found = re.search(r"^Pss:\s+(\d+)", (stat.parent / "smaps_rollup").read_text(), re.M)
                        held += int(found[1]) * 1024 if found else 0
                except (OSError, ValueError, IndexError):
                    continue
            self.most = max(self.most, held)
            time.sleep(0.5)


def orion(recipe: Path, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "orionlm.cli", "run", str(recipe), "--dir", str(out), "--quiet"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)


def digests(run_dir: Path) -> dict[str, str]:
    return {
        path.parent.name: json.loads(path.read_text())["digest"] for path in run_dir.glob("artifacts/*/manifest.json")
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=5.0)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--files", type=Path, help="A folder of part-*.parquet made before, or to make.")
    parser.add_argument("--runner", choices=("embedded", "ray"), default="embedded")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.files and options.files.parent) as folder:
        files = options.files or Path(folder, "files")
        if not list(files.glob("part-*.parquet")):
            build(files, int(options.gigabytes * 1e9))
        recipe = Path(folder, "recipe.toml")
        recipe.write_text(
            f'name = "large"\n[machine]\nrunner = "{options.runner}"\n[stage.corpus]\nkind = "corpus"\n'
            f'sources = [{{ rows = ["{files}/part-*.parquet"], source_field = "source" }}]\n'
            f'[stage.curated]\nkind = "curate"\ninputs = {{ corpus = "corpus" }}\n{STEPS}'
        )
        whole, disturbed = Path(folder, "whole"), Path(folder, "disturbed")
        began = time.monotonic()
        process = orion(recipe, whole)
        memory = Memory(process.pid)
        memory.start()
        assert process.wait() == 0
        seconds = time.monotonic() - began
        counted = json.loads((whole / "artifacts/curated/curation.json").read_text())
        kept = {name: held["documents"] for name, held in counted["kept"]["source"].items()}
        draw, kills = random.Random(1), 0
        while kills < options.kills:
            process = orion(recipe, disturbed)
            try:
                process.wait(draw.uniform(2, max(4, 1.6 * seconds / options.kills)))
                break
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                kills += 1
        assert orion(recipe, disturbed).wait() == 0
        same = digests(whole) == digests(disturbed)
        page = {
            "name": "curate",
            "gigabytes": round(sum(held["bytes"] for held in counted["seen"]["domain"].values()) / 1e9, 2),
            "seconds": round(seconds, 1),
            "peak_gigabytes": round(memory.most / 1e9, 2),
            "kept_by_kind": kept,
            "removed": {
                step: sum(held["documents"] for held in reasons.values())
                for step, reasons in counted["removed"].items()
            },
            "kills": kills,
            "same_digests": same,
            "runner": options.runner,
            "goal": "at most 4 GB of memory, the same digests after ten kills",
            "versions": {name: version(name) for name in ("daft", "pyarrow", "numpy")},
            "command": "python benchmarks/curate.py " + " ".join(sys.argv[1:]),
        }
    print(json.dumps(page) if options.json else page)
    sys.exit(0 if same and memory.most < 4e9 and kills == options.kills else 1)


if __name__ == "__main__":
    main()

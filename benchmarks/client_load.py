"""What did a client buy, by the server's own count? Prompts, the misbehaving server, and its log of what it billed."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

SCRIPT = Path(__file__).parents[1] / "tests" / "inference" / "client" / "misbehaving.py"
POISONED_EVERY = 200
SUBJECTS = ("rivers", "lighthouses", "the tides", "old maps", "bread", "night trains", "glaciers", "small engines")


def prompts_of(count: int) -> list[str]:
    """Distinct, of different lengths; one in 200 the server always refuses."""
    return [
        f"Question {number}: what should one know about {SUBJECTS[number % 8]}? " + "Say why. " * (number % 5)
        + ("POISON" if number % POISONED_EVERY == 7 else "")
        for number in range(count)
    ]  # fmt: skip


def write_prompts(path: Path, prompts: list[str]) -> Path:
    lines = [json.dumps({"id": number, "prompt": prompt}) + "\n" for number, prompt in enumerate(prompts)]
    path.write_text("".join(lines))
    return path


def expected(prompt: str, max_tokens: int) -> str:
    """What the server answers when it does not misbehave."""
    return " ".join(_server_module().answer_to(prompt, max_tokens)[0])


@dataclass
class Bill:
    """One request for which the server began a 200; `sent` once all of a good answer went out."""

    n: int
    prompt: str
    complete: bool
    tokens: int
    at: float
    sent: bool = False


class Server:
    """The misbehaving server in a process of its own."""

    def __init__(self, log: Path, *, profile: str, seed: int = 0, concurrency: int = 48, latency: float = 0.02) -> None:
        self.log = log
        self._read, self._count = 0, 0
        command = [sys.executable, str(SCRIPT), "--log", str(log), "--profile", profile, "--seed", str(seed)]
        command += ["--concurrency", str(concurrency), "--latency", str(latency)]
        log.touch()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.url: str = json.loads(self.process.stdout.readline())["url"]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.process.terminate()
        self.process.wait()

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/stats", timeout=10) as response:
            return json.load(response)

    def billed(self) -> int:
        """How many lines the log has by now; cheap, for waiting."""
        with self.log.open("rb") as file:
            file.seek(self._read)
            more = file.read()
        self._read += len(more)
        self._count += more.count(b"\n")
        return self._count

    def bills(self) -> list[Bill]:
        found: dict[int, Bill] = {}
        for line in self.log.read_text().splitlines():
            entry = json.loads(line)
            if "sent" in entry:
                found[entry["n"]].sent = True
                continue
            tokens = entry["prompt_tokens"] + entry["completion_tokens"]
            found[entry["n"]] = Bill(entry["n"], entry["prompt"], entry["complete"], tokens, entry["at"])
        return [bill for bill in found.values() if bill.prompt]  # the peer asks once for nothing, to see its limits


def _server_module() -> ModuleType:
    if "misbehaving" not in sys.modules:
        spec = importlib.util.spec_from_file_location("misbehaving", SCRIPT)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        sys.modules["misbehaving"] = module
        spec.loader.exec_module(module)
    return sys.modules["misbehaving"]

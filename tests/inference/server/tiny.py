"""A tiny checkpoint, and `orion serve` over it: what the server's tests run against."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
ORION = [sys.executable, "-m", "orionlm.cli"]
SCRIPTED = [sys.executable, str(HERE / "scripted_worker.py")]
CONTEXT = 4096
TEXT = (
    "The quick brown fox jumps over the lazy dog, and the dog, being lazy, does not mind at all.\n"
    "def main(values):\n    return sum(value for value in values if value > 0)\n"
    "人は皆、言葉を話す。言葉は人をつなぐ。 Σ αβγ → ∞ 🙂🎉🙂 naïve café\n"
)


def make_checkpoint(folder: Path) -> Path:
    """Random weights, large enough that what they say varies: any bytes, in any order."""
    import torch

    from orionlm.data.tokenizer import END_OF_TEXT, train_tokenizer
    from orionlm.model.checkpoint import save
    from orionlm.model.transformer import Transformer
    from orionlm.shape import Shape

    tokenizer = train_tokenizer([TEXT * 3], 320)
    shape = Shape(
        vocabulary=320, width=32, layers=2, heads=4, kv_heads=2, head_dim=8, mlp_width=48, context=CONTEXT
    )  # fmt: skip
    torch.manual_seed(0)
    model = Transformer(shape)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 2:
                parameter.normal_(std=0.2)
    folder.mkdir(parents=True)
    save(folder, dict(model.named_parameters()), shape, tokenizer.token_to_id(END_OF_TEXT))
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


_SERVE_SCRIPTED = """
import asyncio, json, sys
from pathlib import Path
from orionlm.inference.server.run import Settings, serve
settings = Settings(Path(sys.argv[1]), port=0, **json.loads(sys.argv[2]))
asyncio.run(serve(settings, lambda up: print(json.dumps({"url": up.url}), flush=True), worker=sys.argv[3:]))
"""


def scripted_command(folder: Path, **settings: Any) -> list[str]:
    """A server as `orion serve` runs it, over the scripted worker instead of a model."""
    return [sys.executable, "-c", _SERVE_SCRIPTED, str(folder), json.dumps(settings), *SCRIPTED]


class Served:
    """A running `orion serve`."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    @property
    def engine(self) -> int:
        """The engine's process."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        (child,) = map(int, children)
        return child

    def metrics(self) -> dict[str, float]:
        import urllib.request

        with urllib.request.urlopen(f"{self.url}/metrics") as response:
            lines = response.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


@contextmanager
def served(checkpoint: Path, *options: str, cache: Path, command: list[str] | None = None, **env: str) -> Iterator[Any]:
    """`orion serve` on a free port, or another command that prints its URL as that does."""
    process = subprocess.Popen(
        command or [*ORION, "serve", str(checkpoint), "--port", "0", "--json", "--threads", "1", *options],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
        env=os.environ | {"XDG_CACHE_HOME": str(cache), "OMP_NUM_THREADS": "1"} | env,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line, process.stderr.read()
        yield Served(process, json.loads(line)["url"])
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.communicate()

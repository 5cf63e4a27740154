"""The engine as a process: JSON lines over a socket, one line in for each request, one line out for each step.

In: {"submit": id, "prompt": [tokens], "sampling": {...}, "echo": bool} and {"cancel": id}. Out: {"ready": {...}} or
{"failed": line} first, then {"events": [...], "stats": {...}}. It ends when the socket does.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import traceback
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orionlm.errors import UserError
from orionlm.sampling import Sampling

if TYPE_CHECKING:
    from orionlm.inference.engine.engine import Engine
    from orionlm.inference.engine.sample import Event

READ = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--socket", type=int, required=True, help="descriptor of a connected socket")
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--cache-tokens", type=int)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # there is nothing to save
    with socket.socket(fileno=arguments.socket) as connection:
        try:
            engine, about = _loaded(arguments)
        except UserError as error:
            _send(connection, {"failed": str(error)})
            return 2
        _send(connection, {"ready": about})
        try:
            with suppress(BrokenPipeError, ConnectionResetError):
                Worker(engine, connection).run()
        except Exception as error:
            # Said before the socket closes: then the parent ends this process at once.
            print(f"engine: {type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr, flush=True)
            if os.environ.get("ORION_DEBUG"):
                traceback.print_exc()
            return 1
    return 0


def _loaded(arguments: argparse.Namespace) -> tuple[Engine, dict[str, Any]]:
    """The engine, and what its users should know of it."""
    import torch

    from orionlm.inference.engine.load import load_engine
    from orionlm.model.checkpoint import revision

    checkpoint = arguments.checkpoint
    if arguments.threads is not None:
        if arguments.threads < 1:
            raise UserError(f"threads = {arguments.threads}: give at least 1")
        torch.set_num_threads(arguments.threads)
    loaded = load_engine(
        checkpoint, slots=arguments.slots, cache_tokens=arguments.cache_tokens, device=arguments.device
    )
    engine, shape = loaded.engine, loaded.shape
    return engine, {
        "model": checkpoint.resolve().name,
        "revision": revision(checkpoint),
        "parameters": shape.parameters,
        "context": shape.context,
        "vocabulary": shape.vocabulary,
        "end": engine.ends[0] if engine.ends else None,
        "slots": engine.slots,
        "cache_tokens": engine.pages.count * engine.pages.size,
        "device": arguments.device,
        "exact": engine.exact,
        "flops_per_token": shape.forward_flops_per_token(),
    }


class Worker:
    """Reads what has come, makes a step, tells what it brought; sleeps when there is nothing to do."""

    def __init__(self, engine: Engine, connection: socket.socket) -> None:
        self.engine, self.connection = engine, connection
        self.theirs: dict[int, int] = {}  # our number → the parent's
        self.ours: dict[int, int] = {}
        self.open: dict[int, int] = {}  # samples not yet ended, by our number
        self._rest = b""

    def run(self) -> None:
        while True:
            refused: list[dict[str, Any]] = []
            for message in self._messages(wait=not self.engine.busy):
                if message is None:
                    return
                refused += self._take(message)
            events = refused + [self._told(event) for event in self.engine.step()]
            if events:
                _send(self.connection, {"events": events, "stats": self._stats()})

    def _messages(self, wait: bool) -> list[dict[str, Any] | None]:
        """What has come by now, or the first to come; None where the parent has gone."""
        messages: list[dict[str, Any] | None] = []
        while select.select([self.connection], [], [], None if wait and not messages else 0)[0]:
            data = self.connection.recv(READ)
            if not data:
                return [*messages, None]
            *lines, self._rest = (self._rest + data).split(b"\n")
            messages += map(json.loads, lines)
        return messages

    def _take(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        if "cancel" in message:
            ours = self.ours.get(message["cancel"])
            if ours is not None:
                self.engine.cancel(ours)
            return []
        sampling = Sampling.from_document(message["sampling"])
        theirs = message["submit"]
        try:
            ours = self.engine.submit(message["prompt"], sampling, 1 if message.get("echo") else None)
        except UserError as error:
            return [
                {"id": theirs, "sample": sample, "text": "", "tokens": [], "finish": "error", "error": str(error)}
                for sample in range(sampling.n)
            ]
        self.ours[theirs], self.theirs[ours], self.open[ours] = ours, theirs, sampling.n
        return []

    def _told(self, event: Event) -> dict[str, Any]:
        document: dict[str, Any] = {
            "id": self.theirs[event.request],
            "sample": event.sample,
            "text": event.text,
            "tokens": event.tokens,
            "finish": event.finish,
        }
        if event.cached is not None:
            document["cached"] = event.cached
        if event.logprobs:
            document |= {"logprobs": event.logprobs, "sampled_logprobs": event.sampled_logprobs, "top": event.top}
        if event.prompt_logprobs is not None:
            document |= {"prompt_logprobs": event.prompt_logprobs, "prompt_top": event.prompt_top}
        if event.finish:
            self.open[event.request] -= 1
            if not self.open[event.request]:
                del self.open[event.request], self.ours[self.theirs.pop(event.request)]
        return document

    def _stats(self) -> dict[str, int]:
        engine = self.engine
        pages = engine.pages
        return {
            "running": engine.running,
            "waiting": engine.waiting,
            "cache_tokens": pages.count * pages.size,
            "cache_tokens_used": (pages.count - pages.free) * pages.size,
            "steps": engine.steps,
            "prompt_tokens": engine.prompt_tokens,
            "shared_tokens": engine.shared_tokens,
            "generated_tokens": engine.generated_tokens,
        }


def _send(connection: socket.socket, document: dict[str, Any]) -> None:
    connection.sendall(json.dumps(document, separators=(",", ":")).encode() + b"\n")


if __name__ == "__main__":
    sys.exit(main())

"""A worker that speaks the engine's protocol without a model, and misbehaves on purpose.

A prompt's first token says how: see `BEHAVIOURS`. `--log FILE` gets a line for each message and each step.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

BEHAVIOURS = {1: "dies at its first step", 2: "never answers", 3: "sends garbage", 4: "gives up"}
TEXT = "ab"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--socket", type=int)
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--pause", type=float, default=float(os.environ.get("SCRIPTED_PAUSE", "0.01")))
    arguments, _ = parser.parse_known_args()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    log_path = os.environ.get("SCRIPTED_LOG")

    def log(line: str) -> None:
        if log_path:
            with open(log_path, "a") as file:
                file.write(f"{time.monotonic()} {line}\n")

    connection = socket.socket(fileno=arguments.socket)

    def send(document: dict) -> None:
        connection.sendall(json.dumps(document).encode() + b"\n")

    starts = arguments.checkpoint / "starts"
    count = int(starts.read_text()) + 1 if starts.exists() else 1
    starts.write_text(str(count))
    told = arguments.checkpoint / f"start-{count}"
    if told.exists():
        if told.read_text() == "die":
            return 1
        send({"failed": told.read_text()})
        return 2
    log("start")
    send({"ready": {
        "model": "scripted", "revision": "00" * 32, "parameters": 1, "context": 1000, "vocabulary": 320, "end": 0,
        "slots": arguments.slots, "cache_tokens": 10_000, "device": "cpu", "flops_per_token": 2.0, "more": 1,
    }})  # fmt: skip
    running: dict[int, dict] = {}
    steps = 0
    rest = b""
    while True:
        busy = any(request["prompt"][0] != 2 for request in running.values())
        if select.select([connection], [], [], arguments.pause if busy else None)[0]:
            data = connection.recv(1 << 20)
            if not data:
                return 0
            *lines, rest = (rest + data).split(b"\n")
            for message in map(json.loads, lines):
                if "submit" in message:
                    log(f"submit {message['submit']}")
                    running[message["submit"]] = message | {"done": 0}
                else:
                    log(f"cancel {message['cancel']}")
                    running.pop(message["cancel"], None)
        events = []
        steps += 1
        for number, request in list(running.items()):
            behaviour = request["prompt"][0]
            if behaviour == 1 and request["done"]:
                os._exit(9)
            if behaviour == 2:
                continue
            if behaviour == 3:
                connection.sendall(b'{"events": nonsense\n')
            request["done"] += 1
            most = request["sampling"]["max_tokens"]
            finish = "error" if behaviour == 4 else "length" if request["done"] >= most else None
            for sample in range(request["sampling"]["n"]):
                event = {"id": number, "sample": sample, "text": TEXT, "tokens": [7], "finish": finish}
                first = {"cached": 0} if request["done"] == 1 and not sample else {}
                events.append(event | first | ({"error": "scripted"} if finish == "error" else {}))
            if finish:
                del running[number]
        log(f"step {steps}")
        stats = {"running": len(running), "waiting": 0, "cache_tokens": 1, "cache_tokens_used": 0, "steps": steps}
        if events:
            send({"events": events, "stats": stats})


if __name__ == "__main__":
    sys.exit(main())

"""How are messages told apart on a pipe? Four bytes of length, then JSON."""

from __future__ import annotations

import json
import os
from typing import Any

HEAD = 4


def pack(message: Any) -> bytes:
    body = json.dumps(message, allow_nan=False, separators=(",", ":")).encode()
    return len(body).to_bytes(HEAD, "big") + body


def write(descriptor: int, message: Any) -> None:
    """Write one message, waiting as long as it takes: the sandboxed side's way."""
    data = memoryview(pack(message))
    while data:
        data = data[os.write(descriptor, data) :]


def read(descriptor: int) -> Any:
    """Read one message, waiting as long as it takes; EOFError when the other side is gone."""
    return json.loads(_exactly(descriptor, int.from_bytes(_exactly(descriptor, HEAD), "big")))


def _exactly(descriptor: int, count: int) -> bytes:
    parts = []
    while count:
        part = os.read(descriptor, min(count, 1 << 20))
        if not part:
            raise EOFError
        parts.append(part)
        count -= len(part)
    return b"".join(parts)

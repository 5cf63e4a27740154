"""`orion serve`: one of our checkpoints as an OpenAI-compatible endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from orionlm.inference.server.run import Running


def serve(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's directory, or a run that trained one.")],
    host: Annotated[
        str, typer.Option(help="The address to listen at; 0.0.0.0 is all of this machine's.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    name: Annotated[
        str | None, typer.Option(help="What clients call the model.  [default: the checkpoint's folder]")
    ] = None,
    slots: Annotated[int | None, typer.Option(min=1, help="Samples decoded at a time.")] = None,
    queue: Annotated[int, typer.Option(min=0, help="Samples that may wait beyond the slots; more get a 429.")] = 256,
    cache_tokens: Annotated[int | None, typer.Option(min=1, help="Tokens the key-value cache holds.")] = None,
    drain: Annotated[float, typer.Option(min=0.0, help="Seconds that running requests have after a stop.")] = 30.0,
    api_key_env: Annotated[
        str | None, typer.Option(metavar="NAME", help="Ask callers for the key in this environment variable.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the engine.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda.  [default: cpu]")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the URL as JSON once the server is up.")] = False,
) -> None:
    """Serve a checkpoint over HTTP as OpenAI's clients expect it.

    Completions, chat completions, models, /health and /metrics. Chats use the checkpoint's chat template
    (chat_template.jinja or tokenizer_config.json). A checkpoint without one has seen no conversations: it gets
    "User: …" and "Assistant: …" as plain text, and an answer ends where it would write the next "User:".
    Ctrl-C or SIGTERM lets running requests finish; a second one cuts them short.

    \b
    Examples:
      orion serve runs/quickstart
      orion serve runs/quickstart/artifacts/run --port 0 --json
      KEY=… orion serve runs/quickstart --host 0.0.0.0 --api-key-env KEY --queue 64
    """
    import asyncio
    import json
    import math

    from orionlm.cli.checkpoints import find_checkpoint
    from orionlm.errors import UserError
    from orionlm.inference.server.run import Settings, serve
    from orionlm.progress import Progress

    if not math.isfinite(drain):
        raise UserError(f"--drain {drain}: give seconds, such as 30")
    settings = Settings(
        find_checkpoint(checkpoint),
        host,
        port,
        name,
        slots,
        queue,
        cache_tokens,
        drain,
        key(api_key_env),
        threads,
        device,
    )

    def announce(running: Running) -> None:
        if as_json:
            print(json.dumps({"url": running.url, "model": running.name}), flush=True)
        else:
            chat = ", plain chat format" if running.plain_chat else ""
            print(f"serving {running.name} at {running.url}/v1 ({running.served.slots} slots{chat})", flush=True)

    progress = Progress()
    if not asyncio.run(serve(settings, announce, say=progress.say)):
        progress.say("stopped before it was up")
        raise typer.Exit(1)


def key(variable: str | None) -> str | None:
    """The API key in an environment variable; None where none is named."""
    import os

    from orionlm.errors import UserError

    if variable is None:
        return None
    value = os.environ.get(variable, "").strip()
    if not value:
        raise UserError(f"--api-key-env {variable}: the variable is not set; put the key into it")
    return value

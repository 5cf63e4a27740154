"""`orion complete`: what a checkpoint says next."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete(
    checkpoint: Annotated[Path, typer.Argument(help="A checkpoint's directory, or a run that trained one.")],
    prompt: Annotated[str, typer.Argument(help="The text to go on from.")],
    tokens: Annotated[int, typer.Option(min=1, help="At most so many new tokens.")] = 128,
    temperature: Annotated[float, typer.Option(min=0.0, help="0 takes the likeliest token each time.")] = 0.8,
    top_k: Annotated[int, typer.Option(min=0, help="Sample among the k likeliest tokens; 0 among all.")] = 0,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="The same seed gives the same text.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,
) -> None:
    """Complete a prompt.

    \b
    Examples:
      orion complete runs/quickstart "def "
      orion complete runs/quickstart/artifacts/run "import " --temperature 0
    """
    from orionlm.cli.checkpoints import find_checkpoint
    from orionlm.cli.output import print_json
    from orionlm.inference.complete import complete as continued

    path = find_checkpoint(checkpoint)
    text = continued(path, prompt, max_tokens=tokens, temperature=temperature, top_k=top_k, seed=seed)
    if as_json:
        print_json({"checkpoint": str(path), "prompt": prompt, "completion": text})
    else:
        print(prompt + text)

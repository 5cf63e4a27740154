"""Tokens per second of the trainer against transformers' Qwen3ForCausalLM in its best ordinary loop, on two threads.

python benchmarks/train_cpu.py [--width 128 --layers 4] --json prints one object. Both train the same shape on the same
batches with fused AdamW, clipping and bf16. The peer runs under autocast with fp32 weights, eager or fused attention,
compiled or not, whichever is fastest here, its OpenMP threads spinning; attention in ours stays inside each document,
which the peer's does not. Each has a process of its own, stopped while the other runs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable

import numpy as np
import torch
from paired import Side, compare, fastest, serve, versions

from orionlm.data.loader import Loader
from orionlm.data.shards import TokenSet, TokenStream
from orionlm.model.checkpoint import to_config
from orionlm.shape import Shape
from orionlm.train.execution import Execution
from orionlm.train.optimizer import OptimizerSettings
from orionlm.train.trainer import Trainer, to_tensors

VOCABULARY, CONTEXT, EOT, THREADS = 2048, 128, 0, 2
SIZES = ((128, 4), (256, 6))  # width and layers: 1.0M and 5.3M parameters
RATE = 1e-3
PEERS = ("eager, compiled", "sdpa, compiled", "eager", "sdpa")


def loader(batch: int) -> Loader:
    """Batches of a synthetic stream: Zipf-distributed tokens in documents of about 600."""
    random = np.random.default_rng(0)
    ids = np.minimum(random.zipf(1.2, 2_000_000), VOCABULARY - 1).astype(np.uint16)
    ids[random.random(len(ids)) < 1 / 600] = EOT
    tokens = TokenSet(TokenStream([ids]), split="train", eot=EOT, token_bytes=np.ones(VOCABULARY, np.int64))
    return Loader(tokens, context_length=CONTEXT, batch_size=batch, seed=0)


def our_loop(shape: Shape, batches: Loader, steps: int) -> Callable[[], None]:
    execution = Execution(precision="bf16", compile=True, threads=THREADS)
    trainer = Trainer(shape, batches, OptimizerSettings(rate=RATE, embedding_rate=RATE), execution, seed=0)

    def block() -> None:
        for _ in trainer.advance(trainer.step + steps, lambda step: 1.0):
            pass

    return block


def peer_loop(shape: Shape, batches: Loader, steps: int, attention: str, compiled: bool) -> Callable[[], None]:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config.from_dict(to_config(shape, EOT) | {"use_cache": False})
    config._attn_implementation = attention
    model = Qwen3ForCausalLM(config)
    call = torch.compile(model) if compiled else model
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    step = 0

    def block() -> None:
        nonlocal step
        for _ in range(steps):
            tokens_bt, _, _ = to_tensors(batches.batch(step), torch.device("cpu"))
            with torch.autocast("cpu", torch.bfloat16):
                loss = call(input_ids=tokens_bt, labels=tokens_bt).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            step += 1

    return block


def run(width: int, layers: int, batch: int, blocks: int, steps: int) -> dict[str, object]:
    """Ours beside the fastest of the peers, at one size."""
    shape = Shape.from_width(width, vocabulary=VOCABULARY, context=CONTEXT, layers=layers)
    arguments = [f"--{name}={value}" for name, value in locals().items() if isinstance(value, int)]
    peers = {name: Side([*arguments, f"--side={name}"], OMP_WAIT_POLICY="active") for name in PEERS}
    chosen = fastest(peers)
    for name in peers.keys() - {chosen}:
        peers[name].close()
    ours = Side([*arguments, "--side=ours"])
    result = compare(ours, peers[chosen], steps * batch * CONTEXT, blocks)
    ours.close()
    peers[chosen].close()
    return {"parameters": shape.parameters, "width": width, "layers": layers, "peer_settings": chosen} | result


def side(name: str, width: int, layers: int, batch: int, steps: int) -> None:
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    shape = Shape.from_width(width, vocabulary=VOCABULARY, context=CONTEXT, layers=layers)
    if name == "ours":
        serve(our_loop(shape, loader(batch), steps))
    else:
        attention, _, compiled = name.partition(", ")
        serve(peer_loop(shape, loader(batch), steps, attention, bool(compiled)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, help="one size instead of both")
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8, help="sequences of 128 tokens")
    parser.add_argument("--blocks", type=int, default=12)
    parser.add_argument("--steps", type=int, default=10, help="in a block")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.side, arguments.width, arguments.layers, arguments.batch, arguments.steps)
        return
    sizes = ((arguments.width, arguments.layers),) if arguments.width else SIZES
    results = [run(*size, arguments.batch, arguments.blocks, arguments.steps) for size in sizes]
    worst = min(results, key=lambda result: result["ratio"])  # type: ignore[arg-type, return-value]
    document = {
        "name": "train_cpu",
        **{key: worst[key] for key in ("ours", "peer", "ratio", "low", "high")},
        "goal": 1.5,
        "unit": f"tokens/s, {THREADS} threads, bf16, batch {arguments.batch} x {CONTEXT}, vocabulary {VOCABULARY}; "
        "the slower of the sizes; low and high: 10% and 90% of paired blocks",
        "versions": versions(),
        "command": " ".join(["python", "benchmarks/train_cpu.py", *sys.argv[1:]]),
        "results": results,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

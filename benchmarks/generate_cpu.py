"""Tokens per second of greedy generation against transformers' `generate`: batch 64, 256 new tokens, two threads.

python benchmarks/generate_cpu.py --json prints one object. Both hold the same weights; fp32 tokens must agree. The
peer runs with its static and its default cache, eager or fused attention and, with --compile, a compiled forward pass,
in fp32 and in bf16: the fastest of them is the peer. Compilation is warmed up before anything is timed.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from itertools import product

import torch
from paired import compare, fastest, seconds, versions
from torch import Tensor

from orionlm.inference.generate import generate
from orionlm.model.checkpoint import to_config
from orionlm.model.transformer import Transformer
from orionlm.shape import Shape

BATCH, NEW, PROMPT, THREADS = 64, 256, 32, 2
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def model_of(width: int, dtype: torch.dtype) -> Transformer:
    torch.manual_seed(0)
    model = Transformer(Shape.from_width(width, vocabulary=2048, context=512)).requires_grad_(False).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.08)
    model.to(dtype)
    model.model.rotary.float()
    return model


def peer_of(ours: Transformer, attention: str, cache: str, dtype: torch.dtype, compiled: bool) -> Callable[..., Tensor]:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config.from_dict(to_config(ours.shape, 0) | {"bos_token_id": None, "eos_token_id": None})
    config._attn_implementation = attention
    model = Qwen3ForCausalLM(config)
    model.load_state_dict(ours.state_dict())
    model.to(dtype).eval()
    if compiled:
        model.forward = torch.compile(model.forward)
    implementation = {"cache_implementation": "static"} if cache == "static" else {}

    def run(prompts_bt: Tensor) -> Tensor:
        mask_bt = torch.ones_like(prompts_bt)
        sequence_bt = model.generate(
            prompts_bt, attention_mask=mask_bt, max_new_tokens=NEW, do_sample=False, pad_token_id=0, **implementation
        )
        return sequence_bt[:, prompts_bt.shape[1] :]

    return run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="try compiled peers too")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()
    torch.set_num_threads(THREADS)
    models = {name: model_of(arguments.width, dtype) for name, dtype in DTYPES.items()}
    prompts_bt = torch.randint(0, 2048, (BATCH, PROMPT), generator=torch.Generator().manual_seed(1))
    runs, peers = {}, {}
    for precision, attention, cache, compiled in product(
        DTYPES, ("eager", "sdpa"), ("static", "default"), (False, True) if arguments.compile else (False,)
    ):
        name = f"{precision}, {attention}, {cache} cache{', compiled' if compiled else ''}"
        run = peer_of(models["fp32"], attention, cache, DTYPES[precision], compiled)
        runs[name], peers[name] = run, lambda run=run: seconds(lambda: run(prompts_bt))
    ours = {
        name: lambda model=model: seconds(lambda: generate(model, prompts_bt, NEW)) for name, model in models.items()
    }
    chosen, mine = fastest(peers, 1), fastest(ours, 1)
    agreement = float(
        (generate(models["fp32"], prompts_bt, NEW) == runs["fp32, eager, static cache"](prompts_bt)).float().mean()
    )
    document = {
        "name": "generate_cpu",
        **compare(ours[mine], peers[chosen], BATCH * NEW, arguments.blocks),
        "goal": 5,
        "unit": f"new tokens/s, {THREADS} threads, batch {BATCH}, {NEW} new after {PROMPT}, greedy; "
        "low and high: 10% and 90% of paired runs",
        "versions": versions(),
        "command": " ".join(["python", "benchmarks/generate_cpu.py", *sys.argv[1:]]),
        "parameters": models["fp32"].shape.parameters,
        "our_settings": mine,
        "peer_settings": chosen,
        "fp32_agreement": agreement,
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

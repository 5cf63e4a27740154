"""Tokens per second of generation against transformers on two threads: mixed lengths at batch 64, and one answer alone.

python benchmarks/generate.py --json prints one object. 192 requests with prompts of 16 to 256 tokens and answers of 16
to 256, uniform and in random order, greedy; both sides hold the same fp32 weights. The peer has its static and its
default cache (batches of 64, padded to the longest prompt and run to the longest answer) and its continuous batching,
eager and fused attention, fp32 and bf16 and, with --compile, compiled forward passes: the fastest on 64 shorter
requests is the peer. Only tokens that were asked for count. Each side is a process of its own; the peer's threads spin
where that is faster.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from paired import Side, compare, fastest, seconds, serve, versions

THREADS, BATCH, REQUESTS, SHORTEST, LONGEST, PROBED, VOCABULARY = 2, 64, 192, 16, 256, 64, 2048
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}
Request = tuple[list[int], int]


def workload(batch: int, requests: int = REQUESTS, longest: int = LONGEST) -> list[Request]:
    """(prompt, tokens wanted) each."""
    rng = random.Random(0)
    if batch == 1:
        return [([rng.randrange(VOCABULARY) for _ in range(64)], longest)]
    return [
        ([rng.randrange(VOCABULARY) for _ in range(rng.randint(SHORTEST, LONGEST))], rng.randint(SHORTEST, longest))
        for _ in range(requests)
    ]


def make_checkpoint(folder: Path, width: int) -> int:
    from orionlm.model.checkpoint import save
    from orionlm.model.transformer import Transformer
    from orionlm.shape import Shape

    torch.manual_seed(0)
    model = Transformer(Shape.from_width(width, vocabulary=VOCABULARY, context=2 * LONGEST)).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.08)
    save(folder, model.state_dict(), model.shape, 0)
    return model.shape.parameters


def ours(folder: Path, requests: list[Request], batch: int) -> Callable[[], list[list[int]]]:
    from orionlm.inference.engine.engine import Engine
    from orionlm.model.checkpoint import load
    from orionlm.sampling import Sampling

    model = load(folder)
    asked = [(prompt, Sampling(max_tokens=wanted, temperature=0.0)) for prompt, wanted in requests]

    def run() -> list[list[int]]:
        engine = Engine(model, slots=batch)  # anew, so that no prompt is known from the block before
        numbers = [engine.submit(prompt, sampling) for prompt, sampling in asked]
        answers: dict[int, list[int]] = {number: [] for number in numbers}
        while engine.busy:
            for event in engine.step():
                answers[event.request] += event.tokens
        return list(answers.values())

    return run


def peers(
    folder: Path, requests: list[Request], batch: int, compiled: bool
) -> dict[str, Callable[[], list[list[int]]]]:
    return {
        ", ".join(
            [precision, attention, f"{cache} cache" if cache != "paged" else "continuous", *["compiled"] * compile_]
        ): peer(folder, requests, batch, DTYPES[precision], attention, cache, compile_)
        for precision, attention, cache, compile_ in product(
            DTYPES, ("eager", "sdpa"), ("static", "default", "paged"), (False, True) if compiled else (False,)
        )
        if not (cache == "paged" and (compile_ or batch == 1 or attention == "eager"))
    }


def peer(
    folder: Path, requests: list[Request], batch: int, dtype: torch.dtype, attention: str, cache: str, compiled: bool
) -> Callable[[], list[list[int]]]:
    from transformers import Qwen3ForCausalLM

    model = Qwen3ForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation=attention).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.bos_token_id = None
    if compiled:
        model.forward = torch.compile(model.forward)

    def padded() -> list[list[int]]:
        answers = []
        for start in range(0, len(requests), batch):
            group = requests[start : start + batch]
            width = max(len(prompt) for prompt, _ in group)
            prompts_bt = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt, _ in group])
            mask_bt = torch.tensor([[0] * (width - len(prompt)) + [1] * len(prompt) for prompt, _ in group])
            made_bt = model.generate(
                prompts_bt,
                attention_mask=mask_bt,
                max_new_tokens=max(wanted for _, wanted in group),
                do_sample=False,
                pad_token_id=0,
                **({"cache_implementation": "static"} if cache == "static" else {}),
            )[:, width:]
            answers += [row[:wanted] for row, (_, wanted) in zip(made_bt.tolist(), group, strict=True)]
        return answers

    def continuous() -> list[list[int]]:
        from transformers.generation.configuration_utils import ContinuousBatchingConfig

        settings = ContinuousBatchingConfig(
            page_size=32, num_blocks=20 * batch, max_batch_tokens=512, max_requests_per_batch=batch
        )
        with model.continuous_batching_context_manager(continuous_batching_config=settings) as manager:
            names = [manager.add_request(prompt, max_new_tokens=wanted) for prompt, wanted in requests]
            done = {}
            for output in manager:
                if output.is_finished():
                    done[output.request_id] = output.generated_tokens
                    if len(done) == len(names):
                        break
        return [done[name] for name in names]

    return continuous if cache == "paged" else padded


def side(name: str, folder: Path, batch: int) -> None:
    torch.set_num_threads(THREADS)
    if name == "ours":
        serve(ours(folder, workload(batch), batch), warm=1)
    else:
        from transformers.utils import logging

        logging.set_verbosity_error()
        settings, _, compiled = name.partition("/")
        serve(peers(folder, workload(batch), batch, bool(compiled))[settings], warm=1)


def measure(folder: Path, batch: int, blocks: int, compiled: bool) -> dict[str, object]:
    torch.set_num_threads(THREADS)
    tokens = sum(wanted for _, wanted in workload(batch))
    trial = workload(batch, batch, PROBED)
    candidates = peers(folder, trial, batch, compiled)
    answers: dict[str, list[list[int]]] = {}
    first = {
        name: seconds(lambda name=name, run=run: answers.update({name: run()})) for name, run in candidates.items()
    }
    near = {
        name: lambda run=run: seconds(run) for name, run in candidates.items() if first[name] < 2 * min(first.values())
    }
    chosen = fastest(near, 1)  # the first run warmed them up
    reference = answers["fp32, eager, default cache"]
    same = sum(mine == theirs for mine, theirs in zip(ours(folder, trial, batch)(), reference, strict=True))
    flag = "/compiled" if compiled else ""
    arguments = [str(folder), "--batch", str(batch), "--side"]
    mine = Side([*arguments, "ours"])
    theirs = {policy: Side([*arguments, chosen + flag], OMP_WAIT_POLICY=policy) for policy in ("ACTIVE", "PASSIVE")}
    policy = fastest(theirs, 1)
    result = compare(mine, theirs[policy], tokens, blocks)
    for process in (mine, *theirs.values()):
        process.close()
    return {
        **result,
        "unit": f"tokens/s that were asked for, batch {batch}; low and high: 10% and 90% of {blocks} paired blocks",
        "peer_settings": f"{chosen}, threads {policy.lower()}",
        "answers_equal_to_fp32_peer": same / len(reference),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=f"only this batch size: 1 or more  [default: {BATCH} and 1]")
    parser.add_argument("--width", type=int, default=128, help="of the model; 128 has 1.04M parameters")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--compile", action="store_true", help="try compiled peers too")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.side, arguments.folder, arguments.batch)
        return
    from transformers.utils import logging

    logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_checkpoint(Path(folder), arguments.width)
        batches = [arguments.batch] if arguments.batch else [BATCH, 1]
        results = {batch: measure(Path(folder), batch, arguments.blocks, arguments.compile) for batch in batches}
    first = results[batches[0]]
    document = {
        "name": "generate",
        **first,
        "goal": 1.5 if batches[0] == 1 else 5,
        "versions": versions(),
        "command": " ".join(["python", "benchmarks/generate.py", *sys.argv[1:]]),
        "parameters": parameters,
        **{f"batch_{batch}": results[batch] | {"goal": 1.5} for batch in batches[1:]},
    }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()

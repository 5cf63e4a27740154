"""Orion's evaluations beside lm-eval's Hugging Face backend: three tasks, one checkpoint, the same numbers.

    python -m venv peer && peer/bin/pip install lm-eval==0.4.13 torch transformers accelerate
    python benchmarks/evals.py --peer-python peer/bin/python --json

The tasks are written here, as lm-eval's YAML and as a suite of ours over the same rows: four choices by likelihood (acc
and acc_norm), generation (exact_match), and whole texts (bits_per_byte, word_perplexity), some longer than the context.
The text is the source of the modules that come with Python. Half of the answers to be generated are what the checkpoint
says (so that a token that differs changes the score), the others cannot be right.

A block is everything after the model is loaded: tasks read, prompts built, asked, graded; ours loads its model in the
block, too. The peer has fp32, its fused attention, no bootstrap, and the fastest of several batch sizes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import re
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from paired import Side, compare, serve

THREADS, BATCHES = 2, (1, 8, 32)
CONTEXT, VOCABULARY, WIDTH = 512, 2048, 128
QUESTIONS, CHOICES, PROMPTS, TEXTS, ANSWER = 120, 4, 48, 24, 24
STOP = "\n"
TOLERANCE = 1e-3
YAML = {
    "choice": """
task: orion_choice
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: choices
doc_to_target: answer
target_delimiter: " "
metric_list: [{metric: acc}, {metric: acc_norm}]
""",
    "generate": f"""
task: orion_generate
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: [{json.dumps(STOP)}], do_sample: false, max_gen_toks: {ANSWER}}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
""",
    "text": """
task: orion_text
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{text}}"
metric_list: [{metric: bits_per_byte}, {metric: word_perplexity}]
""",
}
SUITE = f"""
name = "parity"
[task.choice]
kind = "choice"
items = "choice.jsonl"
[task.generate]
kind = "generate"
items = "generate.jsonl"
extract = {{ form = "exact" }}
sampling = {{ temperature = 0.0, max_tokens = {ANSWER}, stop = {json.dumps([STOP])} }}
[task.text]
kind = "text"
items = "text.jsonl"
"""


def source() -> list[str]:
    folder = Path(sysconfig.get_paths()["stdlib"])
    return [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.py")) if path.stat().st_size > 20_000]


def make_checkpoint(folder: Path) -> None:
    """Random weights, loud enough that likelihoods vary."""
    import torch

    from orionlm.data.tokenizer import END_OF_TEXT, train_tokenizer
    from orionlm.model.checkpoint import save
    from orionlm.model.transformer import Transformer
    from orionlm.shape import Shape

    tokenizer = train_tokenizer(source()[::4], VOCABULARY)
    torch.manual_seed(0)
    model = Transformer(Shape.from_width(WIDTH, vocabulary=VOCABULARY, context=CONTEXT)).requires_grad_(False)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.08)
    folder.mkdir()
    end = tokenizer.token_to_id(END_OF_TEXT)
    assert end is not None
    save(folder, model.state_dict(), model.shape, end)
    tokenizer.save(str(folder / "tokenizer.json"))


def for_peer(folder: Path) -> None:
    """What transformers wants beside a tokenizer.json to know its end of text."""
    names = {name: "<|endoftext|>" for name in ("bos_token", "eos_token", "pad_token")}
    document = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False, **names}
    if not (folder / "tokenizer_config.json").exists():
        (folder / "tokenizer_config.json").write_text(json.dumps(document))


def write_tasks(folder: Path, checkpoint: Path) -> None:
    """The rows, the suite and the YAML files; lengths follow the model's context."""
    context = json.loads((checkpoint / "config.json").read_text())["max_position_embeddings"]
    rng, texts = random.Random(0), source()

    def piece(characters: int) -> str:
        text = rng.choice(texts)
        start = rng.randrange(len(text) - characters)
        return text[start : start + characters].strip() or "pass"

    choice = []
    for number in range(QUESTIONS):
        choices: dict[str, None] = {}
        while len(choices) < CHOICES:
            choices[piece(rng.randint(10, 40))] = None
        question = piece(rng.randint(context // 4, context))
        choice.append({"id": number, "question": question, "choices": list(choices), "answer": rng.randrange(CHOICES)})
    prompts = [piece(rng.randint(context // 4, context)) for _ in range(PROMPTS)]
    said = answers(checkpoint, prompts)
    generate = [
        {"id": n, "question": prompt, "answer": answer if n % 2 and answer else "never said\x00"}
        for n, (prompt, answer) in enumerate(zip(prompts, said, strict=True))
    ]
    text = [{"id": n, "text": piece(rng.randint(context, 6 * context))} for n in range(TEXTS)]
    for name, rows in (("choice", choice), ("generate", generate), ("text", text)):
        path = folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        place = (
            f"dataset_path: json\ndataset_kwargs: {{data_files: {{test: {json.dumps(str(path))}}}}}\ntest_split: test\n"
        )
        (folder / f"{name}.yaml").write_text(YAML[name].lstrip() + place, encoding="utf-8")
    (folder / "suite.toml").write_text(SUITE, encoding="utf-8")


def answers(checkpoint: Path, prompts: list[str]) -> list[str]:
    from orionlm.evals.checkpoint import Checkpoint
    from orionlm.sampling import Sampling

    sampling = Sampling(max_tokens=ANSWER, temperature=0.0, stop=(STOP,))
    found = dict(Checkpoint(checkpoint).write([(prompt, sampling) for prompt in prompts]))
    written = [found[n] for n in range(len(prompts))]
    return [one[0].text if isinstance(one, list) else "" for one in written]


def ours(folder: Path, checkpoint: Path) -> Callable[[], dict[str, float]]:
    from orionlm.evals.checkpoint import Checkpoint
    from orionlm.evals.run import evaluate
    from orionlm.tasks.suite import load_suite

    def run() -> dict[str, float]:
        with tempfile.TemporaryDirectory() as out:  # nothing is kept from the block before
            suite = load_suite(folder / "suite.toml")
            results = evaluate(suite, Checkpoint(checkpoint), Path(out))
        lines = {line["task"]: line for line in results.summary["tasks"]}
        texts = {item.id: item.question for item in suite.tasks[2].items}
        nats = -sum(sum(row.log_probabilities) for row in results.of("text"))
        words = sum(len(re.split(r"\s+", text)) for text in texts.values())
        return {
            "acc": lines["choice"]["normalised"]["none"],
            "acc_norm": lines["choice"]["normalised"]["characters"],
            "exact_match": lines["generate"]["estimate"]["value"],
            "bits_per_byte": lines["text"]["estimate"]["value"],
            "word_perplexity": math.exp(nats / words),
        }

    return run


def peer(folder: Path, checkpoint: Path, batch: int) -> Callable[[], dict[str, float]]:
    import lm_eval
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    model = HFLM(pretrained=str(checkpoint), device="cpu", dtype="float32", batch_size=batch)
    tasks = TaskManager(include_path=str(folder), include_defaults=False)

    def run() -> dict[str, float]:
        names = ["orion_choice", "orion_generate", "orion_text"]
        found = lm_eval.simple_evaluate(model, tasks=names, task_manager=tasks, bootstrap_iters=0, log_samples=False)
        merged = {key.removesuffix(",none"): value for name in names for key, value in found["results"][name].items()}
        wanted = ("acc", "acc_norm", "exact_match", "bits_per_byte", "word_perplexity")
        return {name: float(merged[name]) for name in wanted}

    return run


def side(name: str, folder: Path, checkpoint: Path) -> None:
    """One of the two, in turns; what it found lies beside the tasks."""
    import torch

    torch.set_num_threads(THREADS)
    talk, sys.stdout = sys.stdout, sys.stderr  # progress bars and tables of the peer's are not ours to read
    run = ours(folder, checkpoint) if name == "ours" else peer(folder, checkpoint, int(name))

    def work() -> None:
        sys.stdout = sys.stderr
        (folder / f"{name}.json").write_text(json.dumps(run()))
        sys.stdout = talk

    serve(work, warm=1)


class Process(Side):
    """A side with an interpreter of its own."""

    def __init__(self, python: str, arguments: list[str]) -> None:
        environment = os.environ | {
            "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false",
            "OMP_NUM_THREADS": str(THREADS), "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
        }  # fmt: skip
        self.process = subprocess.Popen(
            [python, sys.argv[0], *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        )  # fmt: skip
        self._answer()


def versions(python: str) -> dict[str, str]:
    code = "import json; from importlib.metadata import version; print(json.dumps({n: version(n) for n in NAMES}))"
    names = ["lm-eval", "torch", "transformers"]
    found = subprocess.run(
        [python, "-c", code.replace("NAMES", repr(names))], capture_output=True, text=True, check=True
    )
    return {"python": sys.version.split()[0], **json.loads(found.stdout)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", help="an interpreter with lm-eval")
    parser.add_argument("--checkpoint", type=Path, help="one of ours  [default: a random one of context 512]")
    parser.add_argument("--blocks", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    parser.add_argument("--side", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.side:
        side(arguments.side, arguments.folder, arguments.checkpoint)
        return
    if not arguments.peer_python:
        parser.error("give --peer-python, an interpreter with lm-eval 0.4.13")
    with tempfile.TemporaryDirectory() as scratch:
        folder, checkpoint = Path(scratch), Path(scratch) / "checkpoint"
        if arguments.checkpoint:
            checkpoint.mkdir()
            for name in ("config.json", "model.safetensors", "tokenizer.json"):
                (checkpoint / name).write_bytes((arguments.checkpoint / name).read_bytes())
        else:
            make_checkpoint(checkpoint)
        for_peer(checkpoint)
        write_tasks(folder, checkpoint)
        given = ["--folder", str(folder), "--checkpoint", str(checkpoint), "--side"]
        mine = Process(sys.executable, [*given, "ours"])
        theirs = {batch: Process(arguments.peer_python, [*given, str(batch)]) for batch in BATCHES}
        times = {batch: process() for batch, process in theirs.items()}
        best = min(times, key=times.__getitem__)
        result = compare(mine, theirs[best], QUESTIONS + PROMPTS + TEXTS, arguments.blocks)
        for process in (mine, *theirs.values()):
            process.close()
        numbers = {name: json.loads((folder / f"{name}.json").read_text()) for name in ("ours", str(best))}
    compared = {
        name: {"ours": value, "peer": numbers[str(best)][name], "difference": value - numbers[str(best)][name]}
        for name, value in numbers["ours"].items()
    }
    document = {
        "name": "evals",
        **result,
        "goal": 2,
        "unit": f"items/s, {THREADS} threads; low and high: 10% and 90% of {arguments.blocks} paired blocks",
        "peer_settings": f"lm-eval hf, fp32, batch size {best} (fastest of {', '.join(map(str, BATCHES))})",
        "numbers": compared,
        "versions": versions(arguments.peer_python),
        "command": " ".join(["python", "benchmarks/evals.py", *sys.argv[1:]]),
    }
    print(json.dumps(document, indent=2))
    for name, values in compared.items():
        scale = max(1.0, abs(values["peer"])) if name == "word_perplexity" else 1.0
        assert abs(values["difference"]) <= TOLERANCE * scale, (name, values)


if __name__ == "__main__":
    main()

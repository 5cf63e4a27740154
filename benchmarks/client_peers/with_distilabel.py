"""The prompts of a file through distilabel, its cache on: an answer for each prompt that it kept.

Runs under the peer's own Python; `benchmarks/client.py` says how to make its environment.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

# Nothing leaves this machine.
os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prompts", type=Path)
    parser.add_argument("--url", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--timeout", type=int, default=5)
    options = parser.parse_args()

    from distilabel.models import OpenAILLM
    from distilabel.pipeline import Pipeline
    from distilabel.steps import LoadDataFromDicts
    from distilabel.steps.tasks import TextGeneration
    from pyarrow.parquet import read_table

    prompts = [json.loads(line)["prompt"] for line in options.prompts.read_text().splitlines()]
    with Pipeline(name="ask", cache_dir=options.cache) as pipeline:
        load = LoadDataFromDicts(
            data=[{"instruction": prompt} for prompt in prompts], batch_size=options.concurrency, name="load"
        )
        # It sends one batch at a time: the batch is its concurrency.
        ask = TextGeneration(
            name="ask",
            llm=OpenAILLM(
                model="misbehaving-1",
                base_url=options.url,
                api_key="none",
                timeout=options.timeout,
                max_retries=10,
                generation_kwargs={"max_new_tokens": options.max_tokens},
            ),
            input_batch_size=options.concurrency,
        )
        load >> ask
    try:
        rows = list(pipeline.run(use_cache=True)["default"]["train"])
    except Exception:
        # It cannot read its own files where a whole batch failed; what they hold still counts as kept.
        rows = [
            row for path in options.cache.rglob("steps_outputs/ask/*.parquet") for row in read_table(path).to_pylist()
        ]
    with options.out.open("w") as out:
        for row in rows:
            print(json.dumps({"prompt": row["instruction"], "text": row.get("generation")}), file=out)


if __name__ == "__main__":
    main()

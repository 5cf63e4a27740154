"""The prompts of a file through bespokelabs-curator, its cache on: an answer or a reason for each prompt it kept.

Runs under the peer's own Python; `benchmarks/client.py` says how to make its environment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
from pathlib import Path

# Nothing leaves this machine: no telemetry, no price list, no viewer, no model hub.
os.environ |= {
    "TELEMETRY_ENABLED": "false",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "CURATOR_VIEWER": "false",
    "CURATOR_DISABLE_RICH_DISPLAY": "1",
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "OPENAI_API_KEY": "none",
}


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

    import litellm.litellm_core_utils.default_encoding  # noqa: F401  brings the token tables, which are not downloaded
    from bespokelabs import curator
    from datasets import Dataset

    logging.disable(logging.WARNING)

    class Ask(curator.LLM):
        def prompt(self, row: dict) -> str:
            return row["prompt"]

        def parse(self, row: dict, response: str) -> dict:
            return {"prompt": row["prompt"], "text": response}

    ask = Ask(
        model_name="misbehaving-1",
        backend="openai",
        generation_params={"max_tokens": options.max_tokens},
        backend_params={
            "base_url": options.url,
            "max_concurrent_requests": options.concurrency,
            "max_requests_per_minute": 10_000_000,
            "max_tokens_per_minute": 1_000_000_000,
            "seconds_to_pause_on_rate_limit": 1,
            "request_timeout": options.timeout,
            "require_all_responses": False,
            "invalid_finish_reasons": ["content_filter"],
        },
    )
    prompts = [json.loads(line)["prompt"] for line in options.prompts.read_text().splitlines()]
    response = ask(Dataset.from_dict({"prompt": prompts}), working_dir=str(options.cache))
    with options.out.open("w") as out:
        for row in response.dataset:
            print(json.dumps({"prompt": row["prompt"], "text": row["text"]}), file=out)
        # The reasons are not in its data set, only in its working files.
        for path in sorted(options.cache.glob("*/responses_*.jsonl")):
            for line in path.read_text().splitlines():
                row = json.loads(line)
                if row["response_errors"]:
                    prompt = row["generic_request"]["original_row"]["prompt"]
                    print(json.dumps({"prompt": prompt, "reason": row["response_errors"]}), file=out)


if __name__ == "__main__":
    main()

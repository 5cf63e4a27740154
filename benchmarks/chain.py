"""What do the methods yield with a real model behind an OpenAI-compatible server, and why are its rows rejected?

python benchmarks/chain.py --url http://127.0.0.1:8080/v1 --json prints one object: for each of rephrase, chain and
problems the rows, those kept, the reasons of the others, tokens a second; and how often the model, as a judge, prefers
the answer that is verified to be right. docs/SYNTHETIC.md says how a small model is served.

Seeds are docstrings of the installed NumPy. What was answered lies in --store, and a second run asks nothing again (and
then says nothing of speed). `strict` lists suit models too small to parse one into JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from orionlm.synth.desk import Desk, Seed
from orionlm.synth.methods import load
from orionlm.synth.reward.agreement import agreement
from orionlm.synth.reward.judge import prefer
from orionlm.synth.rows import Row, write_rows
from orionlm.synth.teachers import TeacherSettings, asked
from orionlm.tasks.generators.generate import generate
from orionlm.tasks.task import Item

SHOWN = 60  # characters of a reason: what follows differs from row to row


def docstrings(most: int) -> list[Seed]:
    """Introductions of NumPy's functions: a paragraph or two of prose by people."""
    import numpy

    seeds = []
    for name in sorted(set(dir(numpy))):
        text = (getattr(getattr(numpy, name), "__doc__", "") or "").split("Parameters\n")[0]
        text = re.sub(r"^\w*\([^\n]*\)\n", "", text.strip()).strip()
        if 150 < len(text) < 1500:
            seeds.append(Seed(f"numpy.{name}", text, "BSD-3-Clause", source="numpy"))
    return seeds[:: max(1, len(seeds) // most)][:most]


def settings(seeds: int, lists: str, tokens: int, temperature: float) -> dict[str, dict[str, Any]]:
    """For each method its settings, small enough for a small model on a few cores."""
    own = {
        "rephrase": {
            "variants": ["easy", "distil", "faq"],
            "passage": 800,
            "max_tokens": tokens,
            "token_bounds": [15, tokens],
        },
        "problems": {
            "questions": seeds,
            "difficulty": {"arithmetic": {"digits": 1}, "programs": {"steps": 1, "loops": False, "branches": False}},
            "attempts": 4,
            "max_tokens": tokens,
            "reward": {"by": "judge", "max_tokens": tokens},
        },
        "chain": {
            "macro_topics": 5,
            "sub_topics": 2,
            "prompts": 2,
            "keywords": 6,
            "passage": 800,
            "lists": lists,
            "list_tokens": tokens,
            "max_tokens": tokens,
            "reward": {"by": "judge", "max_tokens": tokens},
        },
    }
    return {name: given | {"temperature": temperature} for name, given in own.items()}


async def one(name: str, given: dict[str, Any], seeds: list[Seed], ready: dict[str, Any]) -> tuple[list[Row], dict]:
    teacher = next(iter(ready.values()))
    before, began = teacher.tally().completion_tokens, time.monotonic()
    method = load(name)
    rows = [row async for row in method.write(method.Settings(**given), seeds, Desk(ready, 1234, name))]
    seconds = time.monotonic() - began
    tokens = teacher.tally().completion_tokens - before
    return rows, report(rows) | {"seconds": round(seconds), "tokens": tokens, "tokens_per_second": tokens / seconds}


def report(rows: list[Row]) -> dict[str, Any]:
    """Counts by variant, and why rows were rejected."""
    found: dict[str, Any] = {"rows": len(rows), "kept": sum(not row.error for row in rows), "variants": {}}
    for variant in sorted({row.method for row in rows}):
        own = [row for row in rows if row.method == variant]
        reasons = Counter(re.sub(r"\d+(\.\d+)?", "N", row.error)[:SHOWN] for row in own if row.error)
        kept = [row for row in own if not row.error]
        found["variants"][variant] = {"rows": len(own), "kept": len(kept), "rejected": dict(reasons.most_common(12))}
    alone = [row for row in rows if "no_pair" in row.more]
    found["pairs"] = sum("pair" in row.more and not row.error for row in rows)
    found["no_pair"] = dict(Counter(re.sub(r"\d+(\.\d+)?", "N", row.more["no_pair"])[:SHOWN] for row in alone))
    return found


async def judged(n: int, most: int, ready: dict[str, Any]) -> dict[str, Any]:
    """How often it prefers the right one of two answers to a sum of one-digit numbers, of which it wrote neither."""
    desk = Desk(ready, 1234, "judge")

    async def one(item: Item) -> Row:
        wrong = item.answer + int(desk.random(item.id).choice([-10, -2, -1, 1, 2, 10]))
        messages = [{"role": "user", "content": item.question}]
        told = [f"{item.question} {answer}." for answer in (item.answer, wrong)]
        word = await prefer(desk, messages, *told, max_tokens=most)
        judged = word.error or {"first": "chosen", "second": "rejected"}.get(word.winner or "", "tie")
        return Row(told[0], "judge", more={"pair": {"prompt": messages, "by": "truth", "judged": judged}})

    items = generate("arithmetic", "train", n, 1234, {"digits": 1})
    found = agreement([row async for row in desk.each(one, items)])
    return vars(found) | {"pairs": n, "says": found.says()}


async def measure(options: argparse.Namespace, store: Path) -> dict[str, Any]:
    teacher = TeacherSettings(
        url=options.url, model=options.model, name="model", concurrency=options.concurrency, terms=options.terms
    )
    seeds = docstrings(options.seeds)
    found: dict[str, Any] = {"seeds": len(seeds)}
    async with asked([teacher], store) as ready:
        found["model"] = ready["model"].model.name
        for name, given in settings(options.seeds, options.lists, options.max_tokens, options.temperature).items():
            if name not in options.methods:
                continue
            shown = seeds[: options.seeds // 4] if name == "chain" else seeds  # its topics need none
            rows, found[name] = await one(name, given, shown, ready)
            if name == "problems":
                word = agreement(rows)
                found["judge_on_own_answers"] = vars(word) | {"says": word.says()}
            if options.rows:
                write_rows(options.rows / name, rows)
            if not options.json:
                print(name, json.dumps(found[name], indent=1, ensure_ascii=False))
        if "judge" in options.methods:
            found["judge"] = await judged(2 * options.seeds, options.max_tokens, ready)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", required=True)
    parser.add_argument("--model", help="which of the server's models, where it has several")
    parser.add_argument("--terms", default="unknown", choices=("allowed", "unknown"), help="of its owner, on training")
    parser.add_argument("--methods", nargs="+", default=["rephrase", "problems", "chain", "judge"])
    parser.add_argument("--seeds", type=int, default=40)
    parser.add_argument("--max-tokens", type=int, default=128)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--lists", default="teacher", choices=("teacher", "strict"))
    parser.add_argument("--concurrency", type=int, default=4)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--rows", type=Path, help="a folder for the rows themselves")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        found = asyncio.run(measure(options, options.store or Path(temporary)))
    print(json.dumps(found, ensure_ascii=False, indent=None if options.json else 1))


if __name__ == "__main__":
    main()

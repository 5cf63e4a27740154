"""What does a client lose, and what does it buy twice, when the server misbehaves and it is killed with -9?

python benchmarks/client.py --peer-python PATH --json prints one object. Three parts, `--part` runs one of them:
- kills: 10,000 prompts, one in 200 always refused, killed at 20 random moments, then left to finish;
- budget: the same load with too few tokens to finish, killed five times on the way; then more tokens, and the rest;
- peer: the same load through a peer, calm and misbehaving in turns, and both killed once and run again.
Everything is counted from the server's own log of what it billed; a token is what the server says it is.

The peer is bespokelabs-curator in an environment of its own, with its cache, its limits out of the way and its shortest
pause: python -m venv peer && peer/bin/pip install bespokelabs-curator==0.1.31
With --peer with_distilabel.py it is distilabel, a batch as large as the concurrency:
python -m venv peer && peer/bin/pip install "distilabel[openai]==1.5.3" "datasets<4" "openai<2" requests
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from typing import Any

from client_load import Bill, Server, expected, prompts_of, write_prompts
from client_sides import CONCURRENCY, MAX_TOKENS, TIMEOUT, Ours, Peer, Side, kill

LONGEST_RUN = 540.0
LONGEST_RESUME = 120.0  # many times what the whole load takes
QUIET = 2.0  # seconds in which a server notices that its client is gone


def finish(side: Side, longest: float = LONGEST_RUN) -> tuple[int, float]:
    """Run to the end: exit code and seconds; -9 for a run that does not end."""
    began = time.monotonic()
    process = side.start()
    try:
        return process.wait(longest), time.monotonic() - began
    except subprocess.TimeoutExpired:
        kill(process)
        return -9, time.monotonic() - began


def killed_at(side: Side, server: Server, lines: float, pause: float) -> bool:
    """Run until the server's log has so many lines and a little longer, then kill; False if it ended by itself."""
    process = side.start()
    began = time.monotonic()
    while server.billed() < lines and time.monotonic() - began < LONGEST_RUN:
        if process.poll() is not None:
            return False
        time.sleep(0.002)
    time.sleep(pause)
    if process.poll() is not None:
        return False
    kill(process)
    quiet = time.monotonic() + QUIET
    while server.stats()["current"] and time.monotonic() < quiet:
        time.sleep(0.01)
    return True


def outcome(side: Side, prompts: list[str], bills: list[Bill]) -> dict[str, Any]:
    """What became of every prompt, and what it cost."""
    rows = side.rows() if side.out.exists() else {}
    answered = {prompt for prompt in prompts if (row := rows.get(prompt)) and row.text is not None}
    failed = {prompt for prompt in prompts if (row := rows.get(prompt)) and row.text is None and row.reason}
    delivered = Counter(bill.prompt for bill in bills if bill.sent)
    return {
        "prompts": len(prompts),
        "answered": len(answered),
        "wrong": sum(rows[prompt].text != expected(prompt, MAX_TOKENS) for prompt in answered),
        "failed_with_a_reason": len(failed),
        "neither": len(prompts) - len(answered) - len(failed),
        "paid_and_lost": len(set(delivered) - answered),
        "paid_more_than_once": sum(count > 1 for count in delivered.values()),
        "tokens_billed": sum(bill.tokens for bill in bills),
    }


def kills_part(prompts: list[str], kills: int, folder: Path, seed: int) -> dict[str, Any]:
    budget = 250 * len(prompts) + kills * CONCURRENCY * 1000
    draw = random.Random(seed)
    # Two lines of the log for an answer; one kill in each of as many stretches of the work.
    moments = [2 * len(prompts) * 0.97 * (k + draw.random()) / kills for k in range(kills)]
    with Server(folder / "kills.jsonl", profile="all", seed=seed) as server:
        side = Ours(write_prompts(folder / "prompts.jsonl", prompts), folder / "kills", server.url)
        side.options = ["--max-tokens-total", str(budget)]
        landed, last, bought_again = 0, 0, 0
        kept: set[str] = set()
        lost, in_flight, uncovered = [], [], []
        for moment in moments:
            if not killed_at(side, server, moment, draw.uniform(0, 0.05)):
                break
            landed += 1
            bills = server.bills()
            new = [bill for bill in bills if bill.n > last]
            bought_again += sum(bill.prompt in kept for bill in new)
            now = side.committed()
            assert kept <= now, "an answer that was committed is gone"
            lost.append(len({bill.prompt for bill in new if bill.complete} - now))
            in_flight.append(side.store("SELECT count(*) FROM calls WHERE state = 'reserved'")[0][0])
            spent = side.store("SELECT ifnull(sum(tokens), 0) FROM calls")[0][0]
            uncovered.append(max(0, sum(bill.tokens for bill in bills) - spent))
            kept, last = now, max((bill.n for bill in bills), default=0)
        code, _ = finish(side)
        bills = server.bills()
        bought_again += sum(bill.prompt in kept for bill in bills if bill.n > last)
        again, seconds_again = finish(side)
        stats = server.stats()
        return {
            "kills": landed,
            "exit_code": code,
            "committed_and_bought_again": bought_again,
            "bought_by_a_run_of_what_is_finished": len(server.bills()) - len(bills),
            "exit_code_of_that": again,
            "seconds_of_that": round(seconds_again, 2),
            "lost_at_each_kill": lost,
            "in_flight_at_each_kill": in_flight,
            "lost_beyond_in_flight": sum(max(0, a - b) for a, b in zip(lost, in_flight, strict=True)),
            "billed_beyond_what_the_store_had_spent_or_reserved": max(uncovered, default=0),
            "budget_tokens": budget,
            "server": stats["counts"] | {"most_at_once": stats["most"]},
            **outcome(side, prompts, bills),
            "reasons": reasons(side),
            "last_words": side.last_words() if code else "",
        }


def budget_part(prompts: list[str], kills: int, folder: Path, seed: int) -> dict[str, Any]:
    """Tokens for about a third of the prompts; then, with more, the rest."""
    budget = 14 * len(prompts)
    draw = random.Random(seed)
    moments = [0.4 * len(prompts) * (k + draw.random()) / kills for k in range(kills)]
    with Server(folder / "budget.jsonl", profile="all", seed=seed) as server:
        side = Ours(write_prompts(folder / "prompts.jsonl", prompts), folder / "budget", server.url)
        side.options = ["--max-tokens-total", str(budget)]
        landed = sum(killed_at(side, server, moment, draw.uniform(0, 0.05)) for moment in moments)
        code, _ = finish(side)
        bills = server.bills()
        tight = outcome(side, prompts, bills) | {"reasons": reasons(side), "last_words": side.last_words()}
        kept = side.committed()
        spent = side.store("SELECT ifnull(sum(tokens), 0) FROM calls")[0][0]
        side.options = ["--max-tokens-total", str(200 * budget)]
        more, _ = finish(side)
        later = server.bills()
        return {
            "budget_tokens": budget,
            "kills": landed,
            "exit_code": code,
            "over_budget": max(0, tight["tokens_billed"] - budget),
            "spent_in_the_store": spent,
            **tight,
            "with_more": outcome(side, prompts, later)
            | {"exit_code": more, "bought_again": sum(b.prompt in kept for b in later[len(bills) :])},
        }


def reasons(side: Side) -> dict[str, int]:
    """How often each reason was given, the most frequent first."""
    rows = side.rows() if side.out.exists() else {}
    return dict(Counter((row.reason or "none")[:100] for row in rows.values() if row.text is None).most_common(12))


def block(side: Side, server: Server, prompts: list[str]) -> dict[str, Any]:
    code, seconds = finish(side)
    bills = server.bills()
    found = outcome(side, prompts, bills)
    # From the first answer begun to the last one sent: neither side's start counts.
    span = max(bill.at for bill in bills) - min(bill.at for bill in bills)
    counts = server.stats()["counts"]
    return found | {
        "exit_code": code,
        "seconds": round(seconds, 2),
        "rate": found["answered"] / span,
        "requests": counts["requests"],
        "over_limit": counts.get("over_limit", 0),
    }


def peer_part(prompts: list[str], blocks: int, python: str, script: str, folder: Path) -> dict[str, Any]:
    path = write_prompts(folder / "few.jsonl", prompts)

    def sides(name: str, url: str) -> dict[str, Side]:
        peer = Peer(path, folder / f"peer-{name}", url, python=python, script=script)
        return {"ours": Ours(path, folder / f"ours-{name}", url), "peer": peer}

    package = {"with_curator.py": "bespokelabs-curator", "with_distilabel.py": "distilabel"}[script]
    page: dict[str, Any] = {
        "peer": f"{package} {_version_there(python, package)}",
        "prompts": len(prompts),
        "blocks": blocks,
    }
    for profile, concurrency in (("calm", CONCURRENCY), ("all", 48)):
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
        for number in range(blocks):
            for who in ("ours", "peer") if number % 2 else ("peer", "ours"):
                log = folder / f"{profile}-{number}-{who}.jsonl"
                with Server(log, profile=profile, seed=number, concurrency=concurrency) as server:
                    runs[who].append(block(sides(f"{profile}-{number}", server.url)[who], server, prompts))
        page["calm" if profile == "calm" else "misbehaving"] = compared(runs)
    page["killed_once"] = {who: killed_once(who, sides, folder, prompts) for who in ("ours", "peer")}
    return page


def compared(runs: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    ratios = sorted(
        ours["rate"] / theirs["rate"] for ours, theirs in zip(runs["ours"], runs["peer"], strict=True) if theirs["rate"]
    )
    return {
        "ratio": round(statistics.median(ratios), 3) if ratios else None,
        "low": round(ratios[0], 3) if ratios else None,
        "high": round(ratios[-1], 3) if ratios else None,
        **{who: {key: statistics.median(run[key] for run in found) for key in found[0]} for who, found in runs.items()},
    }


def killed_once(who: str, sides: Any, folder: Path, prompts: list[str]) -> dict[str, Any]:
    with Server(folder / f"once-{who}.jsonl", profile="calm", concurrency=CONCURRENCY) as server:
        side = sides("once", server.url)[who]
        landed = killed_at(side, server, len(prompts), 0.0)
        before = server.bills()
        kept = side.committed()
        code, _ = finish(side, LONGEST_RESUME)
        bills = server.bills()
        paid = {bill.prompt for bill in before if bill.sent}
        return {
            "killed": landed,
            "exit_code": code,
            "paid_before": len(paid),
            "kept": len(kept),
            "bought_again": len({bill.prompt for bill in bills[len(before) :]} & paid),
            **outcome(side, prompts, bills),
        }


def _version_there(python: str, package: str) -> str:
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return subprocess.run([python, "-c", code, package], capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", choices=("kills", "budget", "peer", "all"), default="all")
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--peer-python", help="the Python of the peer's environment; without it, no peer")
    parser.add_argument("--peer", choices=("with_curator.py", "with_distilabel.py"), default="with_curator.py")
    parser.add_argument("--peer-requests", type=int, default=1000, help="prompts in each of the peer's blocks")
    parser.add_argument("--blocks", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, help="leave logs, stores and outputs in this folder")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        page: dict[str, Any] = {"name": "client"}
        prompts = prompts_of(options.requests)
        if options.part in ("kills", "all"):
            page["kills"] = kills_part(prompts, options.kills, folder, options.seed)
        if options.part in ("budget", "all"):
            page["budget"] = budget_part(prompts, max(1, options.kills // 4), folder, options.seed)
        if options.part in ("peer", "all") and options.peer_python:
            few = prompts_of(options.peer_requests)
            page["peer_load"] = peer_part(few, options.blocks, options.peer_python, options.peer, folder)
            calm = page["peer_load"]["calm"]
            page |= {"ours": calm["ours"]["rate"], "peer": calm["peer"]["rate"]}
            page |= {name: calm[name] for name in ("ratio", "low", "high")}
    page |= {
        "goal": "nothing committed bought again, at most the requests in flight lost, every failure a row with its "
        "reason, the budget never exceeded by one token; throughput and losses beside a peer's",
        "unit": f"answers a second at concurrency {CONCURRENCY}, a calm server",
        "timeout_seconds": TIMEOUT,
        "versions": {"python": sys.version.split()[0], "aiohttp": version("aiohttp")},
        "command": "python benchmarks/client.py " + " ".join(sys.argv[1:]),
    }
    print(json.dumps(page))


if __name__ == "__main__":
    main()

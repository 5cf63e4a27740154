"""Do intervals of scores hold at their level, and has the paired test the power that was predicted? Simulated models.

python benchmarks/eval_coverage.py [--repeats 1000] [--jobs 1] prints one JSON object. The peer is the interval that
most harnesses print: the mean ± z standard errors over questions, passages not heeded.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial


def worlds() -> list:
    """Sizes 10 to 1000, skills near 0, in the middle and near 1, one sample or five, alone or by passage."""
    from orionlm.evals.simulate import World

    found = [
        World(n, a, b, samples, (1,), spread)
        for n in (10, 30, 164, 1000)
        for a, b in ((0.02, 0.05), (0.5, 0.6), (0.97, 0.95))
        for samples, spread in ((1, 1.5), (5, 1.5), (5, 6.0))
    ]
    return found + [
        World(n, a, b, samples, sizes, spread)
        for n, sizes in ((30, (5,)), (60, (5,)), (164, (5,)), (164, (1, 1, 2, 4, 12)), (1000, (5,)))
        for a, b in ((0.02, 0.05), (0.5, 0.6), (0.97, 0.9))
        for samples, spread in ((1, 1.5), (5, 6.0))
    ]


def tests() -> list:
    """Pairs without a difference, then with one."""
    from orionlm.evals.simulate import World

    none = [World(n, p, p, k, s) for n, p, k, s in (
        (10, 0.5, 1, (1,)), (30, 0.5, 1, (1,)), (164, 0.5, 1, (1,)), (164, 0.5, 5, (1,)), (164, 0.05, 1, (1,)),
        (164, 0.5, 1, (4,)), (300, 0.5, 5, (4,)),
    )]  # fmt: skip
    some = [World(n, a, b, k, s) for n, a, b, k, s in (
        (30, 0.5, 0.7, 1, (1,)), (164, 0.5, 0.6, 1, (1,)), (164, 0.5, 0.55, 5, (1,)), (1000, 0.5, 0.54, 1, (1,)),
        (500, 0.9, 0.93, 5, (1,)), (300, 0.5, 0.6, 1, (4,)), (400, 0.5, 0.55, 5, (4,)),
    )]  # fmt: skip
    return none + some


def plain(world, repeats: int, level: float = 0.95, seed: int = 0) -> float:
    """The share of intervals mean ± z s/√n that hold the truth."""
    import numpy as np
    from scipy.special import ndtri

    held = 0
    for i in range(repeats):
        y = world.draw(np.random.default_rng((seed, i)))[0].mean(1)
        held += abs(y.mean() - world.a) <= ndtri((1 + level) / 2) * y.std(ddof=1) / np.sqrt(len(y))
    return held / repeats


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import numpy as np

    from orionlm.evals.simulate import World, coverage, family, rejections

    repeats = arguments.repeats
    tasks = [World(100, p, p) for p in (0.3, 0.5, 0.7, 0.5, 0.4)] + [World(100, 0.5, 0.75), World(100, 0.4, 0.6)]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        held = list(pool.map(partial(coverage, repeats=repeats), worlds()))
        peer = list(pool.map(partial(plain, repeats=repeats), worlds()))
        found = list(pool.map(partial(rejections, repeats=2 * repeats), tests()))
        over = pool.submit(family, tasks, repeats).result()
    ours = [row[name]["coverage"] for row in held for name in ("mean", "difference")]
    print(
        json.dumps(
            {
                "name": "eval_coverage",
                "ours": min(ours),
                "peer": min(peer),
                "ratio": min(ours) / 0.95,
                "low": min(ours),
                "high": max(ours),
                "goal": "every coverage of a 95% interval at least 0.93; power as predicted, to Monte-Carlo error",
                "unit": "lowest coverage of a 95% interval over worlds; peer: mean ± z s/√n, passages not heeded",
                "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
                "command": f"python benchmarks/eval_coverage.py --repeats {repeats}",
                "worlds": [
                    asdict(world) | row | {"plain": other}
                    for world, row, other in zip(worlds(), held, peer, strict=True)
                ],
                "tests": [
                    asdict(world)
                    | row
                    | {"monte_carlo_error": float(np.sqrt(row["rejected"] * (1 - row["rejected"]) / 2 / repeats))}
                    for world, row in zip(tests(), found, strict=True)
                ],
                "family_wise_error": over,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

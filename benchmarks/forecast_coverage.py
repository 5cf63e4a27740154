"""Coverage and width of forecasts on simulated ladders, in worlds that the fitted laws hold and do not hold.

python benchmarks/forecast_coverage.py [--repeats 500] [--worlds chinchilla,drifting] [--jobs 2] prints one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=500)
    parser.add_argument("--worlds", default="")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import numpy as np

    from orionlm.plan.simulate import WORLDS, coverage

    worlds = arguments.worlds.split(",") if arguments.worlds else list(WORLDS)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        rows = [row for rows in pool.map(partial(coverage, repeats=arguments.repeats), worlds) for row in rows]
    ratio = [min(row["last_rung"], row["line"]) / row["error"] for row in rows]
    print(
        json.dumps(
            {
                "name": "forecast_coverage",
                "ours": float(np.median([row["error"] for row in rows])),
                "peer": float(np.median([min(row["last_rung"], row["line"]) for row in rows])),
                "ratio": float(np.median(ratio)),
                "low": min(ratio),
                "high": max(ratio),
                "goal": "every coverage of a 90% interval between 0.86 and 0.94, half-width at 4x at most 0.03",
                "unit": "median absolute relative error; peer: the better of the last rung and a line through two",
                "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
                "command": f"python benchmarks/forecast_coverage.py --repeats {arguments.repeats}",
                "worlds": rows,
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()

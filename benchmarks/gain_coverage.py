"""Coverage and width of gains on simulated levers of known worth, and whether recommended steps are as often the best.

python benchmarks/gain_coverage.py [--repeats 300] [--worlds none,double] [--jobs 1] [--chart FILE.svg] prints one JSON
object. The peer prices a lever as one would by hand: a line in ln L and ln C through the plain recipe's best points.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path


def chart(bins: list[dict], path: Path) -> None:
    """The calibration plot: hits by stated probability, with 90% intervals, beside the diagonal."""
    import altair as alt

    line = alt.Chart(alt.Data(values=[{"x": 0.3, "y": 0.3}, {"x": 1, "y": 1}])).mark_line(color="#999999")
    base = alt.Chart(alt.Data(values=bins)).encode(
        x=alt.X("stated:Q", title="stated probability", scale=alt.Scale(domain=[0.3, 1]))
    )
    scale = alt.Scale(domain=[0, 1])
    bars = base.mark_rule().encode(y=alt.Y("low:Q", title="truly the best", scale=scale), y2="high:Q")
    points = base.mark_point(filled=True, opacity=1).encode(y=alt.Y("hit:Q", scale=scale), size=alt.Size("n:Q"))
    (line.encode(x="x:Q", y="y:Q") + bars + points).properties(width=320, height=320).save(str(path))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=300)
    parser.add_argument("--worlds", default="")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--chart", type=Path, help="write the calibration plot here, as SVG")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry: the output is always JSON")
    arguments = parser.parse_args()

    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import numpy as np

    from orionlm.gain.simulate import CASES, calibration, coverage, decisions

    worlds = arguments.worlds.split(",") if arguments.worlds else list(CASES)
    with ProcessPoolExecutor(arguments.jobs) as pool:
        decided = pool.submit(decisions, arguments.repeats)
        rows = list(pool.map(partial(coverage, repeats=arguments.repeats), worlds))
        choices = decided.result()
    bins = calibration(choices)
    if arguments.chart:
        chart(bins, arguments.chart)
    ratio = [row["peer_error"] / row["error"] for row in rows]
    print(
        json.dumps(
            {
                "name": "gain_coverage",
                "ours": float(np.median([row["error"] for row in rows])),
                "peer": float(np.median([row["peer_error"] for row in rows])),
                "ratio": float(np.median(ratio)),
                "low": min(ratio),
                "high": max(ratio),
                "goal": "every coverage of a 90% interval between 0.86 and 0.94, each no wider than a factor of 1.4",
                "unit": "median absolute error of ln gain; peer: a line in ln L and ln C through the plain runs",
                "versions": {"python": sys.version.split()[0], "numpy": np.__version__},
                "command": f"python benchmarks/gain_coverage.py --repeats {arguments.repeats}",
                "worlds": rows,
                "decisions": {
                    "stated": float(np.mean([row["stated"] for row in choices])),
                    "hit": float(np.mean([row["hit"] for row in choices])),
                    "repeats": len(choices),
                    "bins": bins,
                },
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
